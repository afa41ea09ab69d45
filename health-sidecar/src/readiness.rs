//! Whether this Pod may take traffic, and if not, why.
//!
//! The one decision that everything else here serves, kept apart from clocks, files and sockets: it is told
//! what was seen and when, and judges. Ready takes all of these at once:
//!
//! * a receipt that was accepted, and has not changed since;
//! * the server's word that the model is loaded, given to a question asked *after* that acceptance (before it,
//!   the word may have been about the previous model), as often in a row as is wanted, and not longer than
//!   `period` ago;
//! * where there are smoke requests, that they were answered as expected, since the server said so;
//! * no shutdown under way.
//!
//! The receipt latches; the server's word does not. A definite no (the model is not there, nobody listens) ends ready at
//! once. No usable answer (too late, cut off, an error that says nothing of the model) is no reason to take a working Pod
//! out of service, so `failures` in a row are needed. Silence is not consent: whatever comes or does not come, a good word
//! older than `period` no longer counts. So `/health` is never green for longer than that beside a server that is not.
//! After ready has ended, everything begins anew, smoke requests included: the server may have been started again.

use std::fmt;
use std::time::{Duration, Instant};

use handoff::{ByteSize, duration, progress};
use serde::{Deserialize, Serialize};

use crate::one_line;
use crate::probe::Word;
use crate::reason::ReasonCode;

/// A fetcher at work that has said nothing for so long is said to be silent: it says something twice a second.
const SILENCE: Duration = Duration::from_secs(10);
/// A smoke request that failed as often in a row will not do better by itself.
const SMOKE_FAILURES: u32 = 2;

/// What the Pod's model is doing. The fetcher's phases, then the sidecar's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// There is no receipt, and the fetcher says nothing.
    Waiting,
    /// The fetcher asks the registry.
    Resolving,
    /// The fetcher gets the bytes.
    Fetching,
    /// The fetcher checks the model as a whole.
    Verifying,
    /// The fetcher moves files into place.
    Publishing,
    /// The receipt is accepted; the server has not loaded the model, or has lost it.
    Loading,
    /// The Pod may take traffic.
    Ready,
    /// The fetcher gave up.
    Failed,
    /// The Pod is being shut down.
    Draining,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Resolving,
        Self::Fetching,
        Self::Verifying,
        Self::Publishing,
        Self::Loading,
        Self::Ready,
        Self::Failed,
        Self::Draining,
    ];

    /// The phase's name in JSON, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Resolving => "resolving",
            Self::Fetching => "fetching",
            Self::Verifying => "verifying",
            Self::Publishing => "publishing",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is known of the receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptWord {
    /// There is none.
    Absent,
    /// There is a new one, and it is being checked.
    Checking,
    /// There is one, and it does not count, for this reason.
    Refused(ReasonCode, String),
    /// It is for this model, and every file is in place.
    Accepted,
}

/// What is known of the fetcher's progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgressWord {
    /// It has said nothing.
    Absent,
    /// What it says cannot be used, for this reason.
    Unusable(String),
    /// What it says, about this model.
    Known(progress::Progress),
}

/// What came of the smoke requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SmokeWord {
    /// Every one was answered as expected.
    Passed,
    /// One was not: its name and what came back.
    Failed(String),
}

/// When the server's word counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long after it was asked for a good word still counts.
    pub period: Duration,
    /// How many unclear answers in a row end ready.
    pub failures: u32,
    /// How many good words in a row it takes.
    pub successes: u32,
    /// How many smoke requests there are to be answered before the first ready.
    pub smoke_requests: usize,
}

impl Rules {
    /// How often to ask a server that is loaded: so often that as many unclear answers as end ready fit into a period.
    pub fn interval(&self) -> Duration {
        self.period / self.failures.saturating_add(1)
    }
}

/// The judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What the model is doing.
    pub phase: Phase,
    /// Why, as one of a closed list.
    pub code: ReasonCode,
    /// Why, in one display-ready line.
    pub reason: String,
}

