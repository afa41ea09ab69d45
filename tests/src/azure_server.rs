//! Azurite, Microsoft's own stand-in for Azure Blob Storage: it checks signatures, conditions and the protocol.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Server, free_port};
use crate::{http, places, tools};

const ACCOUNT: &str = "plimsoll";
/// `not a secret of anyone`.
const KEY: &str = "bm90IGEgc2VjcmV0IG9mIGFueW9uZQ==";

/// A running server.
#[derive(Debug)]
pub struct AzureServer {
    _server: Server,
    port: u16,
    _folder: Option<TempDir>,
}

impl AzureServer {
    /// Starts a server without any container.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let mut command = tools::azurite();
        command.arg("--inMemoryPersistence");
        Self::with(command, None)
    }

    /// Starts a server that has a container with blobs of these names already, of one byte each, which nobody can read:
    /// they stand in what the server keeps on its disk. To make thousands by requests takes it minutes.
    ///
    /// # Panics
    /// When it does not start.
    pub fn listing(container: &str, names: impl Iterator<Item = String>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let time = "2026-11-27T12:00:00.000Z";
        let properties = json!({"creationTime": time, "lastModified": time, "etag": "\"1\"", "contentLength": 1,
            "contentType": "application/octet-stream", "blobType": "BlockBlob"});
        let blob = |(number, name): (usize, String)| {
            json!({"accountName": ACCOUNT, "containerName": container, "name": name, "properties": properties,
                "snapshot": "", "isCommitted": true, "deleted": false, "$loki": number + 1})
        };
        let container = json!({"accountName": ACCOUNT, "name": container, "$loki": 1,
            "properties": {"lastModified": time, "etag": "\"1\""}});
        let collection = |name: &str, data: Vec<Value>| {
            json!({"name": name, "maxId": data.len(), "data": data, "binaryIndices": {}, "uniqueNames": [],
                "transforms": {}, "DynamicViews": [], "disableChangesApi": true})
        };
        let blobs = names.enumerate().map(blob).collect();
        let kept = json!({"databaseVersion": 1.5, "collections": [
            collection("$CONTAINERS_COLLECTION$", vec![container]), collection("$BLOBS_COLLECTION$", blobs)]});
        let file = folder.path().join("__azurite_db_blob__.json");
        fs::write(file, kept.to_string()).expect("the folder can be written to");
        let mut command = tools::azurite();
        command.arg("--location").arg(folder.path());
        Self::with(command, Some(folder))
    }

    fn with(mut command: Command, folder: Option<TempDir>) -> Self {
        let port = free_port();
        command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
        command.args(["--disableTelemetry", "--skipApiVersionCheck"]);
        command.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY}"));
        let server = Server::start("azurite", &command, Duration::from_secs(60), || {
            http::get(port, "/").is_ok_and(|answer| answer.status >= 400)
        });
        Self { _server: server, port, _folder: folder }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The environment that lets a client in, by the name that every client knows.
    pub fn environment(&self) -> Vec<(String, String)> {
        vec![("AZURE_STORAGE_CONNECTION_STRING".to_owned(), self.connection_string())]
    }

    /// The name of the account.
    pub fn account(&self) -> &'static str {
        ACCOUNT
    }

    /// The address of the account.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.port)
    }

    /// What every client takes: account, key and address in one.
    pub fn connection_string(&self) -> String {
        format!("AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={}", self.url())
    }

    /// Has the official client do what these lines say; see `tests/data/azure/storage.py`.
    ///
    /// # Panics
    /// When it fails.
    pub fn does(&self, operations: &[Value]) -> String {
        let mut client = tools::azure_python().command("python");
        client.arg(places::data("azure/storage.py")).arg(self.connection_string());
        let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python runs");
        let lines: String = operations.iter().map(|operation| format!("{operation}\n")).collect();
        let written = client.stdin.take().expect("it has an input").write_all(lines.as_bytes());
        written.expect("it reads its input");
        let output = client.wait_with_output().expect("it ends");
        assert!(output.status.success(), "the client of Azure failed: {}", output.status);
        String::from_utf8(output.stdout).expect("it prints text").trim().to_owned()
    }
}
