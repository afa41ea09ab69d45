//! s5cmd, with its defaults and with what suits a machine of few processors.

use std::path::{Path, PathBuf};

use plimsoll_tests::{process, tools};

use super::Field;
use crate::client::{Client, Job, Protocol};

pub fn add(field: &mut Field, job: &Job) {
    let program = program();
    let version = process::run(std::process::Command::new(&program).arg("version"));
    field.versions.push(format!("s5cmd {}", version.trim()));
    for (name, workers, options) in [
        ("s5cmd", None, &[][..]),
        ("s5cmd, 4 workers", Some("4"), &["--concurrency", "4", "--part-size", "16"]),
    ] {
        let (program, job) = (program.clone(), job.clone());
        let command = move |destination: &Path| {
            let mut command = job.s3_command(&program);
            command.args(["--log", "error", "--endpoint-url", &job.endpoint.url]);
            command.args(workers.iter().flat_map(|workers| ["--numworkers", workers]));
            command.arg("cp").args(options).arg(format!("{}*", job.s3_prefix()));
            command.arg(format!("{}/", destination.display()));
            command
        };
        field.clients.push(Client::peer(name, Protocol::S3, command));
    }
}

/// The program itself, which its package hides behind a Python script that costs a start of Python.
pub fn program() -> PathBuf {
    let find = "import pathlib, s5cmd; print(pathlib.Path(s5cmd.__file__).parent / 'bin/s5cmd')";
    PathBuf::from(process::run(tools::transfer_python().command("python").args(["-c", find])).trim())
}
