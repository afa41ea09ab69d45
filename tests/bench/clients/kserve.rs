//! KServe's storage initializer: the package that its image holds, called as the image's entry point calls
//! it.

use std::path::Path;

use plimsoll_tests::{process, tools};

use super::Field;
use crate::client::{Client, Job, Protocol};

const ENTRY_POINT: &str = "import sys\nfrom kserve_storage import Storage\n\
                           Storage.download_files(sys.argv[1::2], sys.argv[2::2])";

pub fn add(field: &mut Field, job: &Job) {
    let environment = tools::kserve_python();
    let program = environment.root().join("bin/python");
    let ask = "from importlib.metadata import version; print(version('kserve-storage'))";
    let version = process::run(environment.command("python").args(["-c", ask]));
    field.versions.push(format!("kserve-storage {}", version.trim()));
    for protocol in [Protocol::Http, Protocol::S3] {
        let (program, job) = (program.clone(), job.clone());
        let command = move |destination: &Path| {
            let mut command = job.s3_command(&program);
            if let Some(authority) = &job.endpoint.authority {
                command.env("REQUESTS_CA_BUNDLE", authority);
            }
            command.args(["-c", ENTRY_POINT]);
            let uris = match protocol {
                Protocol::S3 => vec![job.s3_prefix()],
                Protocol::Http | Protocol::Mlflow => job.urls(),
            };
            for uri in uris {
                command.arg(uri).arg(destination);
            }
            command
        };
        let name = format!("KServe storage initializer, {protocol}");
        field.clients.push(Client::peer(name, protocol, command).representative());
    }
}
