//! aria2, without and with its own checks of digests.

use std::fmt::Write as _;
use std::path::Path;

use plimsoll_tests::{process, tools};

use super::Field;
use crate::client::{Client, Job, Protocol};
use crate::problem::Outcome;

pub fn add(field: &mut Field, job: &Job) -> Outcome<()> {
    let program = tools::debian_package("aria2", "/usr/bin/aria2c");
    let version = process::run(std::process::Command::new(&program).arg("--version"));
    field.versions.push(version.lines().next().unwrap_or_default().to_owned());
    for (name, verifies) in [("aria2", false), ("aria2, with its checksum option", true)] {
        let mut text = String::new();
        for (url, digest) in job.urls().iter().zip(&job.digests) {
            let _ = writeln!(text, "{url}");
            if verifies {
                let _ = writeln!(text, "  checksum=sha-256={digest}");
            }
        }
        let orders = job.orders(&format!("aria2-{verifies}.txt"), &text)?;
        let (program, job) = (program.clone(), job.clone());
        let command = move |destination: &Path| {
            let mut command = job.command(&program);
            command.args(["--no-conf", "--quiet", "--max-concurrent-downloads=4", "--dir"]).arg(destination);
            if let Some(authority) = &job.endpoint.authority {
                command.arg(format!("--ca-certificate={}", authority.display()));
            }
            command.arg(format!("--input-file={}", orders.display()));
            command
        };
        let client = Client::peer(name, Protocol::Http, command);
        field.clients.push(if verifies { client.verifying() } else { client });
    }
    Ok(())
}
