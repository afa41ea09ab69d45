//! `fetcher pull`, from the catalog behind the server.

use std::path::Path;
use std::process::Command;

use plimsoll_tests::process;

use crate::client::{Client, Job, Protocol};
use crate::data_set::{BUCKET, MODEL, VERSION};
use crate::problem::Outcome;

pub fn client(fetcher: &Path, job: &Job, protocol: Protocol) -> Client {
    let (fetcher, job) = (fetcher.to_owned(), job.clone());
    let pull = move |destination: &Path| pull(&fetcher, &job, protocol, destination);
    let mut client = Client::peer(format!("fetcher, {protocol}"), protocol, pull).verifying();
    client.ours = true;
    client
}

/// The command that pulls the model.
pub fn pull(fetcher: &Path, job: &Job, protocol: Protocol, destination: &Path) -> Command {
    let registry = match protocol {
        Protocol::S3 => format!("catalog+s3://{BUCKET}"),
        Protocol::Http | Protocol::Mlflow => format!("catalog+{}/{BUCKET}", job.endpoint.url),
    };
    let mut command = job.s3_command(fetcher);
    command.env("AWS_ALLOW_HTTP", "true");
    if let Some(authority) = &job.endpoint.authority {
        command.env("SSL_CERT_FILE", authority);
    }
    command.args([
        "pull",
        "--registry",
        &registry,
        "--model-name",
        MODEL,
        "--model-version",
        VERSION,
        "--dest",
    ]);
    command.arg(destination);
    command
}

/// What the program calls itself.
pub fn version(fetcher: &Path) -> Outcome<String> {
    Ok(process::run(Command::new(fetcher).arg("--version")).trim().to_owned())
}
