//! The AWS command line with its classic transfer client.

use std::path::Path;

use plimsoll_tests::{process, tools};

use super::Field;
use crate::client::{Client, Job, Protocol};

pub fn add(field: &mut Field, job: &Job) {
    let program = tools::transfer_python().root().join("bin/aws");
    let version = process::run(std::process::Command::new(&program).arg("--version"));
    field.versions.push(version.split(' ').next().unwrap_or_default().to_owned());
    let job = job.clone();
    let command = move |destination: &Path| {
        let mut command = job.s3_command(&program);
        command.args(["s3", "cp", "--recursive", "--only-show-errors", &job.s3_prefix()]).arg(destination);
        command
    };
    field.clients.push(Client::peer("AWS CLI", Protocol::S3, command));
}
