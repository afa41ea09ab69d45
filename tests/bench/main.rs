//! `cargo run --locked --bin bench`: measures `fetcher` beside what an engineer would use in its place, on
//! this machine. `tests/bench/README.md` says how and what came out.

mod checksum_pass;
mod client;
mod clients;
mod comparison;
mod data_set;
mod documents;
mod floor;
mod machine;
mod memory;
mod memory_group;
mod object_server;
mod options;
mod plot;
mod problem;
mod process_tree;
mod recorder;
mod relay;
mod report;
mod resume;
mod sidecar;
mod slow_network;
mod stage;
mod start;
mod statistics;
mod system_calls;
mod table;
mod work_folder;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use plimsoll_tests::binaries;

use crate::client::Client;
use crate::machine::Machine;
use crate::options::{Options, Scenario};
use crate::problem::{Outcome, Problem};
use crate::report::Report;
use crate::stage::Stage;
use crate::system_calls::Calls;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome<()> {
    let of_fetcher = match options.scenario {
        Scenario::Compare => compare,
        Scenario::Resume => resume::run,
        Scenario::Memory => memory::run,
        Scenario::Start => start::run,
        Scenario::Sidecar => return sidecar::run(options),
    };
    process_tree::check_kernel()?;
    let fetcher = match &options.fetcher {
        Some(path) => path.canonicalize().map_err(Problem::at("find", path))?,
        None => binaries::static_binaries().join("fetcher"),
    };
    of_fetcher(options, &fetcher)
}

fn compare(options: &Options, fetcher: &Path) -> Outcome<()> {
    let stage = Stage::set(options, fetcher, false)?;
    let field = clients::assemble(options, fetcher, &stage.job, &stage.data)?;
    let rows = comparison::run(options, &field, stage.place())?;
    let plural = if options.rounds == 1 { "" } else { "s" };
    let report = Report {
        key: options.key(),
        title: format!("{}, {} round{plural}", options.title(&stage.data), options.rounds),
        bytes: stage.data.bytes(),
        rounds: options.rounds,
        machine: Machine::this(),
        versions: field.versions.clone(),
        notes: field.notes.clone(),
        rows,
        system_calls: if options.syscalls { trace(&field, &stage)? } else { Vec::new() },
        floor: match options.floor {
            true => Some(floor::measure_floor(options, fetcher, &stage.job, stage.place())?),
            false => None,
        },
    };
    print!("{}", table::render(&report));
    if options.syscalls {
        print!("{}", system_calls::render(&report.system_calls));
    }
    report.floor.iter().for_each(|floor| print!("{}", floor::render(floor)));
    println!("\nwritten: {}", report.save()?.display());
    if options.write_docs {
        documents::write(&report)?;
    }
    Ok(())
}

/// Ours, and the leanest of its peers that run.
fn trace(field: &clients::Field, stage: &Stage) -> Outcome<Vec<Calls>> {
    let traced = |client: &&Client| {
        client.ours || client.name.starts_with("curl, ") || client.name.starts_with("s5cmd")
    };
    let file = stage.log.with_extension("strace");
    field
        .clients
        .iter()
        .filter(traced)
        .map(|client| system_calls::trace(client, stage.place(), &file))
        .collect()
}
