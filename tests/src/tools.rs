//! Installs what the real servers need, below the build directory, once per version.
//!
//! Every installation is guarded by a file lock and marked by a stamp with its exact version: tests that run at
//! the same time, in one process or several, wait for the first and find its work. What cannot be installed
//! fails the test with what a person should do; leaving a group out is a decision, see [`crate::skip`].

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::places;
use crate::process;
use crate::skip::say;

mod debian;
mod docker;
mod maven;
mod python;

pub use debian::debian_package;
pub use docker::{Docker, docker};
pub use maven::hadoop;
pub use python::{
    Environment, azure_python, grpc_python, kserve_python, kserve_server_python, manifests_python,
    metrics_python, mlserver_python, python, signing_python, transfer_python, triton,
};

/// Kustomize, which renders the manifests as `kubectl apply -k` and Argo CD do.
pub fn kustomize() -> PathBuf {
    go_program("kustomize", "sigs.k8s.io/kustomize/kustomize/v5", "v5.8.1")
}

/// What is wrong with workflows of GitHub Actions.
pub fn actionlint() -> PathBuf {
    go_program("actionlint", "github.com/rhysd/actionlint/cmd/actionlint", "v1.7.7")
}

/// An S3-compatible server over a folder, with signatures, checksums and conditional requests.
pub fn versitygw() -> PathBuf {
    go_program("versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0")
}

/// What people push artifacts to OCI registries with.
pub fn oras() -> PathBuf {
    go_program("oras", "oras.land/oras/cmd/oras", "v1.3.6")
}

/// A stand-in for Google Cloud Storage, by others, with its checksums.
pub fn fake_gcs_server() -> PathBuf {
    go_program("fake-gcs-server", "github.com/fsouza/fake-gcs-server", "v1.56.1")
}

/// Microsoft's stand-in for Azure Blob Storage.
pub fn azurite() -> Command {
    node_program("azurite", "3.35.0", "dist/src/blob/main.js")
}

/// Kubernetes, all its parts in one program: the first argument says which. It is built here, which takes some minutes, as there
/// is no package of it.
pub fn kubernetes() -> PathBuf {
    go_folder("kubernetes", "kubernetes")
}

/// The source of a Go module, such as the manifests that it comes with.
pub fn go_module(module: &str, version: &str) -> PathBuf {
    assert!(process::on_path("go"), "expected Go on PATH to fetch {module}; install Go 1.25 or later");
    let mut go = Command::new("go");
    go.args(["mod", "download", "-json", &format!("{module}@{version}")]).current_dir("/");
    let answer: serde_json::Value =
        serde_json::from_str(&process::run(&mut go)).expect("go says where it is");
    PathBuf::from(answer["Dir"].as_str().expect("go says where it is"))
}

/// Kubeflow's own model registry: see `tests/data/model-registry`.
pub fn model_registry() -> PathBuf {
    go_folder("model-registry", "model-registry")
}

/// Argo CD's own judgement on the health of objects: see `tests/data/argocd-health`.
pub fn argocd_health() -> PathBuf {
    go_folder("argocd-health", "argocd-health")
}

/// Grafana's own types, which take a dashboard or say why not: see `tests/data/grafana`.
pub fn grafana() -> PathBuf {
    go_folder("grafana", "grafana")
}

/// What Argo Rollouts makes of a measurement: see `tests/data/analysis`.
pub fn analysis() -> PathBuf {
    go_folder("analysis", "analysis")
}

/// The controller of Argo Rollouts.
pub fn rollouts_controller() -> PathBuf {
    let program = places::tools().join("bin/rollouts-controller");
    let source = places::data("analysis");
    let version = fs::read_to_string(source.join("go.mod")).expect("go.mod is there");
    once("rollouts-controller", &version, || {
        assert!(
            process::on_path("go"),
            "expected Go on PATH to build Argo Rollouts; install Go 1.25 or later"
        );
        let mut go = Command::new("go");
        go.args(["build", "-ldflags", "-s -w", "-o"]).arg(&program);
        go.arg("github.com/argoproj/argo-rollouts/cmd/rollouts-controller");
        process::run(go.current_dir(&source));
    });
    program
}

/// Builds the program in a folder of `tests/data`.
fn go_folder(name: &str, folder: &str) -> PathBuf {
    let program = places::tools().join("bin").join(name);
    let source = places::data(folder);
    let text = |file: &str| fs::read_to_string(source.join(file)).expect("the source is there");
    once(name, &(text("go.mod") + &text("main.go")), || {
        assert!(process::on_path("go"), "expected Go on PATH to build {name}; install Go 1.25 or later");
        let mut go = Command::new("go");
        go.args(["build", "-ldflags", "-s -w", "-o"]).arg(&program).arg(".");
        process::run(go.current_dir(&source));
    });
    program
}

fn go_program(name: &str, package: &str, version: &str) -> PathBuf {
    let folder = places::tools().join("bin");
    once(name, version, || {
        assert!(process::on_path("go"), "expected Go on PATH to install {name}; install Go 1.25 or later");
        process::run(
            Command::new("go").args(["install", &format!("{package}@{version}")]).env("GOBIN", &folder),
        );
    });
    folder.join(name)
}

/// A program from a package of Node.js. No script of the package runs when it is installed.
fn node_program(package: &str, version: &str, main: &str) -> Command {
    let folder = places::tools().join(package);
    once(package, version, || {
        assert!(
            process::on_path("npm"),
            "expected npm on PATH to install {package}; install Node.js 20 or later"
        );
        let mut npm = Command::new("npm");
        npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefix"])
            .arg(&folder);
        process::run(npm.arg(format!("{package}@{version}")));
    });
    let mut command = Command::new("node");
    command.arg(folder.join("node_modules").join(package).join(main));
    command
}

/// Runs `install` unless the stamp says that this very `version` of `name` is there already, and in this place: what
/// Python installs knows where it is.
fn once(name: &str, version: &str, install: impl FnOnce()) {
    let folder = places::tools();
    let lock = File::create(folder.join(format!("{name}.lock"))).expect("a lock file can be created");
    lock.lock().expect("the lock is granted");
    let (stamp, version) =
        (folder.join(format!("{name}.version")), format!("{}\n{version}", folder.display()));
    if fs::read_to_string(&stamp).is_ok_and(|found| found == version) {
        return;
    }
    say(&format!("installing {name} …"));
    let started = Instant::now();
    install();
    fs::write(&stamp, version).expect("the stamp can be written");
    say(&format!("installed {name} in {:.1} s", started.elapsed().as_secs_f32()));
}
