//! What is counted from the sidecar's start, in a fixed amount of memory.

use std::time::Duration;

use serde::Serialize;

use handoff::{ExitCode, Progress};

use crate::probe::Word;
use crate::readiness::Phase;

/// The histogram's upper bounds, as they are printed in either format and as they are compared.
pub(super) const BUCKETS: [(&str, Duration); 8] = [
    ("0.001", Duration::from_millis(1)),
    ("0.005", Duration::from_millis(5)),
    ("0.01", Duration::from_millis(10)),
    ("0.05", Duration::from_millis(50)),
    ("0.1", Duration::from_millis(100)),
    ("0.5", Duration::from_millis(500)),
    ("1.0", Duration::from_secs(1)),
    ("5.0", Duration::from_secs(5)),
];

/// How a probe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeResult {
    /// The server said that it has loaded the model.
    Loaded,
    /// It said that it has not, or nobody listens.
    NotLoaded,
    /// There was no telling.
    Unclear,
}

impl ProbeResult {
    /// Every result, in order.
    pub const ALL: [Self; 3] = [Self::Loaded, Self::NotLoaded, Self::Unclear];

    /// The label's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::NotLoaded => "not_loaded",
            Self::Unclear => "unclear",
        }
    }
}

impl From<&Word> for ProbeResult {
    fn from(word: &Word) -> Self {
        match word {
            Word::Loaded { .. } => Self::Loaded,
            Word::NotLoaded { .. } => Self::NotLoaded,
            Word::Unclear { .. } => Self::Unclear,
        }
    }
}

/// Runs of the smoke requests, counted by result, and how long they took.
#[derive(Clone, Copy, Debug, Default)]
pub struct SmokeCounts {
    passed: u64,
    failed: u64,
    total: Duration,
}

impl SmokeCounts {
    /// Counts one run.
    pub fn observe(&mut self, passed: bool, took: Duration) {
        let result = if passed { &mut self.passed } else { &mut self.failed };
        *result = result.saturating_add(1);
        self.total = self.total.saturating_add(took);
    }

    /// How many runs ended so.
    pub fn of(&self, passed: bool) -> u64 {
        if passed { self.passed } else { self.failed }
    }

    /// How long all of them took together.
    pub fn total(&self) -> Duration {
        self.total
    }
}

/// Probes, counted by result and by how long they took.
#[derive(Clone, Debug, Default)]
pub struct ProbeCounts {
    /// In the order of [`ProbeResult::ALL`].
    results: [u64; ProbeResult::ALL.len()],
    /// How many probes took at most each bucket's bound: cumulative, as they are printed.
    within: [u64; BUCKETS.len()],
    total: Duration,
}

impl ProbeCounts {
    /// Counts one probe.
    pub fn observe(&mut self, result: ProbeResult, took: Duration) {
        for (count, each) in self.results.iter_mut().zip(ProbeResult::ALL) {
            *count = count.saturating_add(u64::from(each == result));
        }
        for (count, (_, bound)) in self.within.iter_mut().zip(BUCKETS) {
            *count = count.saturating_add(u64::from(took <= bound));
        }
        self.total = self.total.saturating_add(took);
    }

    /// How many probes had this result.
    pub fn of(&self, result: ProbeResult) -> u64 {
        let mut counts = self.results.iter().zip(ProbeResult::ALL);
        counts.find(|(_, each)| *each == result).map_or(0, |(count, _)| *count)
    }

    /// How many probes there were.
    pub fn count(&self) -> u64 {
        self.results.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    pub(super) fn within(&self) -> &[u64] {
        &self.within
    }

    pub(super) fn total(&self) -> Duration {
        self.total
    }
}

/// The time in each phase, all stays added up.
#[derive(Clone, Copy, Debug, Default)]
pub struct PhaseTimes([Duration; Phase::ALL.len()]);

impl PhaseTimes {
    /// Adds a stay in a phase.
    pub fn add(&mut self, phase: Phase, stay: Duration) {
        for (time, each) in self.0.iter_mut().zip(Phase::ALL) {
            if each == phase {
                *time = time.saturating_add(stay);
            }
        }
    }

    /// The time in a phase.
    pub fn of(&self, phase: Phase) -> Duration {
        let mut times = self.0.iter().zip(Phase::ALL);
        times.find(|(_, each)| *each == phase).map_or(Duration::ZERO, |(time, _)| *time)
    }
}

/// Requests that the fetcher made again, added up over its runs: each run counts from zero, and says so only
/// while it is fetching.
#[derive(Clone, Copy, Debug, Default)]
pub struct RetryCount {
    attempt: u32,
    in_attempt: u32,
    total: u64,
}

impl RetryCount {
    /// Takes note of what the fetcher says.
    pub fn observe(&mut self, progress: &Progress) {
        let Some(connections) = progress.connections else { return };
        let before = if progress.attempt == self.attempt { self.in_attempt } else { 0 };
        self.total = self.total.saturating_add(u64::from(connections.retries.saturating_sub(before)));
        (self.attempt, self.in_attempt) = (progress.attempt, connections.retries);
    }

    /// How many there were.
    pub fn total(self) -> u64 {
        self.total
    }
}

/// Runs of the fetcher that failed, by exit code.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailureCount {
    counted: Option<u32>,
    by_code: [u64; Self::CODES.len()],
    other: u64,
}

