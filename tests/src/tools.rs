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
mod python;

pub use debian::debian_package;
pub use docker::{Docker, docker};
pub use python::{
    Environment, grpc_python, kserve_python, kserve_server_python, metrics_python, mlserver_python, python,
    signing_python, transfer_python, triton,
};

/// Kustomize, which renders the manifests as `kubectl apply -k` and Argo CD do.
pub fn kustomize() -> PathBuf {
    go_program("kustomize", "sigs.k8s.io/kustomize/kustomize/v5", "v5.8.1")
}

/// An S3-compatible server over a folder, with signatures, checksums and conditional requests.
pub fn versitygw() -> PathBuf {
    go_program("versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0")
}

/// A stand-in for Google Cloud Storage, by others, with its checksums.
pub fn fake_gcs_server() -> PathBuf {
    go_program("fake-gcs-server", "github.com/fsouza/fake-gcs-server", "v1.56.1")
}

/// The Kubernetes API server. It is built here, which takes some minutes, as there is no package of it.
pub fn kube_apiserver() -> PathBuf {
    let program = places::tools().join("bin/kube-apiserver");
    let source = places::data("apiserver");
    let version = fs::read_to_string(source.join("go.mod")).expect("go.mod is there");
    once("kube-apiserver", &version, || {
        let mut go = Command::new("go");
        go.args(["build", "-ldflags", "-s -w", "-o"]).arg(&program).arg(".");
        assert!(
            process::on_path("go"),
            "expected Go on PATH to build kube-apiserver; install Go 1.25 or later"
        );
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
