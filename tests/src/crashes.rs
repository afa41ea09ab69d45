//! Ends the fetcher at every stage, has it go on, and counts what that cost.
//!
//! Two ways to an end. At random: a run of a model that takes a while is ended after a time that is anywhere in it. At
//! every call: a tracer ends the process as it is about to change the volume, first at the first such call, then at the
//! second, until there is none left. Each volume is filled in the end. All the while a
//! watcher looks that nothing but the right bytes is ever at a final name, and no receipt beside less than the whole
//! model; and a relay before the store counts how much of what was on the volume the last run fetched again. What was
//! still in the buffers of sockets at an end had not arrived, however large the machine has these be.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::time::Instant;

use handoff::Layout;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::fault_proxy::tcp::TcpProxy;
use crate::faults::fetch::{fetch, model_folder, what_is_missing};
use crate::faults::watcher;
use crate::faults::{End, Run, Source, World};
use crate::noise::noise;

/// Calls by which the fetcher changes a volume, or may, or says what it does.
const CALLS: [&str; 12] = [
    "fallocate",
    "fsync",
    "ftruncate",
    "mkdir",
    "mkdirat",
    "openat",
    "openat2",
    "pwritev",
    "rename",
    "renameat",
    "unlink",
    "unlinkat",
];
/// No run makes one of them so often on one thread.
const MOST_CALLS: u32 = 100;
/// A volume is filled after so many ends at the latest.
const MOST_ENDS: usize = 12;
/// What an end by SIGKILL may cost at the most of what was on the volume: what comes in until the journal is due, and
/// half as much while it is being written beside everything else on the machine.
const MOST_LOST: u64 = 48 << 20;
/// Heads of answers, the descriptor, and what was on the way when the last run's connections were closed.
const BESIDE: u64 = 256 << 10;

/// How far a run had come when it was ended, by what it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing was on the volume but folders.
    Before,
    /// There was a staging area, and nothing at a final name.
    Fetching,
    /// Some files were at their final names, and there was no receipt.
    Publishing,
    /// There was a receipt, and still a staging area.
    Clearing,
    /// There was a receipt and nothing else.
    Done,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Before => "before the first byte",
            Self::Fetching => "while fetching",
            Self::Publishing => "while moving files into place",
            Self::Clearing => "after the receipt",
            Self::Done => "at the end",
        })
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Toll {
    /// Runs that were ended, by how far they had come.
    pub ends: BTreeMap<Stage, usize>,
    /// Volumes that were filled.
    pub models: usize,
    /// Times that a file at a final name was looked at.
    pub checked: usize,
    /// How many of these were not what they must be.
    pub differing: usize,
    /// Bytes that were fetched again though they were on a volume.
    pub refetched: u64,
    /// What is not as it must be; nothing when all is well.
    pub problems: Vec<String>,
}

impl Toll {
    /// How many runs were ended.
    pub fn count(&self) -> usize {
        self.ends.values().sum()
    }

    /// Fails the test unless all was as it must be.
    ///
    /// # Panics
    /// When something was not.
    #[track_caller]
    pub fn assert(&self) {
        assert!(self.problems.is_empty(), "{}", self.problems.join("\n"));
    }
}

/// A store with a model, and a relay before it that counts.
struct Scene {
    world: World,
    relay: TcpProxy,
    total: u64,
    toll: Toll,
}

/// A volume that is being filled.
struct Filling {
    volume: TempDir,
    ends: Vec<Stage>,
}

impl Scene {
    fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        let total = files.values().map(|content| u64::try_from(content.len()).unwrap_or(u64::MAX)).sum();
        let world = World::holding(Source::HttpCatalog, files);
        let relay = TcpProxy::start(world.port());
        Self { world, relay, total, toll: Toll::default() }
    }

    fn begin(&self) -> Filling {
        let volume = tempfile::tempdir().expect("a folder for the model");
        Filling { volume, ends: Vec::new() }
    }

    /// Runs the fetcher on a volume to an end. Says whether that was an early one.
    fn run(&mut self, filling: &mut Filling, end: End) -> bool {
        let run = fetch(&self.world, self.relay.port(), &filling.volume, &[], end);
        self.judge(&run);
        if run.code == Some(0) {
            return false;
        }
        let stage = stage(&filling.volume);
        let is_right = match end {
            End::Itself => false,
            // Before it listens for signals, one ends it as it ends any other process.
            End::Signal(Signal::TERM, _) => {
                run.code == Some(75) || run.code.is_none() && stage == Stage::Before
            }
            End::Signal(..) | End::Call(..) => run.code.is_none(),
        };
        if !is_right {
            self.problem(format!(
                "{end:?} {stage}: ended with {:?}: {}\n{}",
                run.code, run.last_words, run.log
            ));
        }
        filling.ends.push(stage);
        *self.toll.ends.entry(stage).or_default() += 1;
        true
    }

    fn judge(&mut self, run: &Run) {
        self.toll.checked += run.seen.checked;
        self.toll.differing += run.seen.differing.len();
        if !run.seen.differing.is_empty() {
            self.problem(format!("saw wrong content at final names: {:?}", run.seen.differing));
        }
        if run.seen.early_receipt {
            self.problem("saw a receipt beside less than the whole model".to_owned());
        }
    }

    /// Has a volume be filled, unless it is, and counts what was fetched again for that. That may be `most` for each end:
    /// what the journal did not know at one, it may still not know at the next.
    fn fill(&mut self, mut filling: Filling, most: u64) {
        let missing = self.total.saturating_sub(on_volume(&filling.volume, &self.world));
        let fetched_before = self.relay.passed();
        self.run(&mut filling, End::Itself);
        self.toll.models += 1;
        for problem in what_is_missing(filling.volume.path(), &self.world) {
            self.problem(format!("after ends {:?}: {problem}", filling.ends));
        }
        let again = (self.relay.passed() - fetched_before).saturating_sub(missing);
        self.toll.refetched += again;
        let ends = &filling.ends;
        let allowed =
            most.saturating_mul(u64::try_from(ends.len()).unwrap_or(u64::MAX)).saturating_add(BESIDE);
        if again > allowed {
            self.problem(format!(
                "fetched {again} bytes again, expected at most {allowed}, after ends {ends:?}"
            ));
        }
    }

    fn problem(&mut self, what: String) {
        self.toll.problems.push(what);
    }
}

