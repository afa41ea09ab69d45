//! Whether this Pod may take traffic, and if not, why.
//!
//! The one decision that everything else here serves, kept apart from clocks, files and sockets: it is told
//! what was seen and when, and judges. Ready takes three things at once:
//!
//! * a receipt that was accepted, and has not changed since;
//! * the server's word that the model is loaded, given to a question asked *after* that acceptance (before it,
//!   the word may have been about the previous model), and asked recently;
//! * no shutdown under way.
//!
//! The receipt latches; the server's word does not. One failed probe is no reason to take a working Pod out of
//! service, so `failures` in a row are needed. Silence is not consent: when no good word was given for
//! `stale_after`, ready ends, however many probes failed or did not.

use std::fmt;
use std::time::{Duration, Instant};

use handoff::progress;
use serde::{Deserialize, Serialize};

use crate::one_line;
use crate::probe::Word;

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
    Refused(String),
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

/// When the server's word counts.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How many failed probes in a row end ready.
    pub failures: u32,
    /// How long after it was asked for a good word still counts.
    pub stale_after: Duration,
}

/// The judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What the model is doing.
    pub phase: Phase,
    /// Why, in one display-ready line.
    pub reason: String,
}

/// What the server said since the receipt was accepted.
#[derive(Debug, Default)]
struct Answers {
    /// When the question was asked that was last answered "loaded".
    loaded: Option<Instant>,
    /// What it said about that.
    detail: Option<String>,
    failures_in_a_row: u32,
    last_failure: String,
}

/// Everything that was seen, as far as it still matters.
#[derive(Debug)]
pub struct Readiness {
    rules: Rules,
    receipt: ReceiptWord,
    accepted_at: Option<Instant>,
    progress: ProgressWord,
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
    pub fn progress(&mut self, word: ProgressWord) {
        self.progress = word;
    }

    /// Takes note of the server's answer to a probe that began at `began`. Says whether it counts.
    pub fn probe(&mut self, word: &Word, began: Instant) -> bool {
        // At the very same instant there is no telling which came first, so that does not count either.
        if self.accepted_at.is_none_or(|accepted| began <= accepted) {
            return false;
        }
        match word {
            Word::Loaded { detail } => {
                let detail = detail.as_ref().map(|detail| one_line::of(detail, one_line::LONGEST));
                self.answers = Answers { loaded: Some(began), detail, ..Answers::default() };
            }
            Word::NotLoaded { asked, got } | Word::Unclear { asked, got } => {
                self.answers.failures_in_a_row = self.answers.failures_in_a_row.saturating_add(1);
                self.answers.last_failure = one_line::of(&format!("{asked}: {got}"), one_line::LONGEST);
            }
        }
        true
    }

    /// Takes note that the Pod is being shut down. There is no way back.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Why the receipt does not count, if there is one.
    pub fn refusal(&self) -> Option<&str> {
        match &self.receipt {
            ReceiptWord::Refused(reason) => Some(reason),
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
            return verdict(Phase::Draining, "draining");
        }
        if self.receipt == ReceiptWord::Accepted { self.judge_server(now) } else { self.judge_fetcher() }
    }

    fn judge_server(&self, now: Instant) -> Verdict {
        let Answers { loaded, detail, failures_in_a_row, last_failure } = &self.answers;
        let tolerated = *failures_in_a_row < self.rules.failures;
        let fresh =
            loaded.is_some_and(|asked| now.saturating_duration_since(asked) <= self.rules.stale_after);
        match (loaded, failures_in_a_row) {
            (Some(_), 0) if fresh => match detail {
                Some(detail) => verdict(Phase::Ready, format!("loaded: {detail}")),
                None => verdict(Phase::Ready, "loaded"),
            },
            (Some(_), failures) if fresh && tolerated => verdict(
                Phase::Ready,
                format!("loaded; {failures} of {} probes failed: {last_failure}", self.rules.failures),
            ),
            (Some(_), 0) => verdict(Phase::Loading, "no longer loaded: no word from the server for too long"),
            (Some(_), _) => verdict(Phase::Loading, format!("no longer loaded: {last_failure}")),
            (None, 0) => verdict(Phase::Loading, "loading: asking the server"),
            (None, _) => verdict(Phase::Loading, format!("loading: {last_failure}")),
        }
    }

    /// Without a valid receipt, the fetcher at work says most; then what is wrong with the receipt.
    fn judge_fetcher(&self) -> Verdict {
        let progress = self.known_progress();
        if let Some(verdict) = progress.and_then(judge_progress) {
            return verdict;
        }
        let done = progress.is_some_and(|progress| progress.phase == progress::Phase::Fetched);
        match (&self.receipt, &self.progress) {
            (ReceiptWord::Refused(reason), _) => verdict(Phase::Waiting, reason),
            (ReceiptWord::Checking, _) if done => verdict(Phase::Publishing, "checking the receipt"),
            (ReceiptWord::Checking, _) => verdict(Phase::Waiting, "checking the receipt"),
            (_, ProgressWord::Unusable(reason)) => verdict(Phase::Waiting, reason),
            _ if done => verdict(Phase::Waiting, "the fetcher is done, but there is no receipt"),
            _ => verdict(Phase::Waiting, "waiting for the fetcher"),
        }
    }
}

/// What a fetcher at work, or one that gave up, is doing.
fn judge_progress(progress: &progress::Progress) -> Option<Verdict> {
    let phase = match progress.phase {
        progress::Phase::Waiting | progress::Phase::Fetched => return None,
        progress::Phase::Resolving => Phase::Resolving,
        progress::Phase::Fetching => Phase::Fetching,
        progress::Phase::Verifying => Phase::Verifying,
        progress::Phase::Publishing => Phase::Publishing,
        progress::Phase::Failed => Phase::Failed,
    };
    let detail = match (phase, progress.percent(), &progress.error) {
        (Phase::Fetching, Some(percent), _) => format!(" {percent} %"),
        (Phase::Failed, _, Some(failure)) => format!(": {}", failure.message),
        _ => String::new(),
    };
    let attempt = match progress.attempt {
        attempt if attempt > 1 && phase != Phase::Failed => format!(" (attempt {attempt})"),
        _ => String::new(),
    };
    Some(verdict(phase, format!("{phase}{detail}{attempt}")))
}

fn verdict(phase: Phase, reason: impl AsRef<str>) -> Verdict {
    Verdict { phase, reason: one_line::of(reason.as_ref(), one_line::LONGEST) }
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
