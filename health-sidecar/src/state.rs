//! What the sidecar knows, in one place: the loops write it, the server reads it.
//!
//! Everything runs on one thread, so this is a plain value behind a `RefCell`, borrowed only between awaits.
//! [`readiness`](crate::readiness) judges; this keeps what the judgement does not need but people do: the
//! receipt's summary, the last probes, how long each phase took. Every list is bounded.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use handoff::ReadError;
use jiff::Timestamp;
use serde::Serialize;
use tracing::{info, warn};

use crate::condition::failure::Failure;
use crate::condition::patch::Condition;
use crate::condition::{Record, Target};
use crate::expected::Expected;
use crate::metrics::{FailureCount, PhaseTimes, ProbeCounts, ProbeResult, RetryCount, SmokeCounts};
use crate::one_line;
use crate::probe::Word;
use crate::readiness::{Phase, ProgressWord, Readiness, ReceiptWord, Rules, SmokeWord, Verdict};
use crate::reason::ReasonCode;
use crate::receipt_check::{Accepted, Refusal};
use crate::smoke::Outcome;

/// How many probes are remembered.
const MAX_PROBES: usize = 10;
/// How many phases are remembered.
const MAX_PHASES: usize = 20;

/// A probe that was answered, or was not.
#[derive(Clone, Debug, Serialize)]
pub struct ProbeRecord {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What the server said.
    pub result: ProbeResult,
    /// Whether it counts: a probe that began before the receipt was accepted does not.
    pub counts: bool,
    /// What there is to say about a "loaded".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The question and the answer, when that was not "loaded".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Smoke requests that were made.
#[derive(Clone, Debug, Serialize)]
pub struct SmokeRecord {
    /// When the last of them ended.
    pub at: Timestamp,
    /// Whether it counts: the server may have been lost meanwhile.
    pub counts: bool,
    /// What came of them.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// A phase that began, and when.
#[derive(Clone, Copy, Debug)]
pub struct PhaseRecord {
    /// The phase.
    pub phase: Phase,
    /// When it began, for people.
    pub since: Timestamp,
    /// When it began, for measuring.
    pub began: Instant,
}

/// Everything the sidecar knows.
#[derive(Debug)]
pub struct State {
    expected: Expected,
    readiness: Readiness,
    receipt: Option<Accepted>,
    load: Option<Duration>,
    probes: VecDeque<ProbeRecord>,
    probe_counts: ProbeCounts,
    smoke: Option<SmokeRecord>,
    smoke_counts: SmokeCounts,
    current: PhaseRecord,
    /// What the log was last told.
    last_told: (Phase, ReasonCode),
    past: VecDeque<PhaseRecord>,
    /// When the process began.
    started: PhaseRecord,
    past_times: PhaseTimes,
    time_to_ready: Option<Duration>,
    was_ready: bool,
    retries: RetryCount,
    failures: FailureCount,
    reports: Option<Record>,
}

impl State {
    /// Nothing was seen yet.
    pub fn new(expected: Expected, rules: Rules) -> Self {
        let current = PhaseRecord { phase: Phase::Waiting, since: wall_clock(), began: Instant::now() };
        Self {
            expected,
            readiness: Readiness::new(rules),
            receipt: None,
            load: None,
            probes: VecDeque::with_capacity(MAX_PROBES),
            probe_counts: ProbeCounts::default(),
            smoke: None,
            smoke_counts: SmokeCounts::default(),
            current,
            last_told: (Phase::Waiting, ReasonCode::WaitingForFetcher),
            past: VecDeque::with_capacity(MAX_PHASES),
            started: current,
            past_times: PhaseTimes::default(),
            time_to_ready: None,
            was_ready: false,
            retries: RetryCount::default(),
            failures: FailureCount::default(),
            reports: None,
        }
    }

    /// The receipt is not the one it was, or is gone. A new one does not count until it was checked.
    pub fn receipt_changed(&mut self, exists: bool) {
        self.set_receipt(if exists { ReceiptWord::Checking } else { ReceiptWord::Absent }, None);
    }

    /// The receipt was checked.
    pub fn receipt_checked(&mut self, outcome: Result<Accepted, Refusal>) {
        match outcome {
            Ok(accepted) => self.set_receipt(ReceiptWord::Accepted, Some(accepted)),
            // Gone between the look and the read: the next look will say so too.
            Err(Refusal::Read(ReadError::Missing { .. })) => self.set_receipt(ReceiptWord::Absent, None),
            Err(refusal) => {
                let reason = one_line::of_error(&refusal);
                // An unchanged receipt is checked again and again, and said to be refused once.
                if self.refusal() != Some(&reason) {
                    warn!("receipt refused: {reason}");
                }
                self.set_receipt(ReceiptWord::Refused(refusal.code(), reason), None);
            }
        }
    }

    fn set_receipt(&mut self, word: ReceiptWord, accepted: Option<Accepted>) {
        self.receipt = accepted;
        self.load = None;
        self.readiness.receipt(word, Instant::now());
        self.verdict();
    }

    /// The fetcher said something.
    pub fn progress(&mut self, word: ProgressWord) {
        if let ProgressWord::Known(progress) = &word {
            self.retries.observe(progress);
            self.failures.observe(progress);
        }
        self.readiness.progress(word, Instant::now());
        self.verdict();
    }

    /// The server was asked at `began` and has answered now.
    pub fn probe(&mut self, word: &Word, began: Instant) {
        let took = began.elapsed();
        let counts = self.readiness.probe(word, began);
        let loaded = word.is_loaded();
        if counts && loaded && self.load.is_none() {
            self.load = self.readiness.accepted_at().map(|accepted| accepted.elapsed());
        }
        self.probe_counts.observe(word.into(), took);
        if self.probes.len() == MAX_PROBES {
            self.probes.pop_front();
        }
        self.probes.push_back(ProbeRecord {
            at: wall_clock(),
            seconds: took.as_secs_f64(),
            result: word.into(),
            counts,
            detail: match word {
                Word::Loaded { detail } => detail.clone(),
                Word::NotLoaded { .. } | Word::Unclear { .. } => None,
            },
            problem: word.problem(),
        });
        self.verdict();
    }

