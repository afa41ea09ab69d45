//! The sidecar's own numbers: memory, processor time while there is nothing to do, and how long `/health` takes beside
//! nginx with a file of the same size.
//!
//! Both servers are asked in the same run by the same client, in turn, and a ratio is taken within a round. nginx has one worker,
//! as the sidecar is one thread; it answers from a file, while the sidecar judges anew for each answer and looks whether the
//! receipt is still there.

use std::fs;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use plimsoll_tests::load::{Latencies, Load};
use plimsoll_tests::ready_sidecar::{ReadySidecar, Resident};
use plimsoll_tests::web_server::WebServer;
use plimsoll_tests::{binaries, http};

use crate::documents;
use crate::machine::Machine;
use crate::options::Options;
use crate::problem::{Outcome, Problem};
use crate::statistics::{float, paired_ratio, spread};

/// How long it is left alone.
const IDLE: Duration = Duration::from_secs(300);
/// Requests after which memory is looked at.
const REQUESTS: usize = 10_000;
/// Clients that ask at the same time.
const CLIENTS: usize = 8;
/// Requests of each client in a round.
const REQUESTS_A_ROUND: usize = 1000;

/// How long answers took in each round, in milliseconds.
#[derive(Debug, Default)]
struct Rounds {
    median: Vec<f64>,
    p99: Vec<f64>,
}

impl Rounds {
    fn push(&mut self, latencies: &Latencies) {
        self.median.push(milliseconds(latencies.per_mille(500)));
        self.p99.push(milliseconds(latencies.per_mille(990)));
    }
}

/// Runs the scenario.
pub fn run(options: &Options) -> Outcome<()> {
    let sidecar = ReadySidecar::start(binaries::static_health_sidecar());
    let at_rest = sidecar.resident();
    println!("leaving it alone for {} s …", IDLE.as_secs());
    let before = sidecar.processor_time();
    thread::sleep(IDLE);
    let used = sidecar.processor_time().saturating_sub(before);

    let health = |keep, requests| Load {
        address: sidecar.address(),
        path: "/health",
        clients: CLIENTS,
        requests,
        keep,
    };
    health(true, REQUESTS / CLIENTS).run();
    let after = sidecar.resident();
    let mut text = String::from("| | measured |\n|---|---|\n");
    for (what, found) in
        [("memory at rest, ready", memory(at_rest)), ("… after 10,000 requests at `/health`", memory(after))]
    {
        text += &format!("| {what} | {found} |\n");
    }
    let share = used.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    let idle = format!("{} ms in {} s: {share:.3} % of a core", used.as_millis(), IDLE.as_secs());
    text += &format!("| processor time, ready and left alone, default settings | {idle} |\n");

    let body =
        http::get(sidecar.address().port(), "/health").map_err(|error| Problem::new(error.to_string()))?.body;
    let nginx = WebServer::nginx();
    let file = nginx.folder().join("health");
    fs::write(&file, &body).map_err(Problem::at("write", &file))?;
    text += "\n| `/health` | p50 ÷ nginx | p99 ÷ nginx | p50, ms | p99, ms | nginx p50, ms | nginx p99, ms |\n|---|---|---|---|---|---|---|\n";
    for (name, keep) in [("connections kept", true), ("a new connection for each request", false)] {
        let of_nginx =
            Load { address: (Ipv4Addr::LOCALHOST, nginx.port()).into(), ..health(keep, REQUESTS_A_ROUND) };
        let (mut ours, mut theirs) = (Rounds::default(), Rounds::default());
        // The first round does not count, and the order turns around from round to round.
        for round in 0..=options.rounds {
            let ours_first = round % 2 == 0;
            let early = if ours_first { health(keep, REQUESTS_A_ROUND).run() } else { of_nginx.run() };
            let late = if ours_first { of_nginx.run() } else { health(keep, REQUESTS_A_ROUND).run() };
            let (of_ours, of_theirs) = if ours_first { (early, late) } else { (late, early) };
            if round > 0 {
                ours.push(&of_ours);
                theirs.push(&of_theirs);
            }
        }
        let [p50, p99] = [(&ours.median, &theirs.median), (&ours.p99, &theirs.p99)]
            .map(|(ours, theirs)| paired_ratio(ours, theirs));
        let numbers = [&ours.median, &ours.p99, &theirs.median, &theirs.p99]
            .map(|values| spread(values.iter().copied()))
            .map(|spread| format!("{:.2} ({:.2}–{:.2})", spread.median, spread.least, spread.most));
        text += &format!("| {name} | {p50:.2} | {p99:.2} | {} |\n", numbers.join(" | "));
    }
    text += &format!("\n| memory after all that | {} |\n|---|---|\n", memory(sidecar.resident()));
    text += &format!(
        "\n{CLIENTS} clients, {} answers of {} bytes from each server in a round, {} rounds. {}.\n",
        CLIENTS * REQUESTS_A_ROUND,
        body.len(),
        options.rounds,
        Machine::this().describe()
    );
    print!("{text}");
    if options.write_docs {
        documents::write_block("sidecar", &text)?;
    }
    Ok(())
}

fn memory(resident: Resident) -> String {
    let [now, peak, anonymous, file] =
        [resident.now, resident.peak, resident.anonymous, resident.file].map(|kib| float(kib) / 1024.0);
    format!(
        "{now:.2} MiB (the most {peak:.2}), of it {anonymous:.2} written and {file:.2} of the program's file"
    )
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
