//! A client: a command that brings the data set into a folder, and what is known about it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde::{Deserialize, Serialize};

use crate::data_set::{BUCKET, DataSet};
use crate::object_server::Endpoint;
use crate::problem::{Outcome, Problem};

/// How a client asks for the data; ratios are between clients that ask in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Plain HTTP, file by file.
    Http,
    /// S3.
    S3,
    /// An MLflow server that hands out files itself.
    Mlflow,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Http => "http",
            Self::S3 => "s3",
            Self::Mlflow => "mlflow",
        })
    }
}

/// A client.
pub struct Client {
    /// Its name in the tables.
    pub name: String,
    /// How it asks.
    pub protocol: Protocol,
    /// Whether it is ours.
    pub ours: bool,
    /// Whether it compares what it got with digests from elsewhere.
    pub verifies: bool,
    /// Whether the slow checksum pass is measured behind it too.
    pub representative: bool,
    /// Below which folder of the destination its files are.
    pub subfolder: &'static str,
    /// The command that transfers everything into a folder.
    pub command: Box<dyn Fn(&Path) -> Command>,
}

impl Client {
    /// A peer that verifies nothing.
    pub fn peer(
        name: impl Into<String>,
        protocol: Protocol,
        command: impl Fn(&Path) -> Command + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            protocol,
            ours: false,
            verifies: false,
            representative: false,
            subfolder: "",
            command: Box::new(command),
        }
    }

    /// As one whose users would reach for `sha256sum`.
    pub fn representative(mut self) -> Self {
        self.representative = true;
        self
    }

    /// As one that verifies by itself.
    pub fn verifying(mut self) -> Self {
        self.verifies = true;
        self
    }
}

/// What all clients are told.
#[derive(Clone, Debug)]
pub struct Job {
    /// How to reach the server.
    pub endpoint: Endpoint,
    /// The files' names.
    pub names: Vec<String>,
    /// The files' digests, in the same order.
    pub digests: Vec<String>,
    /// A home without any settings.
    pub home: PathBuf,
}

impl Job {
    /// The job to fetch a data set from an endpoint.
    pub fn new(data: &DataSet, endpoint: Endpoint, home: PathBuf) -> Self {
        let names = data.files.iter().map(|file| file.name.clone()).collect();
        let digests = data.files.iter().map(|file| file.sha256.clone()).collect();
        Self { endpoint, names, digests, home }
    }

    /// The addresses of all files.
    pub fn urls(&self) -> Vec<String> {
        let folder = format!("{}/{BUCKET}/{}", self.endpoint.url, DataSet::prefix());
        self.names.iter().map(|name| format!("{folder}{name}")).collect()
    }

    /// The files' prefix in the bucket, with a slash at the end.
    pub fn s3_prefix(&self) -> String {
        format!("s3://{BUCKET}/{}", DataSet::prefix())
    }

    /// A command without anything of the surrounding environment.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let program = program.as_ref();
        let mut command = Command::new(program);
        command.env_clear().env("HOME", &self.home).env("LANG", "C.UTF-8").current_dir(&self.home);
        let standard = [PathBuf::from("/usr/bin"), PathBuf::from("/bin")];
        let folder = program.parent().map(Path::to_owned);
        command.env("PATH", env::join_paths(folder.into_iter().chain(standard)).unwrap_or_default());
        command
    }

    /// A command with the environment that S3 clients know.
    pub fn s3_command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = self.command(program);
        command
            .env("AWS_ENDPOINT_URL", &self.endpoint.url)
            .env("AWS_ACCESS_KEY_ID", "bench")
            .env("AWS_SECRET_ACCESS_KEY", "not-a-secret-of-anyone")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        if let Some(authority) = &self.endpoint.authority {
            command.env("AWS_CA_BUNDLE", authority);
        }
        command
    }

    /// Writes a file for a client that reads its orders from one.
    pub fn orders(&self, name: &str, text: &str) -> Outcome<PathBuf> {
        let path = self.home.join(name);
        fs::write(&path, text).map_err(Problem::at("write", &path))?;
        Ok(path)
    }
}
