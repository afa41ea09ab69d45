//! Who takes part. Each program is installed in a pinned version, runs with its defaults or with what its
//! documentation recommends for many large files, and is told of the benchmark's authority in its own way.

mod aria2;
mod aws;
pub mod curl;
mod kserve;
mod mlflow;
pub mod ours;
mod rclone;
mod s5cmd;

use std::collections::BTreeSet;
use std::path::Path;

use crate::client::{Client, Job, Protocol};
use crate::data_set::DataSet;
use crate::options::{Network, Options, Peer};
use crate::problem::Outcome;

pub use mlflow::Proxy as MlflowProxy;

/// Those who run, and what must stay alive while they do.
pub struct Field {
    /// The clients, ours first.
    pub clients: Vec<Client>,
    /// Each program with its version.
    pub versions: Vec<String>,
    /// What is left out, and why.
    pub notes: Vec<String>,
    /// The MLflow server, if one of the clients needs it.
    _mlflow: Option<MlflowProxy>,
}

/// Installs and describes the clients that the options ask for.
pub fn assemble(options: &Options, fetcher: &Path, job: &Job, data: &DataSet) -> Outcome<Field> {
    let mut field = Field { clients: Vec::new(), versions: Vec::new(), notes: Vec::new(), _mlflow: None };
    field.versions.push(ours::version(fetcher)?);
    for peer in options.peers() {
        match peer {
            Peer::Kserve => kserve::add(&mut field, job),
            Peer::S5cmd => s5cmd::add(&mut field, job),
            Peer::Rclone => rclone::add(&mut field, job),
            Peer::Curl => curl::add(&mut field, job),
            Peer::Aria2 => aria2::add(&mut field, job)?,
            Peer::Aws => aws::add(&mut field, job),
            Peer::Mlflow => {
                let slow = options.network == Network::Slow;
                field._mlflow = mlflow::add(&mut field, job, data, slow)?;
            }
            Peer::None => {}
        }
    }
    // Ours takes part in every protocol that someone speaks, so that there is something to compare with.
    let protocols: BTreeSet<Protocol> = field.clients.iter().map(|client| client.protocol).collect();
    let s3 = protocols.contains(&Protocol::S3).then_some(Protocol::S3);
    let ours = [Protocol::Http].into_iter().chain(s3).map(|protocol| ours::client(fetcher, job, protocol));
    field.clients.splice(0..0, ours.collect::<Vec<_>>());
    Ok(field)
}