/// What the server said since the receipt was accepted.
#[derive(Debug, Default)]
struct Answers {
    /// The good words in a row, if there are any that still count.
    good: Option<Good>,
    /// Whether there ever were enough of them.
    was_loaded: bool,
    /// What came back last that was not good, and whether that was a definite no.
    problem: Option<(ReasonCode, String)>,
}

/// Good words in a row.
#[derive(Debug)]
struct Good {
    /// When the first of them was asked for.
    since: Instant,
    /// When the last of them was.
    last: Instant,
    /// How many there are.
    count: u32,
    /// What the server said beside.
    detail: Option<String>,
    /// Unclear answers since.
    unclear: u32,
    /// What came of the smoke requests since.
    smoke: Option<SmokeWord>,
    smoke_failures: u32,
}

/// Everything that was seen, as far as it still matters.
#[derive(Debug)]
pub struct Readiness {
    rules: Rules,
    receipt: ReceiptWord,
    accepted_at: Option<Instant>,
    progress: ProgressWord,
    progress_at: Option<Instant>,
    answers: Answers,
    draining: bool,
}

impl Readiness {
    /// Nothing was seen yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            receipt: ReceiptWord::Absent,
            accepted_at: None,
            progress: ProgressWord::Absent,
            progress_at: None,
            answers: Answers::default(),
            draining: false,
        }
    }

    /// Takes note of the receipt. Whatever the server said before no longer counts, even if this receipt
    /// equals the last one.
    pub fn receipt(&mut self, word: ReceiptWord, now: Instant) {
        self.accepted_at = (word == ReceiptWord::Accepted).then_some(now);
        self.receipt = word;
        self.answers = Answers::default();
    }

    /// Takes note of the fetcher's progress.
    pub fn progress(&mut self, word: ProgressWord, now: Instant) {
        self.progress = word;
        self.progress_at = Some(now);
    }

    /// Takes note of the server's answer to a probe that began at `began`. Says whether it counts.
    pub fn probe(&mut self, word: &Word, began: Instant) -> bool {
        // At the very same instant there is no telling which came first, so that does not count either.
        if self.accepted_at.is_none_or(|accepted| began <= accepted) {
            return false;
        }
        // What was stale by then is not gone on with: who knows what was in between.
        let good = self.answers.good.take().filter(|good| self.is_fresh(good, began));
        self.answers.good = match word {
            Word::Loaded { detail } => {
                let detail = detail.as_ref().map(|detail| one_line::of(detail, one_line::LONGEST));
                let good = good.unwrap_or(Good {
                    since: began,
                    last: began,
                    count: 0,
                    detail: None,
                    unclear: 0,
                    smoke: None,
                    smoke_failures: 0,
                });
                let count = good.count.saturating_add(1);
                self.answers.was_loaded |= count >= self.rules.successes;
                Some(Good { last: began, count, detail, unclear: 0, ..good })
            }
            Word::NotLoaded { asked, got } => {
                self.answers.problem = Some(problem(ReasonCode::ServerNotLoaded, asked, got));
                None
            }
            Word::Unclear { asked, got } => {
                self.answers.problem = Some(problem(ReasonCode::ServerUnclear, asked, got));
                // Before there are enough, they have to come in a row.
                let good = good.filter(|good| good.count >= self.rules.successes);
                let good = good.map(|good| Good { unclear: good.unclear.saturating_add(1), ..good });
                good.filter(|good| good.unclear < self.rules.failures)
            }
        };
        true
    }

    /// Since when the server has said that the model is loaded, if its smoke requests are to be made now.
    pub fn wants_smoke(&self, now: Instant) -> Option<Instant> {
        let good = self.answers.good.as_ref()?;
        let is_loaded = self.is_fresh(good, now) && good.count >= self.rules.successes;
        let is_open = self.rules.smoke_requests > 0 && good.smoke != Some(SmokeWord::Passed);
        (is_loaded && is_open && !self.draining).then_some(good.since)
    }

    /// Takes note of what came of the smoke requests that were made for the server's word of `since`. Says whether it
    /// counts: what was asked of a server that has been lost in between does not.
    pub fn smoke(&mut self, word: SmokeWord, since: Instant) -> bool {
        let Some(good) = self.answers.good.as_mut().filter(|good| good.since == since) else { return false };
        good.smoke_failures = match word {
            SmokeWord::Passed => 0,
            SmokeWord::Failed(_) => good.smoke_failures.saturating_add(1),
        };
        good.smoke = Some(word);
        true
    }

    /// Takes note that the Pod is being shut down. There is no way back.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Why the receipt does not count, if there is one.
    pub fn refusal(&self) -> Option<&str> {
        match &self.receipt {
            ReceiptWord::Refused(_, reason) => Some(reason),
            ReceiptWord::Absent | ReceiptWord::Checking | ReceiptWord::Accepted => None,
        }
    }

    /// Since when the receipt counts, if it does.
    pub fn accepted_at(&self) -> Option<Instant> {
        self.accepted_at
    }

    /// What the fetcher last said, if it is about this model.
    pub fn known_progress(&self) -> Option<&progress::Progress> {
        match &self.progress {
            ProgressWord::Known(progress) => Some(progress),
            ProgressWord::Absent | ProgressWord::Unusable(_) => None,
        }
    }

    /// The judgement at `now`.
    pub fn judge(&self, now: Instant) -> Verdict {
        if self.draining {
            return verdict(Phase::Draining, ReasonCode::Draining, "draining");
        }
        if self.receipt == ReceiptWord::Accepted { self.judge_server(now) } else { self.judge_fetcher(now) }
    }

    fn is_fresh(&self, good: &Good, now: Instant) -> bool {
        now.saturating_duration_since(good.last) <= self.rules.period
    }

    fn judge_server(&self, now: Instant) -> Verdict {
        let Answers { good, was_loaded, problem } = &self.answers;
        let again = if *was_loaded { "no longer loaded" } else { "loading" };
        match (good, problem) {
            (Some(good), _) if self.is_fresh(good, now) => self.judge_good(good),
            // The last that came back is what ended it, unless nothing came back at all.
            (Some(good), _) if good.unclear == 0 => {
                let silence = duration::rough(now.saturating_duration_since(good.last));
                let reason = format!("{again}: no word from the server for {silence}");
                verdict(Phase::Loading, ReasonCode::ServerSilent, reason)
            }
            (_, Some((code, problem))) => verdict(Phase::Loading, *code, format!("{again}: {problem}")),
            (_, None) => verdict(Phase::Loading, ReasonCode::AskingServer, "loading: asking the server"),
        }
    }

    /// Of a server that says that the model is loaded.
    fn judge_good(&self, good: &Good) -> Verdict {
        let Rules { failures, successes, smoke_requests, .. } = self.rules;
        if good.count < successes {
            let reason = format!("loaded, {} of {successes} times in a row", good.count);
            return verdict(Phase::Loading, ReasonCode::ServerConfirming, reason);
        }
        match &good.smoke {
            None if smoke_requests > 0 => {
                let reason = format!("loaded; asking the smoke requests ({smoke_requests})");
                return verdict(Phase::Loading, ReasonCode::SmokeRunning, reason);
            }
            Some(SmokeWord::Failed(what)) if good.smoke_failures >= SMOKE_FAILURES => {
                return verdict(Phase::Failed, ReasonCode::SmokeFailed, format!("failed: {what}"));
            }
            Some(SmokeWord::Failed(what)) => return verdict(Phase::Loading, ReasonCode::SmokeFailed, what),
            Some(SmokeWord::Passed) | None => {}
        }
        match (&good.detail, &self.answers.problem) {
            (_, Some((_, problem))) if good.unclear > 0 => {
                let reason = format!("loaded; {} of {failures} answers unclear: {problem}", good.unclear);
                verdict(Phase::Ready, ReasonCode::LoadedInDoubt, reason)
            }
            (Some(detail), _) => verdict(Phase::Ready, ReasonCode::Loaded, format!("loaded: {detail}")),
            (None, _) => verdict(Phase::Ready, ReasonCode::Loaded, "loaded"),
        }
    }

    /// Without a valid receipt, the fetcher at work says most; then what is wrong with the receipt.
    fn judge_fetcher(&self, now: Instant) -> Verdict {
        let progress = self.known_progress();
        let silence = self.progress_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        if let Some(verdict) = progress.and_then(|progress| judge_progress(progress, silence)) {
            return verdict;
        }
        let done = progress.is_some_and(|progress| progress.phase == progress::Phase::Fetched);
        let checking = "checking the receipt";
        match (&self.receipt, &self.progress) {
            (ReceiptWord::Refused(code, reason), _) => verdict(Phase::Waiting, *code, reason),
            (ReceiptWord::Checking, _) if done => {
                verdict(Phase::Publishing, ReasonCode::CheckingReceipt, checking)
            }
            (ReceiptWord::Checking, _) => verdict(Phase::Waiting, ReasonCode::CheckingReceipt, checking),
            (_, ProgressWord::Unusable(reason)) => {
                verdict(Phase::Waiting, ReasonCode::ProgressUnusable, reason)
            }
            _ if done => {
                let reason = "the fetcher is done, but there is no receipt";
                verdict(Phase::Waiting, ReasonCode::ReceiptMissing, reason)
            }
            _ => verdict(Phase::Waiting, ReasonCode::WaitingForFetcher, "waiting for the fetcher"),
        }
    }
}

