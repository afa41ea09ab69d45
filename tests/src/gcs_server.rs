//! A server that answers as Google Cloud Storage does, with the checksums that it keeps.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::process::{Server, free_port};
use crate::{http, process, tools};

/// A running server.
#[derive(Debug)]
pub struct GcsServer {
    _server: Server,
    port: u16,
}

impl GcsServer {
    /// Starts a server with what is in `folder`: buckets, and objects in them.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(folder: &Path) -> Self {
        let port = free_port();
        let mut command = Command::new(tools::fake_gcs_server());
        command.args(["-scheme", "http", "-host", "127.0.0.1", "-backend", "memory"]);
        command.args(["-port", &port.to_string(), "-public-host", &format!("127.0.0.1:{port}")]);
        command.arg("-data").arg(folder);
        let server = Server::start("fake-gcs-server", &command, Duration::from_secs(30), || {
            http::get(port, "/storage/v1/b").is_ok_and(|answer| answer.status == 200)
        });
        Self { _server: server, port }
    }

    /// Uploads an object, with what is to be kept of it beside its bytes.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn put(&self, bucket: &str, name: &str, content: &[u8], metadata: &[(&str, &str)]) {
        let folder = tempfile::tempdir().expect("a folder for the content");
        let file = folder.path().join("content");
        fs::write(&file, content).expect("the content can be written");
        let query: String = metadata.iter().map(|(key, value)| format!("&{key}={value}")).collect();
        let name = name.replace('/', "%2F");
        let url =
            format!("{}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}{query}", self.url());
        let mut curl = Command::new(tools::debian_package("curl", "/usr/bin/curl"));
        curl.args(["-fsS", "-H", "Content-Type: application/octet-stream", "--data-binary"]);
        process::run(curl.arg(format!("@{}", file.display())).arg(url));
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The environment that leads a client here, by the name that every client knows.
    pub fn environment(&self) -> Vec<(String, String)> {
        vec![("STORAGE_EMULATOR_HOST".to_owned(), self.url())]
    }

    /// Its address; objects are at `/<bucket>/<name>`, as they are in the XML API.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
