//! A real MLflow tracking server with its model registry, and models registered in it by MLflow's own client.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use handoff::{ModelDigest, SafePath, Sha256Digest};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::azure_server::AzureServer;
use crate::gcs_server::GcsServer;
use crate::process::{self, Server, free_port};
use crate::s3_server::S3Server;
use crate::{http, places, tools};

/// Where the server keeps the bytes of models, and who moves them.
#[derive(Clone, Copy, Debug, Default)]
pub enum Artifacts<'a> {
    /// In a folder behind the server, which hands them out itself: `mlflow-artifacts:`. MLflow's default.
    #[default]
    Proxied,
    /// In a folder that exists, behind the server, which hands them out itself: `mlflow-artifacts:`.
    ProxiedFolder(&'a Path),
    /// In a folder that clients read themselves: `file://`.
    Folder,
    /// In a bucket, given by the name of one that exists, that clients read themselves: `s3://`.
    Bucket(&'a S3Server, &'a str),
    /// In a bucket of Google's that clients read themselves: `gs://`.
    GoogleBucket(&'a GcsServer, &'a str),
    /// In a container of Azure's that clients read themselves: `wasbs://`.
    Container(&'a AzureServer, &'a str),
    /// Behind another server on this port, which hands them out itself: `http://`.
    Server(u16),
    /// In a bucket behind the server, which hands them out itself: `mlflow-artifacts:`.
    ProxiedBucket(&'a S3Server, &'a str),
}

/// A name and password that the server asks for.
#[derive(Clone, Debug)]
pub struct Login {
    /// The administrator's name.
    pub username: String,
    /// At least twelve characters.
    pub password: String,
}

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct Options<'a> {
    /// Where the bytes of models are.
    pub artifacts: Artifacts<'a>,
    /// Whether the server wants to know who asks.
    pub login: Option<Login>,
    /// More variables of the server's environment.
    pub variables: &'a [(&'a str, &'a str)],
}

/// A running server.
#[derive(Debug)]
pub struct MlflowServer {
    _server: Server,
    port: u16,
    folder: TempDir,
    environment: Vec<(String, String)>,
    login: Option<Login>,
}

/// What MLflow's own client registered.
#[derive(Clone, Debug, Deserialize)]
pub struct Registered {
    /// The version's number.
    pub version: String,
    /// The run that made it.
    pub run_id: String,
    /// Its `source` as the registry has it.
    pub source: String,
    /// Where the registry says that its files are.
    pub artifact_uri: String,
    /// Rows to predict for.
    pub rows: Vec<Vec<f64>>,
    /// What Python predicted for them right after training.
    pub predictions: Vec<i64>,
    /// The model's files as MLflow's own client downloads them.
    pub files: Vec<RegisteredFile>,
}

/// One file of a registered model.
#[derive(Clone, Debug, Deserialize)]
pub struct RegisteredFile {
    /// Its path in the model.
    pub path: SafePath,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sha256Digest,
}

/// What MLflow knows beside registered models, by the ids that the server gave.
#[derive(Clone, Debug, Deserialize)]
pub struct Items {
    /// A run that logged a model `best model` and files below `notes`.
    pub run: String,
    /// That model, registered too.
    pub model: String,
    /// The number of its version.
    pub version: String,
    /// A run that logged two models `twin`.
    pub twins: String,
    /// A run that logged a model `both`, and a file at that path.
    pub both: String,
    /// A run that was deleted.
    pub deleted: String,
    /// A logged model that is not finished.
    pub pending: String,
    /// One that failed.
    pub failed: String,
    /// For each URI the files, each with its SHA-256, as MLflow's own client downloads them.
    pub downloads: BTreeMap<String, BTreeMap<String, Sha256Digest>>,
}

impl Registered {
    /// The digest over all files.
    pub fn digest(&self) -> ModelDigest {
        ModelDigest::of(self.files.iter().map(|file| (&file.path, file.sha256)))
    }
}

