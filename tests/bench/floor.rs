//! What a verified transfer cannot cost less than: what curl needs to bring the bytes, and what SHA-256 needs
//! to look at them.
//!
//! Both are measured in the rounds in which ours is: curl, one file after the other, of the same files into
//! the same place, and `openssl speed`, which hashes one buffer again and again and reads nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use plimsoll_tests::tools;
use serde::{Deserialize, Serialize};

use crate::client::{Job, Protocol};
use crate::clients::{curl, ours};
use crate::comparison::{Place, transfer};
use crate::options::Options;
use crate::problem::{Outcome, Problem};
use crate::process_tree::measure;
use crate::statistics::{gibibytes, spread};

/// What is allowed above the floor.
const ALLOWED: f64 = 1.1;
/// The buffer that `openssl speed` hashes.
const BUFFER: &str = "65536";

/// CPU seconds per GiB, medians of the rounds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Floor {
    /// Ours.
    pub ours: f64,
    /// curl's, one file after the other.
    pub curl: f64,
    /// curl's, four files at a time.
    pub curl_parallel: f64,
    /// SHA-256's, one stream.
    pub sha256: f64,
    /// Ours divided by the sum of curl's and SHA-256's, round by round.
    pub ratio: f64,
}

/// Measures them in turn.
pub fn measure_floor(options: &Options, fetcher: &Path, job: &Job, place: Place<'_>) -> Outcome<Floor> {
    let clients = [
        ours::client(fetcher, job, Protocol::Http),
        curl::client("curl", job, &[]),
        curl::client("curl, 4 in parallel", job, &curl::PARALLEL),
    ];
    let size = gibibytes(place.data.bytes());
    transfer(&clients[0], place)?;
    let (mut seconds, mut ratios) = ([const { Vec::new() }; 4], Vec::new());
    for _ in 0..options.rounds {
        let mut of_round = [0.0; 4];
        for (client, seconds) in clients.iter().zip(&mut of_round) {
            *seconds = transfer(client, place)?.0.cpu / size;
        }
        of_round[3] = sha256(place.log)?;
        let [ours, curl, _, sha256] = of_round;
        ratios.push(ours / (curl + sha256));
        seconds.iter_mut().zip(of_round).for_each(|(all, one)| all.push(one));
    }
    let [ours, curl, curl_parallel, sha256] = seconds.map(|all| spread(all).median);
    Ok(Floor { ours, curl, curl_parallel, sha256, ratio: spread(ratios).median })
}

/// CPU seconds that SHA-256 of a GiB takes.
fn sha256(log: &Path) -> Outcome<f64> {
    let mut speed = Command::new(tools::debian_package("openssl", "/usr/bin/openssl"));
    speed.args(["speed", "-mr", "-seconds", "1", "-bytes", BUFFER, "-evp", "sha256"]);
    measure(vec![speed], log)?;
    let printed = fs::read_to_string(log).map_err(Problem::at("read", log))?;
    // `+F:<number>:sha256:<bytes per second>`; the time is that of the processor.
    let rate =
        printed.lines().find_map(|line| line.strip_prefix("+F:")?.rsplit(':').next()?.parse::<f64>().ok());
    let rate = rate.ok_or_else(|| Problem::new(format!("expected a rate from openssl, got `{printed}`")))?;
    Ok(1_073_741_824.0 / rate)
}

/// The lines for a terminal.
pub fn render(floor: &Floor) -> String {
    format!(
        "\nCPU seconds per GiB: curl {:.2} (4 in parallel {:.2}), SHA-256 {:.2}, ours {:.2}\n\
         ours ÷ (curl + SHA-256): {:.2}, at most {ALLOWED} is wanted\n",
        floor.curl, floor.curl_parallel, floor.sha256, floor.ours, floor.ratio
    )
}
