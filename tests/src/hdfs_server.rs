//! A cluster of Hadoop's file system: a NameNode and a DataNode, which speak WebHDFS.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::process::{Server, free_port};
use crate::{http, process, tools};

/// Who may do anything: whoever the NameNode runs as.
const SUPERUSER: &str = "root";
/// Bytes of a block; there is no more to a file in most tests.
const BLOCK: u64 = 1024 * 1024;

/// A running cluster.
#[derive(Debug)]
pub struct HdfsServer {
    _server: Server,
    _folder: tempfile::TempDir,
    port: u16,
}

impl HdfsServer {
    /// Starts a cluster with nothing in it. Delegation tokens are given to anybody, as there is no Kerberos.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for its blocks");
        let port = free_port();
        let started = folder.path().join("started.json");
        let mut command = tools::hadoop("org.apache.hadoop.test.MiniDFSClusterManager");
        command.args(["-format", "-datanodes", "1", "-httpport", &port.to_string(), "-writeDetails"]);
        command.arg(&started).args(["-D", "dfs.namenode.delegation.token.always-use=true"]);
        command.args(["-D", "dfs.namenode.fs-limits.min-block-size=1024"]);
        command.current_dir(folder.path()).env("HADOOP_USER_NAME", SUPERUSER);
        let server = Server::start("hadoop", &command, Duration::from_secs(90), || {
            started.is_file()
                && http::get(port, "/webhdfs/v1/?op=LISTSTATUS").is_ok_and(|answer| answer.status == 200)
        });
        Self { _server: server, _folder: folder, port }
    }

    /// The NameNode's web address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where the NameNode listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Writes a file, over another one if there is one.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn put(&self, path: &str, content: &[u8]) {
        self.put_in_blocks(path, content, BLOCK);
    }

    /// Writes a file in blocks of a number of bytes: a multiple of 512, and not less than 1024.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn put_in_blocks(&self, path: &str, content: &[u8], block: u64) {
        let folder = tempfile::tempdir().expect("a folder for the content");
        let file = folder.path().join("content");
        fs::write(&file, content).expect("the content can be written");
        self.call(
            "PUT",
            path,
            &format!("CREATE&overwrite=true&blocksize={block}"),
            &["-T", &file.display().to_string()],
        );
    }

    /// Puts all that is in a local folder below `path`.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn put_all(&self, path: &str, files: &[(&str, &[u8])]) {
        files.iter().for_each(|(name, content)| self.put(&format!("{path}/{name}"), content));
    }

    /// Has an operation done on a path, by whoever may do anything.
    ///
    /// # Panics
    /// When the cluster refuses it.
    pub fn change(&self, method: &str, path: &str, operation: &str) -> String {
        self.call(method, path, operation, &[])
    }

    fn call(&self, method: &str, path: &str, operation: &str, more: &[&str]) -> String {
        let encoded: Vec<_> = path.split('/').map(encoded).collect();
        let url =
            format!("{}/webhdfs/v1/{}?op={operation}&user.name={SUPERUSER}", self.url(), encoded.join("/"));
        let mut curl = Command::new(tools::debian_package("curl", "/usr/bin/curl"));
        process::run(curl.args(["-fsSL", "-X", method]).args(more).arg(url))
    }
}

fn encoded(segment: &str) -> String {
    segment
        .bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}

/// A Secret as KServe mounts it: a folder with a file for each key.
///
/// # Panics
/// When it cannot be written.
pub fn mount(folder: &Path, keys: &[(&str, &str)]) {
    for (key, value) in keys {
        fs::write(folder.join(key), value).expect("the key can be written");
    }
}
