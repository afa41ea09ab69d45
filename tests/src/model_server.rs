//! Real model servers, each on a directory that holds one model.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::process::{End, Server, free_port};
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
