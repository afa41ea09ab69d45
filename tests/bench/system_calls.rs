//! How often a client asks the kernel, and how often it has the bytes copied to or from its own memory.
//!
//! One run under strace, which writes down every call; what a call returned is how many bytes it moved. A
//! client that reads every byte from a socket and writes it to a file copies it twice. One that splices
//! copies none.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Command;

use plimsoll_tests::tools;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::comparison::{Place, empty};
use crate::problem::{Outcome, Problem};
use crate::process_tree::measure;
use crate::statistics::{float, gibibytes};

/// Calls that copy what they return, by name.
const COPYING: [&str; 12] = [
    "read", "pread64", "readv", "preadv", "recvfrom", "recvmsg", "write", "pwrite64", "writev", "pwritev",
    "sendto", "sendmsg",
];
/// How many kinds of calls are named.
const NAMED: usize = 6;

/// What one client asked of the kernel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Calls {
    /// The client.
    pub client: String,
    /// Calls per GiB that it brought.
    pub per_gibibyte: f64,
    /// Bytes that were copied to or from its memory, per byte that it brought.
    pub copies: f64,
    /// The most frequent calls, with how many there were per GiB.
    pub most: Vec<(String, f64)>,
}

/// Runs a client under strace.
pub fn trace(client: &Client, place: Place<'_>, file: &Path) -> Outcome<Calls> {
    let strace = tools::debian_package("strace", "/usr/bin/strace");
    empty(place.destination)?;
    let inner = (client.command)(place.destination);
    let mut command = Command::new(strace);
    // No content of buffers and no paths: only what was called and what it returned.
    command.args(["-f", "-qq", "-s", "0", "-e", "signal=none", "-e", "verbose=none", "-o"]).arg(file);
    command.arg(inner.get_program()).args(inner.get_args()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = inner.get_current_dir() {
        command.current_dir(folder);
    }
    measure(vec![command], place.log).map_err(|problem| {
        Problem::new(problem.to_string())
            .hint("strace must be allowed to trace; leave --syscalls out where it is not")
    })?;
    place.data.compare_with(&place.destination.join(client.subfolder))?;
    let lines = BufReader::new(File::open(file).map_err(Problem::at("open", file))?).lines();
    let (counts, copied) = count(lines.map_while(Result::ok));
    let bytes = place.data.bytes();
    let per_gibibyte = |calls: u64| float(calls) / gibibytes(bytes);
    let mut most: Vec<(String, u64)> = counts.into_iter().collect();
    let total = most.iter().map(|(_, calls)| calls).sum();
    most.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
    most.truncate(NAMED);
    Ok(Calls {
        client: client.name.clone(),
        per_gibibyte: per_gibibyte(total),
        copies: float(copied) / float(bytes),
        most: most.into_iter().map(|(name, calls)| (name, per_gibibyte(calls))).collect(),
    })
}

/// Counts calls by name, and the bytes of those that copy.
fn count(lines: impl Iterator<Item = String>) -> (BTreeMap<String, u64>, u64) {
    let (mut counts, mut copied) = (BTreeMap::<String, u64>::new(), 0);
    for line in lines {
        // `123 read(3, ""..., 8192) = 8192`, or in two: `123 read(3, <unfinished ...>`,
        // `123 <... read resumed>""..., 8192) = 8192`.
        let Some((_, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let name = match call.strip_prefix("<... ") {
            Some(resumed) => resumed.split(' ').next().unwrap_or_default(),
            None => {
                let Some((name, _)) = call.split_once('(') else { continue };
                *counts.entry(name.to_owned()).or_default() += 1;
                name
            }
        };
        if COPYING.contains(&name)
            && let Some((_, result)) = call.rsplit_once(" = ")
        {
            copied +=
                result.split(' ').next().and_then(|bytes| bytes.parse::<u64>().ok()).unwrap_or_default();
        }
    }
    (counts, copied)
}

/// The lines for a terminal.
pub fn render(calls: &[Calls]) -> String {
    let mut text = String::from("\nsystem calls, in one run under strace\n");
    for calls in calls {
        let most = calls.most.iter().map(|(name, count)| format!("{name} {count:.0}")).collect::<Vec<_>>();
        text += &format!(
            "{:24} {:9.0} per GiB  {:5.2} copies per byte  {}\n",
            calls.client,
            calls.per_gibibyte,
            calls.copies,
            most.join(", ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn calls_in_two_lines_are_one_call() {
        let log = "1 read(3, \"\"..., 9) = 9\n2  write(4, \"\"..., 5 <unfinished ...>\n1 futex(0x1) = 0\n\
                   2 <... write resumed>) = 5\n1 read(3, 0x1, 9) = -1 EAGAIN (no)\n1 +++ exited with 0 +++";
        let (counts, copied) = count(log.lines().map(str::to_owned));
        assert_eq!((counts["read"], counts["write"], counts["futex"], counts.len()), (2, 1, 1, 3));
        assert_eq!(copied, 14);
    }
}
