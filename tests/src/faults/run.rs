//! Runs a case: once with the fault, and after a failure once more without it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use handoff::{Layout, Receipt};
use tempfile::TempDir;

use super::fetch::{self, End, Run, model_folder};
use super::{Case, Harm, Source, World};
use crate::fault_proxy::{FaultProxy, tcp::TcpProxy};
use crate::fault_server::Request;

/// No run may take more memory: a few times what buffers, the HTTP library and a small document need.
const MOST_KIB: u64 = 160 * 1024;
/// Bytes that a second run may be sent without needing them: of answers that another connection was faster with.
const IN_FLIGHT: u64 = 2_500_000;

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
    let first = fetch::fetch(&world, proxy.port(), &volume, &case.settings, End::Itself);
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
        let again = fetch::fetch(&world, proxy.port(), &volume, &[], End::Itself);
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
        self.problems.extend(fetch::what_is_missing(volume, world));
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