    /// Since when the server has said that the model is loaded, if its smoke requests are to be made now.
    pub fn wants_smoke(&self) -> Option<Instant> {
        self.readiness.wants_smoke(Instant::now())
    }

    /// The smoke requests were made for the server's word of `since`.
    pub fn smoke(&mut self, outcome: Outcome, since: Instant) {
        let word = match &outcome.failed {
            Some(failure) => SmokeWord::Failed(failure.to_string()),
            None => SmokeWord::Passed,
        };
        let counts = self.readiness.smoke(word, since);
        self.smoke_counts.observe(outcome.failed.is_none(), outcome.took);
        self.smoke = Some(SmokeRecord { at: wall_clock(), counts, outcome });
        self.verdict();
    }

    /// What came of the smoke requests when they were last made.
    pub fn last_smoke(&self) -> Option<&SmokeRecord> {
        self.smoke.as_ref()
    }

    /// All runs of the smoke requests, counted.
    pub fn smoke_counts(&self) -> &SmokeCounts {
        &self.smoke_counts
    }

    /// Reports are to be made to this object of the cluster.
    pub fn report_to(&mut self, target: Target) {
        self.reports = Some(Record::new(target));
    }

    /// A report was made, or could not be.
    pub fn reported(&mut self, condition: Condition, outcome: &Result<(), Failure>) {
        if let Some(reports) = &mut self.reports {
            reports.observe(condition, outcome);
        }
    }

    /// What came of the reports, if any are to be made.
    pub fn reports(&self) -> Option<&Record> {
        self.reports.as_ref()
    }

    /// The Pod is being shut down.
    pub fn drain(&mut self) {
        self.readiness.drain();
        self.verdict();
    }

    /// The judgement now. A change of phase or of the kind of reason is noted and logged here, whoever asks first.
    pub fn verdict(&mut self) -> Verdict {
        let now = Instant::now();
        let verdict = self.readiness.judge(now);
        if (verdict.phase, verdict.code) != self.last_told {
            self.last_told = (verdict.phase, verdict.code);
            info!(phase = verdict.phase.name(), code = verdict.code.name(), "{}", verdict.reason);
        }
        if verdict.phase != self.current.phase {
            if self.past.len() == MAX_PHASES {
                self.past.pop_front();
            }
            self.past.push_back(self.current);
            self.past_times.add(self.current.phase, now.saturating_duration_since(self.current.began));
            if verdict.phase == Phase::Ready && !self.was_ready {
                self.was_ready = true;
                self.time_to_ready =
                    self.saw_the_fetch().then(|| now.saturating_duration_since(self.started.began));
            }
            self.current = PhaseRecord { phase: verdict.phase, since: wall_clock(), began: now };
        }
        verdict
    }

    /// The model that this Pod is meant to serve.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// The receipt that counts.
    pub fn receipt(&self) -> Option<&Accepted> {
        self.receipt.as_ref()
    }

    /// Why the receipt does not count, if there is one.
    pub fn refusal(&self) -> Option<&str> {
        self.readiness.refusal()
    }

    /// What the fetcher last said.
    pub fn fetcher_progress(&self) -> Option<&handoff::Progress> {
        self.readiness.known_progress()
    }

    /// How long it took from the accepted receipt to the server's first good word.
    pub fn load(&self) -> Option<Duration> {
        self.load
    }

    /// Whether the fetcher was at work after the process began, and not only before. It gives its times in whole
    /// seconds.
    fn saw_the_fetch(&self) -> bool {
        let progress = self.fetcher_progress().map(|progress| progress.updated_at);
        let receipt = self.receipt().map(|receipt| receipt.completed_at);
        progress.max(receipt).is_some_and(|at| at.as_second() >= self.started.since.as_second())
    }

    /// How long it took from the start of the process to the first ready; see [`metrics`](crate::metrics).
    pub fn time_to_ready(&self) -> Option<Duration> {
        self.time_to_ready
    }

    /// How many requests the fetcher made again.
    pub fn fetch_retries(&self) -> u64 {
        self.retries.total()
    }

    /// How often the fetcher failed, by exit code.
    pub fn fetch_failures(&self) -> FailureCount {
        self.failures
    }

    /// The time in each phase up to now.
    pub fn phase_times(&self) -> PhaseTimes {
        let mut times = self.past_times;
        times.add(self.current.phase, self.current.began.elapsed());
        times
    }

    /// When the process began.
    pub fn started_at(&self) -> Timestamp {
        self.started.since
    }

    /// The last probes, oldest first.
    pub fn probes(&self) -> impl Iterator<Item = &ProbeRecord> {
        self.probes.iter()
    }

    /// All probes, counted.
    pub fn probe_counts(&self) -> &ProbeCounts {
        &self.probe_counts
    }

    /// The present phase.
    pub fn current(&self) -> PhaseRecord {
        self.current
    }

    /// The phases so far, oldest first, each with how long it took; the present one comes last.
    pub fn phases(&self) -> impl Iterator<Item = (PhaseRecord, Duration)> {
        let begins = self.past.iter().chain([&self.current]);
        let ends = begins.clone().skip(1).map(|record| record.began).chain([Instant::now()]);
        begins.copied().zip(ends).map(|(record, end)| (record, end.saturating_duration_since(record.began)))
    }
}

/// The time for people, in whole milliseconds.
fn wall_clock() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
