//! The comparison: rounds in which every client runs once, so that a slow moment of the machine meets all.
//!
//! Before a run the destination is emptied; after it, its files are compared with the originals, byte for
//! byte. A checksum pass is measured right behind the transfer that it belongs to, and both times are added
//! up.

use std::fs;
use std::path::Path;

use crate::checksum_pass::{self, Tool};
use crate::client::{Client, Protocol};
use crate::clients::Field;
use crate::data_set::DataSet;
use crate::options::Options;
use crate::problem::{Outcome, Problem};
use crate::process_tree::{Usage, measure};
use crate::report::Row;
use crate::slow_network::SlowNetwork;

/// Where things are in a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// What is transferred.
    pub data: &'a DataSet,
    /// Into which folder.
    pub destination: &'a Path,
    /// Where clients print to.
    pub log: &'a Path,
    /// What is between the clients and the server.
    pub network: Option<&'a SlowNetwork>,
}

/// Runs all clients in all rounds.
pub fn run(options: &Options, field: &Field, place: Place<'_>) -> Outcome<Vec<Row>> {
    let mut rows: Vec<Vec<Row>> = field.clients.iter().map(|client| rows_of(client, options)).collect();
    // Once without being measured: the server has then opened every file, and the memory has been in use.
    if let Some(first) = field.clients.first() {
        transfer(first, place)?;
    }
    for round in 1..=options.rounds {
        println!("round {round} of {}", options.rounds);
        let mut turns: Vec<_> = field.clients.iter().zip(&mut rows).collect();
        // Nobody always runs behind the same neighbour.
        if round % 2 == 0 {
            turns.reverse();
        }
        for (client, rows) in turns {
            let (transfer, connections) = transfer(client, place)
                .map_err(|problem| Problem::new(format!("{}: {problem}", client.name)))?;
            println!(
                "  {:40} {:7.2} s {:7.2} s CPU {:6.0} MiB",
                client.name,
                transfer.wall,
                transfer.cpu,
                crate::statistics::mebibytes(transfer.memory)
            );
            for row in rows {
                let usage = match row.checked_with() {
                    None => transfer,
                    Some(tool) => {
                        let folder = place.destination.join(client.subfolder);
                        transfer.then(checksum_pass::run(tool, place.data, &folder, place.log)?)
                    }
                };
                row.runs.push(usage);
                row.connections.extend(connections);
            }
        }
    }
    Ok(rows.into_iter().flatten().collect())
}

/// The lines of the table that the runs of a client make.
fn rows_of(client: &Client, options: &Options) -> Vec<Row> {
    let mut rows = vec![Row::new(&client.name, client.protocol, client.ours, client.verifies, None)];
    if !client.verifies && !options.no_checksums {
        let tools = [Tool::Openssl, Tool::Sha256sum];
        for tool in tools.into_iter().filter(|tool| *tool == Tool::Openssl || client.representative) {
            let name = format!("{}, then {}", client.name, tool.name());
            rows.push(Row::new(&name, client.protocol, false, true, Some(tool)));
        }
    }
    rows
}

/// One run of one client: what it cost, and over how many connections.
pub fn transfer(client: &Client, place: Place<'_>) -> Outcome<(Usage, Option<usize>)> {
    empty(place.destination)?;
    if let Some(network) = place.network {
        network.take_peak();
    }
    let usage = measure(vec![(client.command)(place.destination)], place.log)?;
    let through_it = client.protocol != Protocol::Mlflow;
    let connections = place.network.filter(|_| through_it).map(SlowNetwork::take_peak);
    place.data.compare_with(&place.destination.join(client.subfolder))?;
    Ok((usage, connections))
}

/// Leaves a folder with nothing in it.
pub fn empty(folder: &Path) -> Outcome<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(Problem::at("empty", folder))?;
    }
    fs::create_dir(folder).map_err(Problem::at("create", folder))
}
