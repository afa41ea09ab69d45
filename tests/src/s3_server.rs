//! A real S3-compatible server over a temporary folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Server, free_port};
use crate::{http, places, process, tools};

const ACCESS_KEY: &str = "plimsoll-tests";
const SECRET_KEY: &str = "not-a-secret-of-anyone";
const REGION: &str = "us-east-1";

/// A running server.
#[derive(Debug)]
pub struct S3Server {
    _server: Server,
    port: u16,
    folder: TempDir,
    /// What was overwritten, in buckets that keep it.
    _versions: TempDir,
}

impl S3Server {
    /// Starts a server without any bucket.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the buckets");
        let versions = tempfile::tempdir().expect("a folder for old versions");
        let port = free_port();
        let mut command = Command::new(tools::versitygw());
        command
            .env("ROOT_ACCESS_KEY", ACCESS_KEY)
            .env("ROOT_SECRET_KEY", SECRET_KEY)
            .args([
                "--port",
                &format!("127.0.0.1:{port}"),
                "--region",
                REGION,
                "--health",
                "/health",
                "posix",
                "--versioning-dir",
            ])
            .args([versions.path(), folder.path()]);
        let server = Server::start("versitygw", &command, Duration::from_secs(30), || {
            http::get(port, "/health").is_ok_and(|answer| answer.status == 200)
        });
        Self { _server: server, port, folder, _versions: versions }
    }

    /// A server of another make, rclone's, without any bucket. It keeps no checksums.
    ///
    /// # Panics
    /// When it does not start.
    pub fn rclone() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the buckets");
        let versions = tempfile::tempdir().expect("a folder for nothing");
        let port = free_port();
        let mut command = tools::transfer_python().command("rclone");
        command.args(["serve", "s3", "--addr", &format!("127.0.0.1:{port}")]);
        command.args(["--auth-key", &format!("{ACCESS_KEY},{SECRET_KEY}"), "--vfs-cache-mode", "off"]);
        command.arg("--dir-cache-time=0").arg(folder.path());
        let server = Server::start("rclone", &command, Duration::from_secs(30), || {
            // Whoever does not sign is refused, by a server that is there.
            http::get(port, "/").is_ok()
        });
        Self { _server: server, port, folder, _versions: versions }
    }

    /// Makes a bucket: a folder below the server's own.
    ///
    /// # Panics
    /// When it exists.
    pub fn create_bucket(&self, name: &str) {
        fs::create_dir(self.folder.path().join(name)).expect("the bucket is new");
    }

    /// The folder of a bucket, where every object is a file of its name.
    pub fn bucket(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Uploads a file with a checksum by the AWS SDK; see `tests/data/s3/put_with_checksum.py`.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn put_with_checksum(&self, file: &Path, bucket: &str, key: &str, algorithm: &str, parts: u32) {
        let mut put = tools::python().command("python");
        put.arg(places::data("s3/put_with_checksum.py")).arg(file).args([bucket, key, algorithm]);
        process::run(put.arg(parts.to_string()).envs(self.environment()));
    }

    /// Lets requests without a signature read a bucket.
    ///
    /// # Panics
    /// When the server refuses the policy.
    pub fn let_anybody_read(&self, bucket: &str) {
        let resource = [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")];
        let statement = serde_json::json!({
            "Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": resource,
        });
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
        self.asks(&format!("put_bucket_policy(Bucket='{bucket}', Policy='{policy}')"));
    }

    /// Keeps what is overwritten in a bucket from now on.
    ///
    /// # Panics
    /// When the server refuses that.
    pub fn keep_versions(&self, bucket: &str) {
        let versioning = "VersioningConfiguration={'Status': 'Enabled'}";
        self.asks(&format!("put_bucket_versioning(Bucket='{bucket}', {versioning})"));
    }

    /// Has the AWS SDK ask for something.
    fn asks(&self, question: &str) {
        let script = format!("import boto3; boto3.client('s3').{question}");
        process::run(tools::python().command("python").args(["-c", &script]).envs(self.environment()));
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, for a client's endpoint setting.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The environment that lets a client in, by the names that every client of S3 knows.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.url().as_str()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ALLOW_HTTP", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }
}
