//! The model of the cases and the real stores that hold it.
//!
//! Starting a store takes longer than most cases, so cases that leave it as it is share one of each kind; the last of
//! them to end takes it down. A case that changes the store has one of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::certificates::Certificate;
use crate::mlflow_server::{MlflowServer, Options};
use crate::noise::noise;
use crate::s3_server::S3Server;
use crate::web_server::WebServer;
use crate::{binaries, process};

/// Name of the file that is large enough to be fetched in ranges over several connections.
pub const LARGE_FILE: &str = "weights.bin";
/// Its size: several parts.
pub const LARGE: usize = 12_000_000;

/// Where a model is, and how it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A version of a catalog in a bucket, with digests.
    S3Catalog,
    /// The same folder as a plain prefix: the store names the files, and nobody knows digests.
    S3Prefix,
    /// A version of a catalog behind a web server.
    HttpCatalog,
    /// One file of a web server by its URL; nobody knows its digest.
    HttpFile,
    /// A catalog behind a web server with TLS.
    Tls(Certificate),
    /// A version in MLflow's registry, behind its artifact proxy.
    Mlflow,
    /// A bucket behind that server, which is not even asked for it.
    S3Tls(Certificate),
}

impl Source {
    /// What the names of its cases begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::S3Catalog => "s3",
            Self::S3Prefix => "s3_prefix",
            Self::HttpCatalog => "http",
            Self::HttpFile => "http_file",
            Self::Tls(_) => "tls",
            Self::S3Tls(_) => "s3_tls",
            Self::Mlflow => "mlflow",
        }
    }

    /// How the document calls it.
    pub fn shown(self) -> &'static str {
        match self {
            Self::S3Catalog => "S3 catalog",
            Self::S3Prefix => "S3 prefix",
            Self::HttpCatalog => "HTTP catalog",
            Self::HttpFile => "HTTP file",
            Self::Tls(_) => "HTTPS catalog",
            Self::S3Tls(_) => "S3 by HTTPS",
            Self::Mlflow => "MLflow",
        }
    }
}

#[derive(Debug)]
enum Server {
    S3(S3Server),
    Web(WebServer),
    Mlflow(MlflowServer),
}

/// A real store that holds the model.
#[derive(Debug)]
pub struct World {
    source: Source,
    server: Server,
    /// The files that the fetcher is to bring.
    expected: BTreeMap<String, Vec<u8>>,
    /// Another large file, in a store that is not shared.
    other: Option<PathBuf>,
}

static SHARED: Mutex<Vec<(Source, Weak<World>)>> = Mutex::new(Vec::new());

impl World {
    /// A store for a source.
    ///
    /// # Panics
    /// When it does not start.
    pub fn of(source: Source, alone: bool) -> Arc<Self> {
        if alone {
            let mut world = Self::start(source, model());
            world.other = Some(world.set_aside(&noise(LARGE + 8)[8..]));
            return Arc::new(world);
        }
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let found = shared.iter().find(|(kind, _)| *kind == source).and_then(|(_, world)| world.upgrade());
        if let Some(world) = found {
            return world;
        }
        let world = Arc::new(Self::start(source, model()));
        shared.retain(|(_, world)| world.strong_count() > 0);
        shared.push((source, Arc::downgrade(&world)));
        world
    }

    /// A store for a source that holds a model of these files.
    ///
    /// # Panics
    /// When it does not start.
    pub fn holding(source: Source, files: BTreeMap<String, Vec<u8>>) -> Self {
        Self::start(source, files)
    }

