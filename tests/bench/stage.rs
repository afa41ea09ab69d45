//! What every scenario needs: the data, the server, what is between it and the clients, and where files go.

use std::path::{Path, PathBuf};

use crate::client::Job;
use crate::comparison::Place;
use crate::data_set::DataSet;
use crate::object_server::{ObjectServer, Setup};
use crate::options::{Network, Options};
use crate::problem::Outcome;
use crate::slow_network::SlowNetwork;
use crate::work_folder::WorkFolder;

/// Everything in place. Fields are dropped in order: servers end before their folders go.
pub struct Stage {
    /// The server.
    pub server: ObjectServer,
    /// What is between.
    pub network: Option<SlowNetwork>,
    /// What is transferred.
    pub data: DataSet,
    /// What clients are told.
    pub job: Job,
    /// Where clients print to.
    pub log: PathBuf,
    /// Where files go.
    pub destination: PathBuf,
    _elsewhere: Option<WorkFolder>,
    _work: WorkFolder,
}

impl Stage {
    /// Makes the data and starts the server; `log` makes it write down every request.
    pub fn set(options: &Options, fetcher: &Path, log: bool) -> Outcome<Self> {
        let work = WorkFolder::in_memory()?;
        println!("making the data …");
        let data = DataSet::publish(options.set, options.size, fetcher, &work)?;
        Self::around(options, work, data, log)
    }

    /// Starts the server over data that is there.
    pub fn around(options: &Options, work: WorkFolder, data: DataSet, log: bool) -> Outcome<Self> {
        let elsewhere = options.dest.as_deref().map(WorkFolder::below).transpose()?;
        let destination = elsewhere.as_ref().unwrap_or(&work).path().join("destination");
        let setup = Setup { workers: options.server_workers, tls: options.tls, log };
        let server = ObjectServer::start(&data, &work.subfolder("server")?, setup)?;
        let slow = options.network == Network::Slow;
        let network = slow.then(|| SlowNetwork::before(server.port())).transpose()?;
        let port = network.as_ref().map_or(server.port(), SlowNetwork::port);
        let job = Job::new(&data, server.endpoint(port), work.subfolder("home")?);
        let log = work.path().join("client.log");
        Ok(Self { server, network, data, job, log, destination, _elsewhere: elsewhere, _work: work })
    }

    /// As a comparison wants to have it.
    pub fn place(&self) -> Place<'_> {
        Place {
            data: &self.data,
            destination: &self.destination,
            log: &self.log,
            network: self.network.as_ref(),
        }
    }
}
