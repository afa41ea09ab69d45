//! MLflow's own client, from S3 and through an MLflow server that hands out the files itself.

use std::path::Path;

use plimsoll_tests::mlflow_server::{Artifacts, MlflowServer, Options};
use plimsoll_tests::{process, tools};

use super::Field;
use crate::client::{Client, Job, Protocol};
use crate::data_set::{BUCKET, DataSet, MODEL, VERSION};
use crate::problem::Outcome;
use crate::slow_network::SlowNetwork;

const DOWNLOAD: &str =
    "import sys, mlflow.artifacts\nmlflow.artifacts.download_artifacts(sys.argv[1], dst_path=sys.argv[2])";

/// The MLflow server and what stands before it.
pub struct Proxy {
    _server: MlflowServer,
    _network: Option<SlowNetwork>,
}

pub fn add(field: &mut Field, job: &Job, data: &DataSet, slow: bool) -> Outcome<Option<Proxy>> {
    let environment = tools::python();
    let version = process::run(environment.command("mlflow").arg("--version"));
    field.versions.push(version.trim().replace(", version", ""));
    let uri = format!("s3://{BUCKET}/{MODEL}/{VERSION}");
    field.clients.push(client("MLflow client, s3", Protocol::S3, job, uri, None));
    if job.endpoint.authority.is_some() {
        field.notes.push("MLflow's server is left out: it does not speak TLS itself".to_owned());
        return Ok(None);
    }
    let server = MlflowServer::start(&Options {
        artifacts: Artifacts::ProxiedFolder(&data.root),
        ..Options::default()
    });
    let network = slow.then(|| SlowNetwork::before(server.port())).transpose()?;
    let port = network.as_ref().map_or(server.port(), SlowNetwork::port);
    let uri = format!("mlflow-artifacts:/{BUCKET}/{MODEL}/{VERSION}");
    let tracking = format!("http://127.0.0.1:{port}");
    field.clients.push(client("MLflow client, its server", Protocol::Mlflow, job, uri, Some(tracking)));
    Ok(Some(Proxy { _server: server, _network: network }))
}

fn client(name: &str, protocol: Protocol, job: &Job, uri: String, tracking: Option<String>) -> Client {
    let (program, job) = (tools::python().root().join("bin/python"), job.clone());
    let command = move |destination: &Path| {
        let mut command = job.s3_command(&program);
        command.env("MLFLOW_S3_ENDPOINT_URL", &job.endpoint.url).env("MLFLOW_DISABLE_TELEMETRY", "true");
        command.envs(tracking.iter().map(|url| ("MLFLOW_TRACKING_URI", url)));
        command.args(["-c", DOWNLOAD, &uri]).arg(destination);
        command
    };
    let mut client = Client::peer(name, protocol, command);
    client.subfolder = VERSION;
    client
}