impl MlflowServer {
    /// Starts a server with an empty registry.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(options: &Options<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let port = free_port();
        let mut command = tools::python().command("mlflow");
        command.current_dir(folder.path());
        command.args(["server", "--host", "127.0.0.1", "--workers", "1", "--port", &port.to_string()]);
        command.args(["--backend-store-uri", &format!("sqlite:///{}/mlflow.db", folder.path().display())]);
        command.args(artifact_arguments(options.artifacts, folder.path()));
        // Its background jobs score and trace generative models, at the price of seven more processes.
        command.env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false");
        let mut environment = vec![("MLFLOW_TRACKING_URI".to_owned(), format!("http://127.0.0.1:{port}"))];
        let of_store = of_store(options.artifacts);
        command.envs(of_store.iter().cloned());
        environment.extend(of_store);
        if let Some(login) = &options.login {
            let settings = folder.path().join("auth.ini");
            std::fs::write(&settings, auth_settings(folder.path(), login))
                .expect("the settings can be written");
            command.args(["--app-name", "basic-auth"]);
            command.env("MLFLOW_AUTH_CONFIG_PATH", settings).env("MLFLOW_FLASK_SERVER_SECRET_KEY", "tests");
            environment.push(("MLFLOW_TRACKING_USERNAME".to_owned(), login.username.clone()));
            environment.push(("MLFLOW_TRACKING_PASSWORD".to_owned(), login.password.clone()));
        }
        command.envs(options.variables.iter().copied());
        let server = Server::start("mlflow server", &command, Duration::from_secs(120), || {
            http::get(port, "/health").is_ok_and(|answer| answer.status == 200)
        });
        Self { _server: server, port, folder, environment, login: options.login.clone() }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What `MODEL_REGISTRY` is for this server.
    pub fn registry(&self) -> String {
        format!("mlflow+http://127.0.0.1:{}", self.port)
    }

    /// The folder with its database, `mlflow.db`, and the files of [`Artifacts::Proxied`], `artifacts`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The environment of a client of this server, credentials included.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Calls a method of the server's REST interface, named as in `registered-models/create`.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn call(&self, method: &str, name: &str, body: &Value) -> Value {
        self.send(method, &format!("/api/2.0/mlflow/{name}"), body)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut headers = vec![("content-type", "application/json".to_owned())];
        if let Some(login) = &self.login {
            let credentials = base64(format!("{}:{}", login.username, login.password).as_bytes());
            headers.push(("authorization", format!("Basic {credentials}")));
        }
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = http::request(method, self.port, path, &headers, body.to_string().as_bytes());
        let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(matches!(answer.status, 200 | 201), "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// Makes a workspace, on a server that was started with `MLFLOW_ENABLE_WORKSPACES`.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn create_workspace(&self, name: &str) {
        self.send("POST", "/api/3.0/mlflow/workspaces", &serde_json::json!({"name": name}));
    }

