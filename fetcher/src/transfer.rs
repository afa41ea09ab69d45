//! Brings the bytes of a plan onto the disk, verified.
//!
//! ```text
//!  board ──part──▶ connection ──block──▶ disk
//!    ▲                 │ landed
//!  width, floor        ▼
//!    └─ measured ── ledger ──next bytes of some files──▶ hashing ──▶ VerifiedFile
//! ```
//!
//! The `board` gives out ranges of files, each `connection` asks for one and writes what comes at its place, the
//! `ledger` knows what is there and how far each hash has come, and `hashing` moves the hashes on, the files of
//! several connections in step. Each worker thread runs some of the connections and hashes what they bring, so that
//! bytes are received, written and hashed on one core, while they are in its cache. Ten times a second the
//! transfer is measured: `width` decides how many connections it is worth having, a connection that has become too
//! slow is cut; and the `journal` is kept up to date.
//!
//! Memory is a block per connection and what the hash is behind by, both bounded; it does not grow with the model.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use handoff::SafePath;
use tokio::sync::{Notify, watch};

use crate::archive::UnpackError;
use crate::memory::Memory;
use crate::plan::{Plan, PlannedFile};
use crate::report::Tracker;
use crate::retry::{Budget, Failed};
use crate::store::{ByteRange, Class, Store, StoreError};
use crate::uri::StoreUri;
use crate::verify::lanes::LANES;
use crate::verify::{VerifiedFile, VerifyError};
use crate::volume;

mod block;
mod board;
mod connection;
mod crew;
pub mod extents;
mod hashing;
pub mod journal;
mod ledger;
mod page_cache;
mod request;
#[cfg(test)]
mod resume_tests;
mod seat;
pub mod staging;
mod staging_file;
pub mod unpacking;
mod width;

use board::{Board, FileNumber, Floor, PartNumber, Work};
use crew::Crew;
use extents::Extents;
use journal::Journal;
use ledger::Ledger;
use seat::Seat;
use staging::Staging;
use width::{Observation, Width};

/// How often the transfer is measured.
const BEAT: Duration = Duration::from_millis(100);
/// The journal is brought up to date each time so many bytes came in, so that little is lost on a fast line and it stays
/// small on a long one.
const JOURNAL_BYTES: u64 = 32 << 20;
/// And after so long, on a slow line.
const JOURNAL_PAUSE: Duration = Duration::from_millis(500);
/// A connection at less than this part of what the others have is cut.
const SHARE_OF_OTHERS: u64 = 8;
/// Unless there are fewer than this.
const OTHERS: usize = 4;
/// Or it was that slow for less than this.
const PATIENCE_AMONG_OTHERS: Duration = Duration::from_secs(5);

/// The stores of a plan, as one thread opened them.
pub type Stores = HashMap<StoreUri, Arc<dyn Store>>;

