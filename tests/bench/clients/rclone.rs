//! rclone.

use std::path::Path;

use plimsoll_tests::{process, tools};

use super::Field;
use crate::client::{Client, Job, Protocol};

pub fn add(field: &mut Field, job: &Job) {
    let program = tools::transfer_python().root().join("bin/rclone");
    let version = process::run(std::process::Command::new(&program).arg("version"));
    field.versions.push(version.lines().next().unwrap_or_default().to_owned());
    let job = job.clone();
    let command = move |destination: &Path| {
        let mut command = job.s3_command(&program);
        command.args(["copy", "--config", "/dev/null", "--s3-provider", "Other", "--s3-env-auth"]);
        command.args(["--s3-endpoint", &job.endpoint.url, "--s3-region", "us-east-1", "--retries", "1"]);
        if let Some(authority) = &job.endpoint.authority {
            command.arg("--ca-cert").arg(authority);
        }
        command.arg(job.s3_prefix().replace("s3://", ":s3:")).arg(destination);
        command
    };
    field.clients.push(Client::peer("rclone copy", Protocol::S3, command).representative());
}
