//! An interrupted transfer: how much of what was there already is sent again.
//!
//! Ours is ended when it has written half of the bytes, once by SIGTERM and once by SIGKILL, and started
//! again. The server's own account of what it sent says what the second run asked for.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use handoff::{Layout, Receipt};
use plimsoll_tests::poll;
use rustix::process::{Pid, Signal, kill_process};

use crate::client::Protocol;
use crate::clients::ours;
use crate::comparison::empty;
use crate::options::Options;
use crate::problem::{Outcome, Problem};
use crate::process_tree::measure;
use crate::stage::Stage;
use crate::statistics::{float, mebibytes};

/// When the first run must have written half at the latest.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs the scenario.
pub fn run(options: &Options, fetcher: &Path) -> Outcome<()> {
    let stage = Stage::set(options, fetcher, true)?;
    println!("{}", options.title(&stage.data));
    for protocol in [Protocol::Http, Protocol::S3] {
        for (name, signal) in [("SIGTERM", Signal::TERM), ("SIGKILL", Signal::KILL)] {
            empty(&stage.destination)?;
            let before = sent(&stage);
            let written = interrupt(fetcher, &stage, protocol, signal)?;
            let first = sent(&stage) - before;
            let usage =
                measure(vec![ours::pull(fetcher, &stage.job, protocol, &stage.destination)], &stage.log)?;
            stage.data.compare_with(&stage.destination)?;
            let second = sent(&stage) - before - first;
            let receipt = Layout::new(stage.destination.clone(), None).receipt();
            let receipt = Receipt::read(&receipt).map_err(|error| Problem::new(error.to_string()))?;
            let percent = |bytes: u64| 100.0 * float(bytes) / float(stage.data.bytes());
            println!(
                "{protocol:5} {name}: ended at {:.0} %; sent in run 1 {:.1} %, in run 2 {:.1} %, \
                 together {:.1} %; \
                 kept {:.0} MiB; run 2 took {:.2} s",
                percent(written),
                percent(first),
                percent(second),
                percent(first + second),
                mebibytes(receipt.resumed_bytes),
                usage.wall
            );
        }
    }
    Ok(())
}

/// What the server has sent, once no transfer is under way: it writes a line when an answer is done.
fn sent(stage: &Stage) -> u64 {
    let mut last = (stage.server.bytes_sent(), Instant::now());
    let quiet = Duration::from_millis(300);
    let settled = poll::within(Duration::from_secs(10), || {
        let now = stage.server.bytes_sent();
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() >= quiet).then_some(now)
    });
    settled.unwrap_or(last.0)
}

/// Starts a pull and ends it when half is written; gives how much that was.
fn interrupt(fetcher: &Path, stage: &Stage, protocol: Protocol, signal: Signal) -> Outcome<u64> {
    let mut command = ours::pull(fetcher, &stage.job, protocol, &stage.destination);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(Problem::at("start", fetcher))?;
    let wait = |child: &mut Child| child.wait().map_err(Problem::at("wait for", fetcher));
    let deadline = Instant::now() + LIMIT;
    loop {
        let written = written(child.id());
        if written * 2 >= stage.data.bytes() || Instant::now() >= deadline {
            let _ = kill_process(Pid::from_child(&child), signal);
            let status = wait(&mut child)?;
            if status.success() {
                return Err(Problem::new("the first run was done before it could be interrupted")
                    .hint("choose a larger --size, or --network slow"));
            }
            return Ok(written);
        }
        if child.try_wait().map_err(Problem::at("wait for", fetcher))?.is_some() {
            return Err(Problem::new("the first run ended before half was written")
                .hint("choose a larger --size, or --network slow"));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Bytes that a process has written, to files and sockets.
fn written(process: u32) -> u64 {
    let account = fs::read_to_string(format!("/proc/{process}/io")).unwrap_or_default();
    let field = account.lines().find_map(|line| line.strip_prefix("wchar: "));
    field.and_then(|bytes| bytes.parse::<u64>().ok()).unwrap_or_default()
}