    fn start(source: Source, files: BTreeMap<String, Vec<u8>>) -> Self {
        let server = match source {
            Source::S3Catalog | Source::S3Prefix => {
                let server = S3Server::start();
                server.create_bucket("models");
                Server::S3(server)
            }
            Source::HttpCatalog | Source::HttpFile => Server::Web(WebServer::nginx()),
            Source::Mlflow => Server::Mlflow(MlflowServer::start(&Options::default())),
            Source::Tls(certificate) | Source::S3Tls(certificate) => {
                Server::Web(WebServer::nginx_with_certificate(certificate.maker()))
            }
        };
        let mut world = Self { source, server, expected: files, other: None };
        match &world.server {
            Server::Mlflow(server) => world.register(server),
            Server::S3(_) | Server::Web(_) => world.publish(),
        }
        match source {
            Source::S3Prefix => {
                let descriptor = fs::read(world.stored("model.yaml")).expect("the descriptor is stored");
                world.expected.insert("model.yaml".to_owned(), descriptor);
            }
            Source::HttpFile => world.expected.retain(|name, _| name == LARGE_FILE),
            Source::S3Catalog | Source::HttpCatalog | Source::Tls(_) | Source::S3Tls(_) | Source::Mlflow => {}
        }
        world
    }

    /// Puts the files where MLflow keeps those of a run, and registers them under a version of that name.
    fn register(&self, server: &MlflowServer) {
        let run = server.call("POST", "runs/create", &json!({"experiment_id": "0"}));
        let (run, uri) = (&run["run"]["info"]["run_id"], &run["run"]["info"]["artifact_uri"]);
        let uri = uri.as_str().expect("a run has its artifacts somewhere");
        let below = uri.strip_prefix("mlflow-artifacts:/").expect("the server hands artifacts out itself");
        self.write(&server.folder().join("artifacts").join(below).join("model"));
        server.call("POST", "registered-models/create", &json!({"name": "a"}));
        let version = json!({"name": "a", "source": format!("{uri}/model"), "run_id": run});
        server.call("POST", "model-versions/create", &version);
        server.set_version_tag("a", "1", "version", "v1");
    }

    fn write(&self, folder: &Path) {
        for (name, content) in &self.expected {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder can be made");
            fs::write(path, content).expect("a file can be written");
        }
    }

    fn publish(&self) {
        let folder = tempfile::tempdir().expect("a folder for the model");
        self.write(folder.path());
        let registry = match &self.server {
            Server::S3(_) => "catalog+s3://models".to_owned(),
            Server::Web(server) => format!("catalog+file://{}/models", server.folder().display()),
            Server::Mlflow(_) => return,
        };
        let mut command = Command::new(binaries::fetcher());
        command.arg("publish").arg(folder.path());
        command.args(["--registry", &registry, "--model-name", "a", "--model-version", "v1"]).env_clear();
        if let Server::S3(server) = &self.server {
            command.envs(server.environment());
        }
        process::run(&mut command);
    }

    /// What it is a store for.
    pub fn source(&self) -> Source {
        self.source
    }

    /// The port to ask.
    pub fn port(&self) -> u16 {
        match &self.server {
            Server::S3(server) => server.port(),
            Server::Web(server) => server.tls_port().unwrap_or_else(|| server.port()),
            Server::Mlflow(server) => server.port(),
        }
    }

    /// The files that the fetcher is to bring.
    pub fn expected(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.expected
    }

    /// Where the store has a file of the model.
    pub fn stored(&self, name: &str) -> PathBuf {
        let bucket = match &self.server {
            Server::S3(server) => server.bucket("models"),
            Server::Web(server) => server.folder().join("models"),
            Server::Mlflow(server) => server.folder().join("artifacts"),
        };
        bucket.join("a/v1").join(name)
    }

    /// Puts another large file of the same size into the store, as a publisher who overwrites a version does.
    ///
    /// # Panics
    /// When it cannot be replaced, or the store is shared.
    pub fn overwrite(&self) {
        self.replace(self.other.as_deref().expect("a store that is overwritten is not shared"));
    }

