//! What people and programs see of a run.
//!
//! The work counts into a [`Tracker`]; a [`ticker`] reads it twice a second and writes `progress.json`, moves the
//! bar on a terminal, or logs a line every ten seconds. The outcome is one line, for the termination log.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use clap::ValueEnum;
use handoff::{Connections, Failure, ModelId, Phase, Progress, progress};
use jiff::Timestamp;

pub mod log;
pub mod termination;
pub mod ticker;

/// Form of a printed plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Lines for people.
    Text,
    /// One JSON document.
    Json,
}

/// Counts what a run does. Shared by every task of it.
#[derive(Debug)]
pub struct Tracker {
    model: ModelId,
    attempt: u32,
    started: Instant,
    stage: Mutex<Stage>,
    bytes: AtomicU64,
    resumed_bytes: AtomicU64,
    files: AtomicU64,
    retries: AtomicU32,
}

#[derive(Debug)]
struct Stage {
    phase: Phase,
    total_bytes: Option<u64>,
    total_files: u64,
    error: Option<Failure>,
    connections: u32,
    slowest: Option<u64>,
}

/// Throughput as it was at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Recent bytes per second.
    pub bytes_per_second: u64,
}

impl Tracker {
    /// Counts for the start number `attempt` of a fetch of `model`.
    pub fn new(model: ModelId, attempt: u32) -> Self {
        let stage = Stage {
            phase: Phase::Waiting,
            total_bytes: None,
            total_files: 0,
            error: None,
            connections: 0,
            slowest: None,
        };
        Self {
            model,
            attempt,
            started: Instant::now(),
            stage: Mutex::new(stage),
            bytes: AtomicU64::new(0),
            resumed_bytes: AtomicU64::new(0),
            files: AtomicU64::new(0),
            retries: AtomicU32::new(0),
        }
    }

    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        // A panic while it was held leaves plain numbers, which are still the best there is to show.
        self.stage.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A new phase begins.
    pub fn phase(&self, phase: Phase) {
        self.stage().phase = phase;
    }

    /// The plan is made.
    pub fn planned(&self, total_bytes: Option<u64>, total_files: usize) {
        let mut stage = self.stage();
        stage.total_bytes = total_bytes;
        stage.total_files = u64::try_from(total_files).unwrap_or(u64::MAX);
    }

    /// The run failed.
    pub fn failed(&self, code: u8, message: String) {
        let mut stage = self.stage();
        stage.phase = Phase::Failed;
        stage.error = Some(Failure { code, message });
    }

    /// Bytes came in.
    pub fn received(&self, bytes: usize) {
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Relaxed);
    }

    /// Bytes were there already.
    pub fn resumed(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
        self.resumed_bytes.fetch_add(bytes, Relaxed);
    }

    /// Bytes that were counted are fetched anew; `resumed` of them an earlier run had left.
    pub fn discarded(&self, bytes: u64, resumed: u64) {
        let less = |by: u64| move |counted: u64| Some(counted.saturating_sub(by));
        // Neither closure refuses, so neither update can fail.
        let _ = self.bytes.fetch_update(Relaxed, Relaxed, less(bytes));
        let _ = self.resumed_bytes.fetch_update(Relaxed, Relaxed, less(resumed));
    }

    /// A file is verified.
    pub fn file_done(&self) {
        self.files.fetch_add(1, Relaxed);
    }

    /// A request is made again.
    pub fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    /// How many connections are at work, and the bytes per second of the slowest.
    pub fn connections(&self, count: usize, slowest: Option<u64>) {
        let mut stage = self.stage();
        stage.connections = u32::try_from(count).unwrap_or(u32::MAX);
        stage.slowest = slowest;
    }

    /// Bytes that an earlier run had left behind.
    pub fn resumed_bytes(&self) -> u64 {
        self.resumed_bytes.load(Relaxed)
    }

    /// Seconds since the run began.
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// The state as `progress.json` has it.
    pub fn snapshot(&self, rate: Rate) -> Progress {
        let stage = self.stage();
        let bytes = self.bytes.load(Relaxed);
        let left = stage.total_bytes.map(|total| total.saturating_sub(bytes));
        let fetching = stage.phase == Phase::Fetching;
        Progress {
            schema: progress::SCHEMA,
            model: self.model.clone(),
            phase: stage.phase,
            bytes,
            total_bytes: stage.total_bytes,
            files: self.files.load(Relaxed),
            total_files: stage.total_files,
            bytes_per_second: rate.bytes_per_second,
            eta_seconds: left.and_then(|left| left.checked_div(rate.bytes_per_second)).filter(|_| fetching),
            connections: fetching.then(|| Connections {
                open: stage.connections,
                slowest_bytes_per_second: stage.slowest,
                retries: self.retries(),
            }),
            attempt: self.attempt,
            error: stage.error.clone(),
            updated_at: now(),
        }
    }

    /// How often a request was made again.
    pub fn retries(&self) -> u32 {
        self.retries.load(Relaxed)
    }
}

/// The time, in whole seconds: nobody reads more, and files are easier to compare.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_tells_what_was_counted() {
        let tracker = Tracker::new(ModelId { name: "a".into(), version: "v1".into() }, 2);
        tracker.planned(Some(100), 3);
        tracker.phase(Phase::Fetching);
        tracker.resumed(30);
        tracker.received(20);
        tracker.discarded(10, 10);
        tracker.file_done();
        let seen = tracker.snapshot(Rate { bytes_per_second: 7 });
        assert_eq!((seen.bytes, seen.percent(), seen.files, seen.total_files), (40, Some(40), 1, 3));
        assert_eq!((seen.eta_seconds, seen.attempt, tracker.resumed_bytes()), (Some(8), 2, 20));
        tracker.failed(65, "why".into());
        let seen = tracker.snapshot(Rate::default());
        assert_eq!((seen.phase, seen.eta_seconds), (Phase::Failed, None));
        assert_eq!(seen.error.map(|error| error.message).as_deref(), Some("why"));
    }
}