/// Why a file could not be brought in.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The source did not give it.
    #[error("cannot fetch {path} ({range})")]
    Source {
        /// The file.
        path: SafePath,
        /// The bytes that were still to come.
        range: ByteRange,
        /// Why.
        source: Failed,
    },
    /// What came is not what it must be.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// An archive cannot be unpacked.
    #[error("cannot unpack {path}")]
    Unpack {
        /// The archive.
        path: SafePath,
        /// Why.
        source: UnpackError,
    },
    /// It goes on beyond what a model may have.
    #[error("{path} has more than {limit} bytes")]
    TooLarge {
        /// The file.
        path: SafePath,
        /// The bound.
        limit: u64,
    },
    /// It could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: SafePath,
        /// What the system said.
        source: io::Error,
    },
    /// What was written could not be read again to be hashed.
    #[error("cannot read {}", path.display())]
    ReadBack {
        /// The staging file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The journal could not be opened.
    #[error("cannot open the journal of the staging area")]
    Journal(#[source] io::Error),
    /// A worker thread could not be started.
    #[error("cannot start a worker thread")]
    Start(#[source] io::Error),
    /// A part of this program failed.
    #[error("a task of the transfer ended early: {reason}")]
    Task {
        /// What the runtime said.
        reason: String,
    },
}

impl TransferError {
    /// How to meet this failure; lack of space is told apart by [`is_no_space`](Self::is_no_space).
    pub fn class(&self) -> Class {
        match self {
            Self::Source { source, .. } => source.class(),
            Self::Verify(error) => error.class(),
            Self::Unpack { source, .. } => source.class(),
            Self::Write { .. } | Self::ReadBack { .. } | Self::Journal(_) | Self::Start(_) => Class::Local,
            Self::Task { .. } | Self::TooLarge { .. } => Class::Fatal,
        }
    }

    /// Whether the volume is full.
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Write { source, .. } => volume::is_full(source),
            Self::Unpack { source, .. } => source.is_no_space(),
            _ => false,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Source { source, .. } if source.class() == Class::Denied => {
                Some("check the store's credentials and that they may read this model")
            }
            Self::Source { source, .. } if source.class() == Class::Integrity => Some(
                "the source was overwritten while it was read; run again, and publish versions once only",
            ),
            Self::Verify(VerifyError::Checksum { .. } | VerifyError::Model { .. }) => Some(
                "the source does not hold what was published; publish the version again under a new name",
            ),
            Self::Source { source, .. } => source.hint(),
            Self::TooLarge { .. } => Some("FETCHER_MAX_SIZE sets how large a model may be"),
            Self::Unpack { source, .. } if source.hint().is_some() => source.hint(),
            _ if self.is_no_space() => Some("raise the volume's size limit, or free space on the node"),
            _ => None,
        }
    }
}

/// What a transfer works with.
pub struct Transfer {
    /// The stores of the plan, for each worker thread its own: connections stay with the thread that opened them.
    pub stores: Vec<Stores>,
    /// The most connections at the same time.
    pub connections: usize,
    /// What it may keep in memory.
    pub memory: Memory,
    /// How often and how long to try.
    pub budget: Budget,
    /// How long a connection may be slower than `slowest` before it is cut.
    pub stall: Duration,
    /// Bytes per second that a connection must reach.
    pub slowest: u64,
    /// Bytes that a file of unknown size may have.
    pub largest: u64,
    /// Where progress is counted.
    pub tracker: Arc<Tracker>,
}

/// How many worker threads are of use for so many connections: one for each core, but more than eight would
/// outrun any network.
pub fn threads(connections: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cores.min(8).min(connections).max(1)
}

/// Whether a broken file can be gone on with at an offset, or read in several places at once. Without an identity
/// or a digest, what is here may be of another content than what is still to come; without a size, nobody knows
/// whether anything is.
fn can_go_on(file: &PlannedFile) -> bool {
    file.size.is_some() && (file.source.identity.is_some() || !file.expected.is_empty())
}

/// What the connections, the hashing and the beat share.
struct Shared {
    state: Mutex<State>,
    /// How many connections are to be at work.
    width: watch::Sender<usize>,
    /// There may be work again for those who found none.
    changed: Notify,
    /// For each thread: there is something to hash.
    landed: Vec<Notify>,
    /// Some bytes were hashed, so there is room for more.
    hashed: Notify,
    /// Every file is verified.
    finished: Notify,
    /// Enough has come in for the journal to be brought up to date.
    journal_due: Notify,
    /// The store said that it has too much to do.
    refused: AtomicBool,
    memory: Memory,
    largest: u64,
    budget: Budget,
    tracker: Arc<Tracker>,
}

struct State {
    board: Board,
    ledger: Ledger,
    /// Who is at work on a part: whoever was given it first, then who races.
    seats: BTreeMap<PartNumber, Vec<Arc<Seat>>>,
    /// How much of each file was dropped from the page cache.
    dropped: BTreeMap<FileNumber, u64>,
}

