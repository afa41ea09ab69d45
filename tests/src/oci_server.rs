//! A real OCI registry (Debian's `docker-registry`) over a temporary folder, and `oras` to push to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use handoff::Sha256Digest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Server, free_port};
use crate::{http, process, tools};

/// Who may read and write where anybody must be somebody.
pub const USER: &str = "reader";
/// The password.
pub const PASSWORD: &str = "c4n4ry-of-the-reader";
/// What the registry knows of it: bcrypt of the password, as `htpasswd -B` makes it.
const HASHED: &str = "$2b$04$abcdefghijklmnopqrstuuX0IHklor9Tfcet1BXu//.oRo29RQakS";

/// A running registry.
#[derive(Debug)]
pub struct OciServer {
    _server: Server,
    port: u16,
    folder: TempDir,
    is_private: bool,
}

impl OciServer {
    /// One for everybody.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        Self::with(false)
    }

    /// One that lets in [`USER`] alone.
    ///
    /// # Panics
    /// When it does not start.
    pub fn private() -> Self {
        Self::with(true)
    }

    fn with(is_private: bool) -> Self {
        let program = tools::debian_package("docker-registry", "/usr/bin/docker-registry");
        let (folder, port) = (tempfile::tempdir().expect("a folder for the registry"), free_port());
        let path = folder.path().display();
        let auth = if is_private {
            fs::write(folder.path().join("htpasswd"), format!("{USER}:{HASHED}\n"))
                .expect("it can be written");
            format!("auth: {{htpasswd: {{realm: models, path: {path}/htpasswd}}}}\n")
        } else {
            String::new()
        };
        let configuration = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {path}/data}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"}}\n{auth}"
        );
        let file = folder.path().join("config.yml");
        fs::write(&file, configuration).expect("the configuration can be written");
        let mut command = Command::new(program);
        command.arg("serve").arg(file);
        let server = Server::start("docker-registry", &command, Duration::from_secs(30), || {
            http::get(port, "/v2/").is_ok_and(|answer| matches!(answer.status, 200 | 401))
        });
        Self { _server: server, port, folder, is_private }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its host and port.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Where it is asked.
    pub fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    /// What a fetcher finds its models by.
    pub fn registry(&self) -> String {
        format!("oci://{}/models", self.host())
    }

    /// Where a blob is on its disk.
    pub fn blob_file(&self, digest: Sha256Digest) -> PathBuf {
        let hex = digest.to_string();
        self.folder.path().join(format!("data/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
    }

    /// Runs `oras` in a folder.
    ///
    /// # Panics
    /// When that fails.
    pub fn oras(&self, folder: &Path, arguments: &[&str]) -> String {
        let mut oras = Command::new(tools::oras());
        oras.args(arguments).arg("--plain-http").current_dir(folder).env("HOME", self.folder.path());
        if self.is_private {
            oras.args(["--username", USER, "--password", PASSWORD]);
        }
        process::run(&mut oras)
    }

    /// Pushes files of a folder as an artifact `models/<reference>`; the digest of its manifest.
    ///
    /// # Panics
    /// When that fails.
    pub fn push(&self, folder: &Path, reference: &str, arguments: &[&str]) -> String {
        let address = format!("{}/models/{reference}", self.host());
        let words =
            [&["push", "--no-tty", "--format", "go-template={{.digest}}", &address], arguments].concat();
        self.oras(folder, &words).trim().to_owned()
    }

    /// Puts a blob into `models/<name>`, and says what a manifest does of it.
    ///
    /// # Panics
    /// When that fails.
    pub fn blob(&self, name: &str, media_type: &str, content: &[u8]) -> Value {
        let file = self.folder.path().join("blob");
        fs::write(&file, content).expect("the blob can be written");
        let address = format!("{}/models/{name}", self.host());
        self.oras(self.folder.path(), &["blob", "push", "--no-tty", &address, "blob"]);
        let digest = format!("sha256:{}", Sha256Digest::of(content));
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    }

    /// Puts a manifest of these under `models/<reference>`, and says what an index does of it.
    ///
    /// # Panics
    /// When that fails.
    pub fn manifest(&self, reference: &str, config: &Value, layers: &[Value]) -> Value {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest =
            json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers});
        self.document(reference, &manifest)
    }

    /// Puts a document, a manifest or an index, under `models/<reference>`.
    ///
    /// # Panics
    /// When that fails.
    pub fn document(&self, reference: &str, document: &Value) -> Value {
        let text = document.to_string();
        fs::write(self.folder.path().join("manifest"), &text).expect("the manifest can be written");
        let media_type = document["mediaType"].as_str().expect("it says what it is");
        let address = format!("{}/models/{reference}", self.host());
        self.oras(
            self.folder.path(),
            &["manifest", "push", "--media-type", media_type, &address, "manifest"],
        );
        let digest = format!("sha256:{}", Sha256Digest::of(text.as_bytes()));
        json!({"mediaType": media_type, "digest": digest, "size": text.len()})
    }
}
