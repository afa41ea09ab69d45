//! Python environments with pinned packages.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use super::once;
use crate::{places, process};

/// A virtual environment.
#[derive(Clone, Debug)]
pub struct Environment {
    root: PathBuf,
}

impl Environment {
    /// The environment's folder.
    pub fn root(&self) -> &PathBuf {
        &self.root
    }

    /// A command for a program of the environment, with the environment first on `PATH`, since these
    /// programs start each other by name.
    ///
    /// # Panics
    /// When `PATH` cannot be extended.
    pub fn command(&self, program: &str) -> Command {
        let programs = self.root.join("bin");
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([programs.clone()].into_iter().chain(env::split_paths(&path)));
        let mut command = Command::new(programs.join(program));
        command
            .env("PATH", path.expect("the build directory has no colon in its path"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1")
            .env("MLFLOW_DISABLE_TELEMETRY", "true")
            .env_remove("PYTHONPATH")
            .env_remove("VIRTUAL_ENV");
        command
    }

    /// What a container needs of this machine to run the environment: the environment itself and the
    /// Python installation that it was made from.
    pub fn folders(&self) -> Vec<PathBuf> {
        let base = process::run(self.command("python").args(["-c", "import sys; print(sys.base_prefix)"]));
        vec![self.root.clone(), PathBuf::from(base.trim())]
    }
}

/// MLflow's server, client and scoring server, with scikit-learn and the clients of S3, Google and Azure.
pub fn python() -> Environment {
    environment("venv-mlflow", "mlflow/requirements.txt")
}

/// MLServer, which speaks the Open Inference Protocol.
pub fn mlserver_python() -> Environment {
    environment("venv-mlserver", "mlserver/requirements.txt")
}

/// s5cmd, rclone and the AWS command line, which the benchmarks compare with.
pub fn transfer_python() -> Environment {
    environment("venv-transfer", "transfer/requirements.txt")
}

/// KServe's storage initializer, which the benchmarks compare with.
pub fn kserve_python() -> Environment {
    environment("venv-kserve", "kserve/requirements.txt")
}

/// The official tool of OpenSSF Model Signing.
pub fn signing_python() -> Environment {
    environment("venv-signing", "signing/requirements.txt")
}

/// The official client of Azure Blob Storage.
pub fn azure_python() -> Environment {
    environment("venv-azure", "azure/requirements.txt")
}

/// The official client of Prometheus, which parses OpenMetrics.
pub fn metrics_python() -> Environment {
    environment("venv-metrics", "metrics/requirements.txt")
}

/// Kubernetes' own schemas, which manifests are held to.
pub fn manifests_python() -> Environment {
    environment("venv-manifests", "manifests/requirements.txt")
}

/// KServe's own model server.
pub fn kserve_server_python() -> Environment {
    environment("venv-kserve-server", "kserve-server/requirements.txt")
}

/// A gRPC server with the standard health service.
pub fn grpc_python() -> Environment {
    environment("venv-grpc", "grpc/requirements.txt")
}

/// The folder of NVIDIA's Triton, with `bin/tritonserver`.
///
/// # Panics
/// When the package has no such folder.
pub fn triton() -> PathBuf {
    let environment = install("venv-triton", "triton/requirements.txt", &["--no-deps"]);
    let script = "import sysconfig; print(sysconfig.get_path('purelib'))";
    let packages = process::run(environment.command("python").args(["-c", script]));
    let folder = PathBuf::from(packages.trim()).join("pytriton/tritonserver");
    assert!(folder.join("bin/tritonserver").exists(), "expected Triton in {}", folder.display());
    folder
}

fn environment(name: &str, requirements: &str) -> Environment {
    install(name, requirements, &[])
}

fn install(name: &str, requirements: &str, options: &[&str]) -> Environment {
    let root = places::tools().join(name);
    let requirements = places::data(requirements);
    let pins = fs::read_to_string(&requirements).expect("the requirements are readable");
    once(name, &pins, || {
        assert!(
            process::on_path("python3"),
            "expected python3 on PATH for {name}; install Python 3.11 or later"
        );
        // What an interrupted installation left behind is not worth repairing.
        let _ = fs::remove_dir_all(&root);
        process::run(Command::new("python3").args(["-m", "venv"]).arg(&root));
        let mut install = Command::new(root.join("bin/python"));
        install.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
        process::run(install.args(options).arg("-r").arg(&requirements));
    });
    Environment { root }
}