impl State {
    /// Whether no more of a file should come in before some of it is hashed.
    fn is_crowded(&self, file: FileNumber, room: usize) -> bool {
        self.ledger.is_crowded(file, room, self.board.span(file))
    }

    /// How many files can be hashed in step.
    fn in_step(&self) -> usize {
        self.board.files_under_way().min(LANES)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic anywhere ends the transfer; what it leaves is looked at by nobody but the journal.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat at a part, to be reached there; nobody looks for one at a part that is done.
    fn sit(&self, part: PartNumber) -> Arc<Seat> {
        let seat = Arc::new(Seat::default());
        let mut state = self.state();
        if state.board.rest(part).is_some() {
            state.seats.entry(part).or_default().push(Arc::clone(&seat));
        }
        seat
    }

    /// What is left of a part; nothing when it is done.
    fn rest(&self, part: PartNumber) -> Option<Range<u64>> {
        self.state().board.rest(part)
    }

    /// Nobody needs to go on with a part.
    fn part_done(&self, part: PartNumber) {
        let seats = self.state().seats.remove(&part).unwrap_or_default();
        seats.iter().for_each(|seat| seat.done());
    }

    /// Bytes have landed on a thread, and somebody is to hash them: that thread, while they are in its cache, or, while
    /// half of the threads have no connection, one of those.
    fn landed(&self, thread: usize) {
        let threads = self.landed.len();
        let idle = 2 * *self.width.borrow() <= threads;
        let by = if idle { (thread + threads / 2) % threads } else { thread };
        if let Some(landed) = self.landed.get(by) {
            landed.notify_one();
        }
    }

    /// Waits until bytes have landed that this thread is to hash.
    async fn has_landed(&self, thread: usize) {
        match self.landed.get(thread) {
            Some(landed) => landed.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Bytes have landed, up to so many since the start; the journal is due each time that passes a certain amount.
    fn keep_journal(&self, before: u64, after: u64) {
        if before / JOURNAL_BYTES < after / JOURNAL_BYTES {
            self.journal_due.notify_one();
        }
    }

    /// A request failed and may be made again.
    fn failed_once(&self, error: &StoreError) {
        self.tracker.retried();
        if matches!(error, StoreError::Busy { .. }) {
            self.refused.store(true, Relaxed);
        }
    }
}

impl Transfer {
    /// Fetches every file of the plan that is no archive to be unpacked; those are [`unpacking`]'s.
    ///
    /// # Errors
    /// The first file that fails ends the others; what is staged stays for the next run.
    pub async fn run(self, plan: &Plan, staging: &Staging) -> Result<Vec<VerifiedFile>, TransferError> {
        let count = plan.plain().count();
        if count == 0 {
            return Ok(Vec::new());
        }
        let journal = staging.journal().map_err(TransferError::Journal)?;
        let shared = Arc::new(self.share(plan, staging));
        let width = Width::new(count, self.connections);
        let mut beat = Beat::new(&self, Arc::clone(&shared), journal, width);
        let mut crew = Crew::start(&shared, self.stores, self.connections)?;
        beat.watch(crew.busy_times());
        let mut beats = tokio::time::interval_at(tokio::time::Instant::now() + BEAT, BEAT);
        let mut pauses = tokio::time::interval(JOURNAL_PAUSE);
        let outcome = loop {
            tokio::select! {
                () = shared.finished.notified() => break Ok(shared.state().ledger.take_verified()),
                error = crew.failure() => break Err(error),
                _ = beats.tick() => beat.beat(),
                () = shared.journal_due.notified() => beat.write_journal(),
                _ = pauses.tick() => beat.write_journal(),
            }
        };
        // The threads end before the journal does, which is written once more when the beat is dropped.
        drop(crew);
        drop(beat);
        outcome
    }

    fn share(&self, plan: &Plan, staging: &Staging) -> Shared {
        let kept = |(number, file): (usize, &PlannedFile)| {
            // Of a file that cannot be gone on with, what is here may be of another content.
            let kept = staging.kept(number).filter(|_| can_go_on(file)).cloned();
            (file.clone(), staging.file(number), kept)
        };
        let files: Vec<_> = plan.plain().enumerate().map(kept).collect();
        let works = files.iter().map(|(file, _, kept)| Work {
            size: file.size,
            splittable: can_go_on(file),
            here: kept.clone().unwrap_or_default(),
        });
        let width = Width::new(files.len(), self.connections).get();
        let mut board = Board::new(works.collect());
        board.set_width(width);
        self.tracker.resumed(files.iter().flat_map(|(.., kept)| kept).map(Extents::bytes).sum());
        let (seats, dropped) = (BTreeMap::new(), BTreeMap::new());
        Shared {
            state: Mutex::new(State { board, ledger: Ledger::new(files), seats, dropped }),
            width: watch::Sender::new(width),
            changed: Notify::new(),
            landed: self.stores.iter().map(|_| Notify::new()).collect(),
            hashed: Notify::new(),
            finished: Notify::new(),
            journal_due: Notify::new(),
            refused: AtomicBool::new(false),
            memory: self.memory,
            largest: self.largest,
            budget: self.budget,
            tracker: Arc::clone(&self.tracker),
        }
    }
}

/// What is done many times a second.
struct Beat {
    shared: Arc<Shared>,
    journal: Journal,
    width: Width,
    floor: Floor,
    busy_times: crew::BusyTimes,
    last: Instant,
    claimed: u64,
}

impl Beat {
    fn new(transfer: &Transfer, shared: Arc<Shared>, journal: Journal, width: Width) -> Self {
        let floor = Floor {
            rate: transfer.slowest,
            patience: transfer.stall,
            share: SHARE_OF_OTHERS,
            quorum: OTHERS,
            patience_among_others: PATIENCE_AMONG_OTHERS,
        };
        let (last, busy_times) = (Instant::now(), crew::BusyTimes::default());
        Self { shared, journal, width, floor, busy_times, last, claimed: 0 }
    }

    fn watch(&mut self, busy_times: crew::BusyTimes) {
        self.busy_times = busy_times;
    }

    fn beat(&mut self) {
        let elapsed = self.last.elapsed();
        self.last += elapsed;
        let busy = self.busy_times.share_of(elapsed);
        let (cut, observation) = {
            let mut state = self.shared.state();
            let claimed = state.board.claimed();
            let bytes = claimed - std::mem::replace(&mut self.claimed, claimed);
            let refused = self.shared.refused.swap(false, Relaxed);
            let observation = Observation { bytes, elapsed, busy, refused, wanted: state.board.has_more() };
            let cut = state.board.measure(elapsed, self.floor);
            let (slowest, connections) = state.board.slowest();
            self.shared.tracker.connections(connections, slowest);
            let seats = cut.iter().filter_map(|part| state.seats.get(part)?.first().cloned());
            (seats.collect::<Vec<_>>(), observation)
        };
        cut.iter().for_each(|seat| seat.cut());
        self.widen(observation);
    }

    fn widen(&mut self, observation: Observation) {
        let before = self.width.get();
        self.width.observe(observation);
        let now = self.width.get();
        if now != before {
            tracing::debug!(before, now, busy = observation.busy, "another number of connections");
            self.shared.state().board.set_width(now);
            self.shared.width.send_replace(now);
        }
    }

    /// A journal that cannot be written (a full volume) must not end a transfer that could go on.
    fn write_journal(&mut self) {
        let changes = self.shared.state().ledger.take_changes();
        if let Err(error) = self.journal.write(changes) {
            tracing::debug!("cannot write the journal: {error}");
        }
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.write_journal();
    }
}
