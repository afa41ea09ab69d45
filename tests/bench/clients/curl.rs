//! curl, one file after the other and four at a time.

use std::path::Path;

use plimsoll_tests::{process, tools};

use super::Field;
use crate::client::{Client, Job, Protocol};

/// What makes curl fetch four files at a time.
pub const PARALLEL: [&str; 3] = ["--parallel", "--parallel-max", "4"];

pub fn add(field: &mut Field, job: &Job) {
    let version = process::run(std::process::Command::new(program()).arg("--version"));
    field.versions.push(version.split(' ').take(2).collect::<Vec<_>>().join(" "));
    field.clients.push(client("curl, 4 in parallel", job, &PARALLEL).representative());
    field.clients.push(client("curl", job, &[]));
}

/// curl with some more arguments.
pub fn client(name: &str, job: &Job, more: &'static [&'static str]) -> Client {
    let (program, job) = (program(), job.clone());
    let command = move |destination: &Path| {
        let mut command = job.command(&program);
        command.args(["--disable", "--silent", "--show-error", "--fail", "--remote-name-all"]).args(more);
        if let Some(authority) = &job.endpoint.authority {
            command.arg("--cacert").arg(authority);
        }
        command.arg("--output-dir").arg(destination).args(job.urls());
        command
    };
    Client::peer(name, Protocol::Http, command)
}

fn program() -> std::path::PathBuf {
    tools::debian_package("curl", "/usr/bin/curl")
}