impl FailureCount {
    const CODES: [ExitCode; 9] = [
        ExitCode::Config,
        ExitCode::Integrity,
        ExitCode::NotFound,
        ExitCode::Unavailable,
        ExitCode::Internal,
        ExitCode::NoSpace,
        ExitCode::LocalIo,
        ExitCode::Interrupted,
        ExitCode::Denied,
    ];

    /// Takes note of what the fetcher says: each run counts once.
    pub fn observe(&mut self, progress: &Progress) {
        let Some(failure) = &progress.error else { return };
        if self.counted.replace(progress.attempt) == Some(progress.attempt) {
            return;
        }
        let place = Self::CODES.iter().position(|code| code.code() == failure.code);
        let count = match place.and_then(|place| self.by_code.get_mut(place)) {
            Some(count) => count,
            None => &mut self.other,
        };
        *count = count.saturating_add(1);
    }

    /// Every exit code, as its label has it, and how many runs ended with it.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let names = Self::CODES.map(|code| match code {
            ExitCode::Config => "64",
            ExitCode::Integrity => "65",
            ExitCode::NotFound => "66",
            ExitCode::Unavailable => "69",
            ExitCode::Internal => "70",
            ExitCode::NoSpace => "73",
            ExitCode::LocalIo => "74",
            ExitCode::Interrupted => "75",
            ExitCode::Denied => "77",
            ExitCode::Success => "0",
        });
        names.into_iter().zip(self.by_code).chain([("other", self.other)])
    }
}

#[cfg(test)]
mod tests {
    use handoff::{Connections, ModelId, progress};

    use super::*;

    #[test]
    fn buckets_are_cumulative_and_hold_their_bound() {
        let mut counts = ProbeCounts::default();
        counts.observe(ProbeResult::Loaded, Duration::from_millis(1));
        counts.observe(ProbeResult::NotLoaded, Duration::from_millis(2));
        counts.observe(ProbeResult::NotLoaded, Duration::from_secs(60));
        assert_eq!(counts.within, [1, 2, 2, 2, 2, 2, 2, 2]);
        assert_eq!(ProbeResult::ALL.map(|result| counts.of(result)), [1, 2, 0]);
        assert_eq!((counts.count(), counts.total), (3, Duration::from_millis(60_003)));
    }

    #[test]
    fn the_printed_bounds_are_the_compared_ones() {
        for (text, bound) in BUCKETS {
            assert_eq!(text.parse::<f64>().unwrap(), bound.as_secs_f64());
        }
    }

    #[test]
    fn stays_in_a_phase_add_up() {
        let mut times = PhaseTimes::default();
        for (phase, seconds) in [(Phase::Loading, 2), (Phase::Ready, 50), (Phase::Loading, 3)] {
            times.add(phase, Duration::from_secs(seconds));
        }
        assert_eq!(times.of(Phase::Loading), Duration::from_secs(5));
        assert_eq!(times.of(Phase::Ready), Duration::from_secs(50));
        assert_eq!(times.of(Phase::Draining), Duration::ZERO);
    }

    fn progress(attempt: u32) -> Progress {
        Progress {
            schema: progress::SCHEMA,
            model: ModelId { name: "m".into(), version: "v1".into() },
            phase: progress::Phase::Fetching,
            bytes: 0,
            total_bytes: None,
            files: 0,
            total_files: 0,
            bytes_per_second: 0,
            eta_seconds: None,
            connections: None,
            attempt,
            error: None,
            updated_at: "2026-11-20T10:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn failures_are_counted_once_a_run_by_the_code_of_their_exit() {
        let mut count = FailureCount::default();
        assert!(count.all().all(|(_, runs)| runs == 0));
        for (attempt, code) in [(1, 69), (1, 69), (2, 65), (3, 65), (4, 1)] {
            let error = Some(progress::Failure { code, message: "no".into() });
            count.observe(&Progress { phase: progress::Phase::Failed, error, ..progress(attempt) });
            count.observe(&progress(attempt + 1));
        }
        let counted: Vec<_> = count.all().filter(|(_, runs)| *runs > 0).collect();
        assert_eq!(counted, [("65", 2), ("69", 1), ("other", 1)]);
        for (code, (name, _)) in FailureCount::CODES.iter().zip(count.all()) {
            assert_eq!(code.code().to_string(), name);
        }
    }

    #[test]
    fn retries_add_up_over_the_runs_of_the_fetcher() {
        let connections = |retries| Connections { open: 1, slowest_bytes_per_second: None, retries };
        let mut count = RetryCount::default();
        for (attempt, retries, total) in [
            (1, Some(0), 0),
            (1, Some(3), 3),
            (1, Some(3), 3),
            (1, None, 3),
            (1, Some(4), 4),
            (2, None, 4),
            (2, Some(1), 5),
            (2, Some(4), 8),
            // Nothing that a file says makes a counter go down.
            (2, Some(2), 8),
        ] {
            count.observe(&Progress { connections: retries.map(connections), ..progress(attempt) });
            assert_eq!(count.total(), total, "attempt {attempt}, {retries:?}");
        }
    }
}
