//! Real model servers, each on a directory that holds one model.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::process::{self, End, Server, free_port};
use crate::{http, places, tools};

/// How long a server may take to answer after its start.
pub const START_LIMIT: Duration = Duration::from_secs(120);

/// A model server that was started; whether it answers already is for the test to see.
#[derive(Debug)]
pub struct ModelServer {
    server: Server,
    port: u16,
    _settings: Option<TempDir>,
}

impl ModelServer {
    /// Starts MLflow's scoring server on a model in MLflow's format. It answers `GET /ping` once the model is
    /// loaded and predicts at `POST /invocations`.
    pub fn start_mlflow(model: &Path) -> Self {
        Self::start_mlflow_on(model, free_port())
    }

    /// Like [`ModelServer::start_mlflow`], on a port that was chosen before.
    pub fn start_mlflow_on(model: &Path, port: u16) -> Self {
        let mut command = tools::python().command("mlflow");
        command.args(["models", "serve", "--env-manager", "local", "--host", "127.0.0.1", "--workers", "1"]);
        command.args(["--port", &port.to_string(), "--model-uri"]).arg(model);
        Self { server: Server::spawn("mlflow models serve", &command, End::Kill), port, _settings: None }
    }

    /// Starts MLServer on a directory with `weights.json`. It answers `GET /v2/models/{name}/ready` with 200
    /// once that is loaded, and loads it once `gate` exists, if one is given.
    ///
    /// # Panics
    /// When its settings cannot be written.
    pub fn start_mlserver(name: &str, version: &str, model: &Path, gate: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the settings");
        let port = free_port();
        let server = json!({
            "host": "127.0.0.1", "http_port": port, "grpc_port": free_port(), "metrics_port": free_port(),
            "parallel_workers": 0, "debug": false
        });
        let settings = json!({
            "name": name, "implementation": "linear_runtime.LinearRuntime",
            "parameters": {"uri": model, "version": version}
        });
        fs::write(folder.path().join("settings.json"), server.to_string())
            .expect("the settings can be written");
        fs::write(folder.path().join("model-settings.json"), settings.to_string())
            .expect("the settings, too");
        let mut command = tools::mlserver_python().command("mlserver");
        command.arg("start").arg(folder.path()).env("PYTHONPATH", places::data("mlserver"));
        if let Some(gate) = gate {
            command.env("LINEAR_RUNTIME_GATE", gate);
        }
        Self { server: Server::spawn("mlserver", &command, End::Kill), port, _settings: Some(folder) }
    }

    /// Starts KServe's own server with a model that is ready while the file `switch` holds `on`. It has to
    /// when the server starts, or that knows of no model.
    pub fn start_kserve(name: &str, switch: &Path) -> Self {
        let port = free_port();
        let mut command = tools::kserve_server_python().command("python");
        command.arg(places::data("kserve-server/switched_model.py"));
        command.args(["--port", &port.to_string(), "--model", name, "--switch"]).arg(switch);
        Self { server: Server::spawn("kserve", &command, End::Kill), port, _settings: None }
    }

    /// Starts a gRPC server with the standard health service. The service `model` is served once `gate` exists,
    /// the server as a whole from the start.
    pub fn start_grpc_health(gate: &Path) -> Self {
        let port = free_port();
        let mut command = tools::grpc_python().command("python");
        command.arg(places::data("grpc/health_server.py")).arg(port.to_string()).arg(gate);
        Self { server: Server::spawn("gRPC health", &command, End::Kill), port, _settings: None }
    }

    /// Starts Triton on a repository with version 1 of one model, which it loads when it is told to, by
    /// `POST /v2/repository/models/{name}/load`, and once `gate` exists. Loading fails if the gate holds `fail`.
    ///
    /// # Panics
    /// When its repository or its backend cannot be made.
    pub fn start_triton(name: &str, gate: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the repository");
        let (repository, backends) = (folder.path().join("models"), folder.path().join("backends"));
        for made in [repository.join(name).join("1"), backends.join("gated")] {
            fs::create_dir_all(made).expect("a folder can be made");
        }
        fs::copy(places::data("triton/config.pbtxt"), repository.join(name).join("config.pbtxt"))
            .expect("the model's configuration can be copied");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-o"]).arg(backends.join("gated/libtriton_gated.so"));
        process::run(compile.arg(places::data("triton/gated_backend.c")));
        let port = free_port();
        let mut command = Command::new(tools::triton().join("bin/tritonserver"));
        command.env("GATED_BACKEND_GATE", gate);
        command.args(["--http-address=127.0.0.1", "--allow-grpc=false", "--allow-metrics=false"]);
        command.args(["--model-control-mode=explicit", &format!("--http-port={port}")]);
        command.arg("--model-repository").arg(repository).arg("--backend-directory").arg(backends);
        Self { server: Server::spawn("tritonserver", &command, End::Kill), port, _settings: Some(folder) }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The status of `GET path`, or `None` while nothing answers.
    pub fn status(&self, path: &str) -> Option<u16> {
        http::get(self.port, path).ok().map(|answer| answer.status)
    }

    /// Waits until `GET path` gives 200.
    ///
    /// # Panics
    /// When it does not in time, with the end of the server's log.
    #[track_caller]
    pub fn wait_for(&mut self, path: &str) {
        let port = self.port;
        self.server
            .wait_ready(START_LIMIT, || http::get(port, path).is_ok_and(|answer| answer.status == 200));
    }

    /// The process, to look at its log or to send it a signal.
    pub fn process(&mut self) -> &mut Server {
        &mut self.server
    }
}
