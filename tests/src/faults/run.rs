//! Runs a case: once with the fault, and after a failure once more without it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use handoff::{Layout, Receipt};
use tempfile::TempDir;

use super::watcher::{Seen, Watcher, files};
use super::{Case, Harm, Source, World};
use crate::fault_proxy::{FaultProxy, tcp::TcpProxy};
use crate::fault_server::Request;
use crate::{binaries, poll};

/// Longest run, which is longer than the deadline that the fetcher is given.
const LONGEST: Duration = Duration::from_secs(45);
/// The usual settings: several connections and little patience.
const SETTINGS: [(&str, &str); 4] = [
    ("FETCHER_CONNECTIONS", "4"),
    ("FETCHER_STALL_TIMEOUT", "1s"),
    ("FETCHER_RETRY_ATTEMPTS", "3"),
    ("FETCHER_DEADLINE", "20s"),
];
/// No run may take more memory: a few times what buffers, the HTTP library and a small document need.
const MOST_KIB: u64 = 160 * 1024;
/// Bytes that a second run may be sent without needing them: of answers that another connection was faster with.
const IN_FLIGHT: u64 = 2_500_000;

/// How one run of the fetcher ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// The exit code; none when it had to be killed.
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

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Report {
    /// The name of the case.
    pub name: String,
    /// The run with the fault.
    pub run: Run,
    /// How often the fault came.
    pub strikes: usize,
    /// The run without it on the same volume, after a failure.
    pub again: Option<Run>,
    /// Bytes that the second run did not fetch again.
    pub resumed_bytes: u64,
    /// Bytes that it did fetch again although they were there.
    pub refetched_bytes: u64,
    /// What is not as the case says; nothing when all is well.
    pub problems: Vec<String>,
}

/// A number that no other caller has, in this process.
pub(super) fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(2);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Runs a case.
///
/// # Panics
/// When its server does not start.
pub fn run(case: &Case) -> Report {
    let world = World::of(case.source, case.alone);
    let strikes = Arc::new(AtomicUsize::new(0));
    let proxy = Proxy::start(case, &world, &strikes);
    let volume = tempfile::tempdir().expect("a folder for the model");
    let first = fetch(&world, proxy.port(), &volume, &case.settings);
    let mut report = Report {
        name: case.name.clone(),
        strikes: strikes.load(Ordering::Relaxed),
        run: first,
        again: None,
        resumed_bytes: 0,
        refetched_bytes: 0,
        problems: Vec::new(),
    };
    report.judge_first(case, &volume, &world);
    if proxy.told_another_host() {
        report.problem("saw credentials in a request to another host".to_owned());
    }
    proxy.heal();
    if case.alone {
        world.restore();
    }
    let is_wrong_source = matches!(case.harm, Harm::Source);
    if case.code != 0 && !is_wrong_source {
        let again = fetch(&world, proxy.port(), &volume, &[]);
        let receipt = Receipt::read(&Layout::new(model_folder(volume.path()), None).receipt());
        report.resumed_bytes = receipt.map_or(0, |receipt| receipt.resumed_bytes);
        let total: u64 = world.expected().values().map(|content| length(content)).sum();
        report.refetched_bytes = (proxy.sent(&world) + report.resumed_bytes).saturating_sub(total);
        report.again = Some(again);
        report.judge_second(case, &volume, &world);
    }
    report
}

enum Proxy {
    Answers(FaultProxy),
    Connections(TcpProxy),
}

impl Proxy {
    fn start(case: &Case, world: &Arc<World>, strikes: &Arc<AtomicUsize>) -> Self {
        match case.harm {
            Harm::Answers { aim, often, change } => {
                let proxy = FaultProxy::start(world.port());
                let (world, strikes, number) = (Arc::clone(world), Arc::clone(strikes), AtomicUsize::new(0));
                proxy.damage(Arc::new(move |request, answer| {
                    if !aim(request) || !often.strikes(number.fetch_add(1, Ordering::Relaxed)) {
                        return answer;
                    }
                    strikes.fetch_add(1, Ordering::Relaxed);
                    change(&world, request, answer)
                }));
                Self::Answers(proxy)
            }
            Harm::Connections(damage) => {
                strikes.fetch_add(1, Ordering::Relaxed);
                let proxy = TcpProxy::start(world.port());
                proxy.damage(damage);
                Self::Connections(proxy)
            }
            Harm::Source => {
                strikes.fetch_add(1, Ordering::Relaxed);
                Self::Connections(TcpProxy::start(world.port()))
            }
        }
    }

    fn port(&self) -> u16 {
        match self {
            Self::Answers(proxy) => proxy.port(),
            Self::Connections(proxy) => proxy.port(),
        }
    }

    fn heal(&self) {
        match self {
            Self::Answers(proxy) => proxy.heal(),
            Self::Connections(proxy) => proxy.heal(),
        }
    }

    /// Whether credentials came with a request that was redirected to another host.
    fn told_another_host(&self) -> bool {
        let Self::Answers(proxy) = self else { return false };
        let is_secret = |name: &str| ["authorization", "x-amz-security-token", "cookie"].contains(&name);
        proxy.exchanges().iter().map(|exchange| &exchange.request).any(|request| {
            request.header("host").is_some_and(|host| host.starts_with("localhost"))
                && request.headers.iter().any(|(name, _)| is_secret(name))
        })
    }