    /// Puts back what was there.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn restore(&self) {
        self.replace(&self.set_aside(&self.expected[LARGE_FILE]));
    }

    /// Takes the place of the large file at once, so that no reader waits for it.
    fn replace(&self, with: &Path) {
        fs::rename(with, self.stored(LARGE_FILE)).expect("the file can be replaced");
    }

    /// Has the store take a file beside the model.
    fn set_aside(&self, content: &[u8]) -> PathBuf {
        match &self.server {
            Server::S3(server) => {
                let folder = tempfile::tempdir().expect("a folder for the file");
                fs::write(folder.path().join(LARGE_FILE), content).expect("the file can be written");
                // The store keeps the ETag with the file, so a publish makes it and a rename takes it along.
                let mut command = Command::new(binaries::fetcher());
                command.arg("publish").arg(folder.path()).args(["--registry", "catalog+s3://models"]);
                let version = format!("v{}", super::run::unique());
                command.args(["--model-name", "b", "--model-version", &version]).env_clear();
                process::run(command.envs(server.environment()));
                server.bucket("models").join("b").join(version).join(LARGE_FILE)
            }
            Server::Web(_) | Server::Mlflow(_) => {
                let beside = self.stored("beside");
                fs::write(&beside, content).expect("the file can be written");
                // What nginx calls a strong ETag is size and time in seconds, so within a second it stays the same.
                let later = SystemTime::now() + Duration::from_secs(10 * u64::from(super::run::unique()));
                let file = File::options().write(true).open(&beside).expect("the file opens");
                file.set_modified(later).expect("the time of a file can be set");
                beside
            }
        }
    }

    /// The arguments that name the model at a store that listens on `port`.
    pub fn arguments(&self, port: u16) -> Vec<String> {
        let registered = |registry: String| {
            ["pull", "--registry", &registry, "--model-name", "a", "--model-version", "v1"]
                .map(Into::into)
                .into()
        };
        let named = |uri: String| vec!["pull".to_owned(), "--uri".to_owned(), uri];
        match self.source {
            Source::S3Catalog | Source::S3Tls(_) => registered("catalog+s3://models".to_owned()),
            Source::S3Prefix => named("s3://models/a/v1".to_owned()),
            Source::HttpCatalog => registered(format!("catalog+http://127.0.0.1:{port}/models")),
            Source::Mlflow => registered(format!("mlflow+http://127.0.0.1:{port}")),
            Source::HttpFile => named(format!("http://127.0.0.1:{port}/models/a/v1/{LARGE_FILE}")),
            Source::Tls(certificate) => {
                registered(format!("catalog+https://{}:{port}/models", certificate.host()))
            }
        }
    }

    /// The environment that the store behind `port` asks for.
    pub fn environment(&self, port: u16) -> Vec<(String, String)> {
        let set = |name: &str, value: String| (name.to_owned(), value);
        match &self.server {
            Server::S3(server) => {
                let own = |(name, value): (String, String)| match name.as_str() {
                    "AWS_ENDPOINT_URL" => (name, format!("http://127.0.0.1:{port}")),
                    _ => (name, value),
                };
                server.environment().into_iter().map(own).collect()
            }
            Server::Web(server) if server.tls_port().is_some() => {
                let mut environment = vec![set("SSL_CERT_FILE", server.authority().display().to_string())];
                if let Source::S3Tls(certificate) = self.source {
                    environment
                        .push(set("AWS_ENDPOINT_URL", format!("https://{}:{port}", certificate.host())));
                    environment.push(set("AWS_REGION", "us-east-1".to_owned()));
                    environment.push(set("AWS_SKIP_SIGNATURE", "true".to_owned()));
                }
                environment
            }
            Server::Web(_) | Server::Mlflow(_) => Vec::new(),
        }
    }
}

/// The model: a large file, a middling one, small ones in folders, and one that is empty.
fn model() -> BTreeMap<String, Vec<u8>> {
    [
        (LARGE_FILE, noise(LARGE)),
        ("tokenizer/vocabulary.bin", noise(300_000)),
        ("config.json", b"{\"layers\": 2}\n".to_vec()),
        ("code/__init__.py", Vec::new()),
    ]
    .map(|(name, content)| (name.to_owned(), content))
    .into()
}