/// What a fetcher at work, or one that gave up, is doing. `silence` is how long ago it said so.
fn judge_progress(progress: &progress::Progress, silence: Duration) -> Option<Verdict> {
    let (phase, code) = match progress.phase {
        progress::Phase::Waiting | progress::Phase::Fetched => return None,
        progress::Phase::Resolving => (Phase::Resolving, ReasonCode::Resolving),
        progress::Phase::Fetching => (Phase::Fetching, ReasonCode::Fetching),
        progress::Phase::Verifying => (Phase::Verifying, ReasonCode::Verifying),
        progress::Phase::Publishing => (Phase::Publishing, ReasonCode::Publishing),
        progress::Phase::Failed => {
            let what = progress.error.as_ref().map_or_else(String::new, |it| format!(": {}", it.message));
            return Some(verdict(Phase::Failed, ReasonCode::FetchFailed, format!("failed{what}")));
        }
    };
    let mut reason = phase.to_string();
    if phase == Phase::Fetching {
        if let Some(percent) = progress.percent() {
            reason.push_str(&format!(" {percent} %"));
        }
        if progress.bytes_per_second > 0 {
            reason.push_str(&format!(" at {}/s", ByteSize(progress.bytes_per_second)));
        }
        if let Some(seconds) = progress.eta_seconds {
            reason.push_str(&format!(", {} left", duration::rough(Duration::from_secs(seconds))));
        }
    }
    if progress.attempt > 1 {
        reason.push_str(&format!(" (attempt {})", progress.attempt));
    }
    if silence < SILENCE {
        return Some(verdict(phase, code, reason));
    }
    let reason = format!("{reason}; no word from the fetcher for {}", duration::rough(silence));
    Some(verdict(phase, ReasonCode::FetcherSilent, reason))
}

fn problem(code: ReasonCode, asked: &str, got: &str) -> (ReasonCode, String) {
    (code, one_line::of(&format!("{asked}: {got}"), one_line::LONGEST))
}

fn verdict(phase: Phase, code: ReasonCode, reason: impl AsRef<str>) -> Verdict {
    Verdict { phase, code, reason: one_line::of(reason.as_ref(), one_line::LONGEST) }
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