    /// Bytes of the model's files that were sent since the fault was removed.
    fn sent(&self, world: &World) -> u64 {
        match self {
            Self::Answers(proxy) => {
                // Who only looks at a file by its URL gets some of it, and has no condition.
                let is_read = |request: &Request| {
                    world.expected().keys().any(|name| request.target.contains(name.as_str()))
                        && (world.source() != Source::HttpFile || request.header("if-match").is_some())
                };
                let exchanges = proxy.exchanges();
                let reads = exchanges.iter().filter(|exchange| is_read(&exchange.request));
                reads.map(|exchange| exchange.sent).sum()
            }
            Self::Connections(proxy) => proxy.passed(),
        }
    }
}

fn length(content: &[u8]) -> u64 {
    u64::try_from(content.len()).unwrap_or(u64::MAX)
}

/// The folder of the model on a volume.
fn model_folder(volume: &Path) -> PathBuf {
    volume.join("model")
}

/// Runs the fetcher, watched.
fn fetch(world: &World, port: u16, volume: &TempDir, settings: &[(&str, &str)]) -> Run {
    let (words, log) = (volume.path().join("termination-log"), volume.path().join("log"));
    let _ = fs::remove_file(&words);
    let model = model_folder(volume.path());
    let mut command = Command::new(binaries::fetcher());
    command.args(world.arguments(port)).env_clear().envs(SETTINGS).envs(world.environment(port));
    command.envs(settings.iter().copied()).env("MODEL_DIR", &model).env("FETCHER_TERMINATION_LOG", &words);
    let to_log = File::create(&log).expect("a log file can be created");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(to_log);
    let started = Instant::now();
    let mut child = command.spawn().expect("the fetcher starts");
    let watcher = Watcher::start(&model, world.expected().clone(), child.id());
    let ended = poll::within(LONGEST, || child.try_wait().expect("the state of a child is known"));
    if ended.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    Run {
        code: ended.and_then(|status| status.code()),
        took: started.elapsed(),
        seen: watcher.end(),
        last_words: fs::read_to_string(&words).unwrap_or_default(),
        log: fs::read_to_string(&log).unwrap_or_default(),
    }
}

impl Report {
    fn problem(&mut self, what: String) {
        self.problems.push(what);
    }

    fn judge_first(&mut self, case: &Case, volume: &TempDir, world: &World) {
        if self.strikes == 0 {
            self.problem("the fault never came".to_owned());
        }
        let run = self.run.clone();
        if run.code != Some(case.code) {
            self.problem(format!("expected exit code {}, got {:?}", case.code, run.code));
        }
        if run.last_words.len() > 512 || run.last_words.contains(char::is_control) {
            self.problem(format!("expected one line of at most 512 bytes, got {:?}", run.last_words));
        }
        let said = if case.code == 0 { &run.log } else { &run.last_words };
        for words in case.words.iter().filter(|words| !said.contains(**words)) {
            self.problem(format!("expected `{words}` to be said, got `{said}`"));
        }
        self.judge_seen(&run);
        if case.code == 0 {
            self.judge_end(volume.path(), world);
        } else if run.seen.checked > 0 {
            self.problem(format!("expected nothing at final names, saw {} files", run.seen.checked));
        }
    }

    fn judge_second(&mut self, case: &Case, volume: &TempDir, world: &World) {
        let Some(again) = self.again.clone() else { return };
        if again.code != Some(0) {
            let words = &again.last_words;
            self.problem(format!("expected success without the fault, got {:?}: {words}", again.code));
            return;
        }
        self.judge_seen(&again);
        self.judge_end(volume.path(), world);
        if self.resumed_bytes < case.keeps {
            let (keeps, kept) = (case.keeps, self.resumed_bytes);
            self.problem(format!("expected at least {keeps} bytes not to be fetched again, got {kept}"));
        }
        if self.refetched_bytes > IN_FLIGHT {
            self.problem(format!("expected nothing to be fetched again, got {} bytes", self.refetched_bytes));
        }
    }

    fn judge_seen(&mut self, run: &Run) {
        if !run.seen.differing.is_empty() {
            self.problem(format!("saw wrong content at final names: {:?}", run.seen.differing));
        }
        if run.seen.early_receipt {
            self.problem("saw a receipt beside less than the whole model".to_owned());
        }
        if run.seen.peak_kib > MOST_KIB {
            self.problem(format!("expected at most {MOST_KIB} KiB of memory, got {}", run.seen.peak_kib));
        }
    }

    /// The model must be there, byte for byte, and the receipt say so.
    fn judge_end(&mut self, volume: &Path, world: &World) {
        let model = model_folder(volume);
        let content = |path: std::path::PathBuf| {
            let name = path.strip_prefix(&model).unwrap_or(&path).display().to_string();
            (name, fs::read(&path).unwrap_or_default())
        };
        let there: BTreeMap<_, _> = files(&model).into_iter().map(content).collect();
        if &there != world.expected() {
            let names: Vec<_> = there.keys().collect();
            self.problem(format!("expected the whole model, got {names:?} or other content"));
        }
        match Receipt::read(&Layout::new(model, None).receipt()) {
            Ok(receipt) if receipt.files.len() == world.expected().len() => {}
            Ok(receipt) => self.problem(format!("the receipt names {} files", receipt.files.len())),
            Err(error) => self.problem(format!("no usable receipt: {error}")),
        }
    }
}

impl Report {
    /// Fails the test unless all is as the case says.
    ///
    /// # Panics
    /// When something is not; the message has the log.
    #[track_caller]
    pub fn assert(&self) {
        let problems = self.problems.join("\n  ");
        assert!(self.problems.is_empty(), "{}:\n  {problems}\nthe log:\n{}", self.name, self.run.log);
    }
}
