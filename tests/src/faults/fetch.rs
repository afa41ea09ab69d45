//! Runs the fetcher, watched, to its end or to one that it is given.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use handoff::{Layout, Receipt};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::World;
use super::watcher::{Seen, Watcher, files};
use crate::{binaries, poll, tools};

/// Longest run, which is longer than the deadline that the fetcher is given.
const LONGEST: Duration = Duration::from_secs(45);
/// The usual settings: several connections and little patience.
const SETTINGS: [(&str, &str); 4] = [
    ("FETCHER_CONNECTIONS", "4"),
    ("FETCHER_STALL_TIMEOUT", "1s"),
    ("FETCHER_RETRY_ATTEMPTS", "3"),
    ("FETCHER_DEADLINE", "20s"),
];

/// How a run ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// By itself.
    Itself,
    /// By a signal after so long, if it is still at work.
    Signal(Signal, Duration),
    /// By SIGKILL as a thread is about to make the call of this name for the so many'th time, counted from 1.
    Call(&'static str, u32),
}

/// How one run of the fetcher ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// The exit code; none when it was killed.
    pub code: Option<i32>,
    /// The termination message.
    pub last_words: String,
    /// The log.
    pub log: String,
    /// How long it took.
    pub took: Duration,
    /// What was seen meanwhile.
    pub seen: Seen,
}

/// The folder of the model on a volume.
pub(crate) fn model_folder(volume: &Path) -> PathBuf {
    volume.join("model")
}

/// Runs the fetcher, watched.
pub(crate) fn fetch(world: &World, port: u16, volume: &TempDir, settings: &[(&str, &str)], end: End) -> Run {
    let (words, log) = (volume.path().join("termination-log"), volume.path().join("log"));
    let _ = fs::remove_file(&words);
    let model = model_folder(volume.path());
    let mut command = begin(end);
    command.args(world.arguments(port)).env_clear().envs(SETTINGS).envs(world.environment(port));
    command.envs(settings.iter().copied()).env("MODEL_DIR", &model).env("FETCHER_TERMINATION_LOG", &words);
    let to_log = File::create(&log).expect("a log file can be created");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(to_log);
    let started = Instant::now();
    let mut child = command.spawn().expect("the fetcher starts");
    let watcher = Watcher::start(&model, world.expected().clone(), child.id());
    let status = wait(&mut child, end);
    Run {
        code: status.and_then(|status| status.code()),
        took: started.elapsed(),
        seen: watcher.end(),
        last_words: fs::read_to_string(&words).unwrap_or_default(),
        log: fs::read_to_string(&log).unwrap_or_default(),
    }
}

/// The fetcher, or a tracer that starts it.
fn begin(end: End) -> Command {
    let End::Call(call, number) = end else { return Command::new(binaries::fetcher()) };
    let mut command = Command::new(tools::debian_package("strace", "/usr/bin/strace"));
    // It ends as what it traces does. Calls are counted for each thread.
    command.args(["--follow-forks", "--quiet=all", "--output=/dev/null"]);
    command.arg(format!("--trace={call}")).arg(format!("--inject={call}:signal=KILL:when={number}"));
    command.arg(binaries::fetcher());
    command
}

/// Waits for the end, or brings it about.
fn wait(child: &mut Child, end: End) -> Option<ExitStatus> {
    let state = |child: &mut Child| child.try_wait().expect("the state of a child is known");
    if let End::Signal(signal, after) = end {
        thread::sleep(after);
        // A process that has ended meanwhile keeps its number until it is waited for.
        let _ = kill_process(Pid::from_child(child), signal);
    }
    let status = poll::within(LONGEST, || state(child));
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    status
}

/// Why a volume does not hold the whole model, byte for byte, with a receipt that says so; nothing if it does.
pub(crate) fn what_is_missing(volume: &Path, world: &World) -> Vec<String> {
    let model = model_folder(volume);
    let content = |path: PathBuf| {
        let name = path.strip_prefix(&model).unwrap_or(&path).display().to_string();
        (name, fs::read(&path).unwrap_or_default())
    };
    let mut problems = Vec::new();
    let there: BTreeMap<_, _> = files(&model).into_iter().map(content).collect();
    if &there != world.expected() {
        let names: Vec<_> = there.keys().collect();
        problems.push(format!("expected the whole model, got {names:?} or other content"));
    }
    let layout = Layout::new(model, None);
    match Receipt::read(&layout.receipt()) {
        Ok(receipt) if receipt.files.len() == world.expected().len() => {}
        Ok(receipt) => problems.push(format!("the receipt names {} files", receipt.files.len())),
        Err(error) => problems.push(format!("no usable receipt: {error}")),
    }
    if layout.staging().exists() {
        problems.push("the staging area is still there".to_owned());
    }
    problems
}
