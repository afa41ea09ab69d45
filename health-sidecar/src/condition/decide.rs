//! When to write. No clock and no socket: it is told what there is to tell, what came of it, and what time it is.

use std::time::{Duration, Instant};

use crate::readiness::{Phase, Verdict};
use crate::reason::ReasonCode;

/// Longest pause after a failure, whatever the server asks for.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A fetch is told of anew when it has come so many percent further.
const PERCENT: u64 = 10;

/// What a report tells apart. Words that change all the time, such as the speed of a fetch, are no news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    phase: Phase,
    /// Which kind of situation. Of a Pod that is ready this is no news: it may be in doubt and out of it all the time.
    code: Option<ReasonCode>,
    /// How far a fetch is.
    step: Option<u64>,
    /// Why it is not loaded, where the words are the cause: a server that first refuses connections may then say that it has
    /// another model.
    words: Option<String>,
}

impl Told {
    /// What there is to tell of a verdict.
    pub fn new(verdict: &Verdict, percent: Option<u64>) -> Self {
        Self {
            phase: verdict.phase,
            code: (verdict.phase != Phase::Ready).then_some(verdict.code),
            step: percent.filter(|_| verdict.phase == Phase::Fetching).map(|percent| percent / PERCENT),
            words: matches!(
                verdict.code,
                ReasonCode::FetchFailed | ReasonCode::ServerNotLoaded | ReasonCode::SmokeFailed
            )
            .then(|| verdict.reason.clone()),
        }
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write now.
    Write,
    /// Write then, unless there is nothing to tell any more.
    Wait(Instant),
    /// Nothing: all is told.
    Rest,
}

/// When to write.
#[derive(Debug)]
pub struct Decision {
    interval: Duration,
    /// What was written last.
    written: Option<Told>,
    not_before: Option<Instant>,
    /// Failures since.
    failures: u32,
}

impl Decision {
    /// Nothing was written yet.
    pub fn new(interval: Duration) -> Self {
        Self { interval, written: None, not_before: None, failures: 0 }
    }

    /// What to do, if this is what there is to tell at `now`.
    pub fn step(&self, now: Instant, told: &Told) -> Step {
        // A Pod that is going away is told of by its deletion, and must not speak for its Deployment any more.
        if told.phase == Phase::Draining || self.written.as_ref() == Some(told) {
            return Step::Rest;
        }
        self.not_before.filter(|&at| now < at).map_or(Step::Write, Step::Wait)
    }

    /// This was written, and the answer came at `now`.
    pub fn written(&mut self, told: Told, now: Instant) {
        self.written = Some(told);
        self.failures = 0;
        self.not_before = Some(now + self.interval);
    }

    /// It could not be written, as was known at `now`. The server may have asked for a pause. `random` spreads what would
    /// come back at once.
    pub fn failed(&mut self, asked: Option<Duration>, now: Instant, random: u64) {
        // Whether the server has what was sent is not known, so the next success counts alone.
        self.written = None;
        let doubled = self.interval.saturating_mul(2_u32.saturating_pow(self.failures.saturating_add(1)));
        self.failures = self.failures.saturating_add(1);
        let pause = doubled.min(LONGEST_PAUSE);
        // From half of it to all of it.
        let part = u32::try_from(random % 1024).unwrap_or(0);
        let pause = (pause / 2 + pause * part / 2048).max(asked.unwrap_or_default().min(LONGEST_PAUSE));
        self.not_before = Some(now + pause.max(self.interval));
    }
}

#[cfg(test)]
mod property;
