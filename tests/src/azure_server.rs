//! Azurite, Microsoft's own stand-in for Azure Blob Storage: it checks signatures, conditions and the protocol.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

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
}

impl AzureServer {
    /// Starts a server without any container.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let port = free_port();
        let mut command = tools::azurite();
        command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string(), "--inMemoryPersistence"]);
        command.args(["--disableTelemetry", "--skipApiVersionCheck"]);
        command.env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{KEY}"));
        let server = Server::start("azurite", &command, Duration::from_secs(60), || {
            http::get(port, "/").is_ok_and(|answer| answer.status >= 400)
        });
        Self { _server: server, port }
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
    pub fn does(&self, operations: &[serde_json::Value]) -> String {
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