/// How many bytes of the model are on a volume, staged or at a final name. Files are told by their sizes, and staged ones
/// have theirs from the start, so each is compared piece by piece.
fn on_volume(volume: &TempDir, world: &World) -> u64 {
    const PIECE: usize = 4096;
    let model = model_folder(volume.path());
    let staged = watcher::files(&Layout::new(model.clone(), None).staging());
    let there: Vec<_> =
        watcher::files(&model).into_iter().chain(staged).filter_map(|path| fs::read(path).ok()).collect();
    let right = |expected: &Vec<u8>| {
        let of_the_same_size = there.iter().filter(|content| content.len() == expected.len());
        let right = of_the_same_size.map(|content| {
            let pieces = content.chunks(PIECE).zip(expected.chunks(PIECE));
            pieces.filter(|(piece, expected)| piece == expected).map(|(piece, _)| piece.len()).sum()
        });
        right.max().unwrap_or(0)
    };
    let bytes: usize = world.expected().values().map(right).sum();
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn stage(volume: &TempDir) -> Stage {
    let model = model_folder(volume.path());
    let layout = Layout::new(model.clone(), None);
    match (layout.receipt().exists(), layout.staging().join("plan.sha256").exists()) {
        (true, true) => Stage::Clearing,
        (true, false) => Stage::Done,
        (false, _) if !watcher::files(&model).is_empty() => Stage::Publishing,
        (false, true) => Stage::Fetching,
        (false, false) => Stage::Before,
    }
}

/// What is fetched when runs are ended at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// A few megabytes: as much time is spent before and after the transfer as in it.
    Small,
    /// Large enough that what an end may cost is little beside it.
    Large,
}

/// Ends runs by a signal at random moments, so many times.
///
/// # Panics
/// When the store does not start.
pub fn at_random(ends: usize, signal: Signal, model: Model) -> Toll {
    let mut scene = Scene::new(files(model));
    let mut whole = scene.begin();
    let started = Instant::now();
    scene.run(&mut whole, End::Itself);
    let mut usual = started.elapsed();
    scene.fill(whole, 0);
    // Terminated, it brings the journal up to date before it goes.
    let most = if signal == Signal::TERM { 0 } else { MOST_LOST };
    // More than are needed, since some runs are done before their end comes.
    let mut moments: Vec<f64> = noise(8 * ends)
        .chunks_exact(2)
        .map(|pair| f64::from(u16::from_le_bytes([pair[0], pair[1]])) / 65536.0)
        .collect();
    while scene.toll.count() < ends {
        let mut filling = scene.begin();
        for _ in 0..MOST_ENDS {
            let Some(moment) = moments.pop() else { break };
            // A little more than a whole run takes, so that its last moments are hit too.
            let started = Instant::now();
            let end = End::Signal(signal, usual.mul_f64(1.1 * moment));
            let is_early = scene.run(&mut filling, end);
            if !is_early && filling.ends.is_empty() {
                // The machine has become faster since; were that not seen, most ends would come too late.
                usual = usual.min(started.elapsed());
            }
            if !is_early || scene.toll.count() >= ends {
                break;
            }
        }
        scene.fill(filling, most);
        if moments.is_empty() {
            scene.problem("too few runs could be ended early".to_owned());
            break;
        }
    }
    scene.toll
}

/// Ends a run by SIGKILL at each call that changes the volume, one run for each.
///
/// # Panics
/// When the store or the tracer does not start.
pub fn at_every_call() -> Toll {
    let mut scene = Scene::new(files(Model::Small));
    for call in CALLS {
        for number in 1..=MOST_CALLS {
            let mut filling = scene.begin();
            let was_ended = scene.run(&mut filling, End::Call(call, number));
            // What is at its final name was fetched and verified, and is not fetched again.
            let most = match filling.ends.as_slice() {
                [Stage::Fetching] => scene.total,
                _ => 0,
            };
            scene.fill(filling, most);
            if !was_ended {
                break;
            }
        }
    }
    scene.toll
}

fn files(model: Model) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = [
        ("weights.bin", noise(6_000_000)),
        ("vocabulary/tokens.bin", noise(300_000)),
        ("config.json", b"{}\n".to_vec()),
        ("code/__init__.py", Vec::new()),
    ]
    .map(|(name, content)| (name.to_owned(), content))
    .into();
    if model == Model::Large {
        files.insert("shards/first.bin".to_owned(), noise(96 << 20));
        files.insert("shards/second.bin".to_owned(), noise(24 << 20));
    }
    files
}