    /// Sets a tag of a model version.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn set_version_tag(&self, name: &str, version: &str, key: &str, value: &str) {
        let body = serde_json::json!({"name": name, "version": version, "key": key, "value": value});
        self.call("POST", "model-versions/set-tag", &body);
    }

    /// Sets the status of a model version in the server's database, since its own registry makes none that is not ready.
    ///
    /// # Panics
    /// When there is no such version.
    pub fn set_status(&self, name: &str, version: &str, status: &str) {
        let script = "import sqlite3, sys
with sqlite3.connect('mlflow.db', timeout=20) as database:
    update = 'UPDATE model_versions SET status = ? WHERE name = ? AND version = ?'
    assert database.execute(update, sys.argv[1:]).rowcount == 1";
        let mut python = tools::python().command("python");
        process::run(python.args(["-c", script, status, name, version]).current_dir(self.folder()));
    }

    /// Trains a small scikit-learn model, logs and registers it with MLflow's own client.
    ///
    /// # Panics
    /// When that fails.
    pub fn register_model(&self, name: &str, tags: &[(&str, &str)], aliases: &[&str]) -> Registered {
        self.register_model_in(None, name, tags, aliases)
    }

    /// The same in a workspace.
    ///
    /// # Panics
    /// When that fails.
    pub fn register_model_in(
        &self,
        workspace: Option<&str>,
        name: &str,
        tags: &[(&str, &str)],
        aliases: &[&str],
    ) -> Registered {
        let folder = tempfile::tempdir().expect("a folder for the trainer");
        let out = folder.path().join("registered.json");
        let mut command = tools::python().command("python");
        command.arg(places::data("mlflow/train_model.py")).args(["--name", name]);
        for (key, value) in tags {
            command.arg(format!("--tag={key}={value}"));
        }
        for alias in aliases {
            command.arg(format!("--alias={alias}"));
        }
        command.arg("--out").arg(&out).envs(self.environment.iter().cloned()).current_dir(folder.path());
        command.envs(workspace.map(|workspace| ("MLFLOW_WORKSPACE", workspace)));
        process::run(&mut command);
        let registered = std::fs::read(out).expect("the trainer wrote what it did");
        serde_json::from_slice(&registered).expect("the trainer writes what the tests read")
    }

    /// Logs models and files with MLflow's own client, and registers one as the first version of `name`, in
    /// production.
    ///
    /// # Panics
    /// When that fails.
    pub fn log_items(&self, name: &str) -> Items {
        let folder = tempfile::tempdir().expect("a folder for the client");
        let mut command = tools::python().command("python");
        command.arg(places::data("mlflow/log_items.py")).arg(name).current_dir(folder.path());
        let said = process::run(command.envs(self.environment.iter().cloned()));
        let last = said.lines().rfind(|line| line.starts_with('{')).expect("the client says what it did");
        serde_json::from_str(last).expect("the client says what the tests read")
    }
}

fn artifact_arguments(artifacts: Artifacts<'_>, folder: &Path) -> Vec<String> {
    let folder = folder.join("artifacts").display().to_string();
    let direct = |root| vec!["--no-serve-artifacts".to_owned(), "--default-artifact-root".to_owned(), root];
    let proxied = |root| vec!["--artifacts-destination".to_owned(), root];
    match artifacts {
        Artifacts::Proxied => proxied(folder),
        Artifacts::ProxiedFolder(folder) => proxied(folder.display().to_string()),
        Artifacts::Folder => direct(format!("file://{folder}")),
        Artifacts::Bucket(_, bucket) => direct(format!("s3://{bucket}/mlflow")),
        Artifacts::GoogleBucket(_, bucket) => direct(format!("gs://{bucket}/mlflow")),
        Artifacts::Container(azure, container) => {
            direct(format!("wasbs://{container}@{}.blob.core.windows.net/mlflow", azure.account()))
        }
        Artifacts::Server(port) => {
            direct(format!("http://127.0.0.1:{port}/api/2.0/mlflow-artifacts/artifacts/of-others"))
        }
        Artifacts::ProxiedBucket(_, bucket) => proxied(format!("s3://{bucket}/mlflow")),
    }
}

/// The environment of who reads from the store itself.
fn of_store(artifacts: Artifacts<'_>) -> Vec<(String, String)> {
    match artifacts {
        Artifacts::Bucket(s3, _) | Artifacts::ProxiedBucket(s3, _) => s3.environment(),
        Artifacts::GoogleBucket(gcs, _) => gcs.environment(),
        Artifacts::Container(azure, _) => azure.environment(),
        Artifacts::Proxied | Artifacts::ProxiedFolder(_) | Artifacts::Folder | Artifacts::Server(_) => {
            Vec::new()
        }
    }
}

fn auth_settings(folder: &Path, login: &Login) -> String {
    format!(
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = sqlite:///{}/auth.db\n\
         admin_username = {}\nadmin_password = {}\n\
         authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n",
        folder.display(),
        login.username,
        login.password
    )
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let index = usize::try_from(bits >> (18 - 6 * digit) & 63).expect("six bits fit");
            text.push(if digit <= group.len() { char::from(DIGITS[index]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_agrees_with_the_examples_of_its_rfc() {
        for (plain, encoded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
