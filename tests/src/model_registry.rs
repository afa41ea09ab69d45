//! Kubeflow's own model registry over a real MariaDB server.
//!
//! It can also be had over PostgreSQL, where this version of it cannot list artifacts: it forgets to quote the names of tables.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{End, Server, free_port};
use crate::{http, process, tools};

const API: &str = "/api/model_registry/v1alpha3";
/// The database that an installation of MariaDB comes with.
const DATABASE: &str = "test";

/// A running registry.
#[derive(Debug)]
pub struct ModelRegistry {
    _server: Server,
    _database: Server,
    _folder: TempDir,
    port: u16,
}

impl ModelRegistry {
    /// Starts an empty registry.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the database");
        let database = database(folder.path());
        let port = free_port();
        let mut command = Command::new(tools::model_registry());
        command.args(["proxy", "--hostname", "127.0.0.1", "--port", &port.to_string()]);
        let source =
            format!("root@unix({})/{DATABASE}?charset=utf8mb4&parseTime=True", socket(folder.path()));
        command.args(["--embedmd-database-type", "mysql", "--embedmd-database-dsn", &source]);
        let server = Server::start("model-registry", &command, Duration::from_secs(60), || {
            http::get(port, "/readyz/health").is_ok_and(|answer| answer.status == 200)
        });
        Self { _server: server, _database: database, _folder: folder, port }
    }

    /// What `MODEL_REGISTRY` is for this server.
    pub fn registry(&self) -> String {
        format!("model-registry+http://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends a document and gives the answer.
    ///
    /// # Panics
    /// When the server refuses it.
    #[track_caller]
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let headers = [("content-type", "application/json")];
        let text = body.to_string();
        let answer = http::request(method, self.port, &format!("{API}/{path}"), &headers, text.as_bytes());
        let answer = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(matches!(answer.status, 200 | 201), "{path}: {}", answer.text());
        answer.json()
    }

    /// Makes something and gives its number.
    #[track_caller]
    fn make(&self, path: &str, body: &Value) -> String {
        self.call("POST", path, body)["id"].as_str().expect("what is made has an id").to_owned()
    }

    /// Registers a model and gives its number.
    #[track_caller]
    pub fn model(&self, name: &str) -> String {
        self.make("registered_models", &json!({"name": name}))
    }

    /// Registers a version and gives its number.
    #[track_caller]
    pub fn version(&self, model: &str, name: &str) -> String {
        self.make("model_versions", &json!({"name": name, "registeredModelId": model}))
    }

    /// Adds an artifact to a version: a model at an address, unless `more` says otherwise. Gives its number.
    #[track_caller]
    pub fn artifact(&self, version: &str, name: &str, uri: &str, more: &Value) -> String {
        let mut artifact = json!({"artifactType": "model-artifact", "name": name, "uri": uri});
        let all = artifact.as_object_mut().expect("it is an object");
        for (key, value) in more.as_object().expect("more is an object") {
            all.insert(key.clone(), value.clone());
        }
        all.retain(|_, value| !value.is_null());
        self.make(&format!("model_versions/{version}/artifacts"), &artifact)
    }
}

fn socket(folder: &Path) -> String {
    folder.join("socket").display().to_string()
}

/// MariaDB in a folder, which only its socket leads to.
fn database(folder: &Path) -> Server {
    tools::debian_package("mariadb-client-core", "/usr/bin/my_print_defaults");
    let program = tools::debian_package("mariadb-server-core", "/usr/sbin/mariadbd");
    let data = format!("--datadir={}", folder.join("data").display());
    let mut install = Command::new("mariadb-install-db");
    install.args(["--no-defaults", "--user=root", "--auth-root-authentication-method=normal", &data]);
    process::run(&mut install);
    let mut command = Command::new(program);
    command.args([
        "--no-defaults",
        "--user=root",
        "--skip-networking",
        "--innodb-flush-log-at-trx-commit=0",
        &data,
    ]);
    command.arg(format!("--socket={}", socket(folder)));
    command.arg(format!("--pid-file={}", folder.join("pid").display()));
    let mut server = Server::spawn("mariadbd", &command, End::Terminate);
    server.wait_ready(Duration::from_secs(60), || {
        std::os::unix::net::UnixStream::connect(socket(folder)).is_ok()
    });
    server
}
