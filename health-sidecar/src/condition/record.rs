//! What came of the reports, for `/status`, the metrics and the log.

use jiff::Timestamp;
use serde::Serialize;
use tracing::warn;

use super::Target;
use super::failure::{Failure, Kind};
use super::patch::Condition;
use crate::one_line;

/// What came of the reports so far.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    #[serde(skip)]
    target: Target,
    /// Whose condition it is.
    pub to: String,
    /// The last that was written.
    pub last: Option<Written>,
    /// What went wrong since, if anything.
    pub error: Option<Problem>,
    #[serde(skip)]
    written: u64,
    #[serde(skip)]
    failed: [u64; Kind::ALL.len()],
    /// The kinds of failure that the log was told of since the last success.
    #[serde(skip)]
    warned: Vec<Kind>,
}

/// A condition as it was written.
#[derive(Clone, Debug, Serialize)]
pub struct Written {
    /// When it was judged.
    pub at: Timestamp,
    /// `True` or `False`.
    pub status: &'static str,
    /// The code of the reason.
    pub reason: String,
    /// The reason.
    pub message: String,
}

/// A failure.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// When what could not be told was judged.
    pub at: Timestamp,
    /// Its kind.
    pub kind: &'static str,
    /// What went wrong.
    pub message: String,
}

impl Record {
    /// Nothing was written yet.
    pub fn new(target: Target) -> Self {
        let to = target.object();
        Self {
            target,
            to,
            last: None,
            error: None,
            written: 0,
            failed: Default::default(),
            warned: Vec::new(),
        }
    }

    /// Takes note of a report. The log is told of each kind of failure once, until one succeeds.
    pub fn observe(&mut self, condition: Condition, outcome: &Result<(), Failure>) {
        let at = condition.now;
        let failure = match outcome {
            Ok(()) => {
                self.written = self.written.saturating_add(1);
                self.error = None;
                self.warned.clear();
                self.last = Some(Written {
                    at,
                    status: condition.status(),
                    reason: condition.reason(),
                    message: condition.verdict.reason,
                });
                return;
            }
            Err(failure) => failure,
        };
        let (kind, message) = (failure.kind(), one_line::of_error(failure));
        if let Some((_, count)) = Kind::ALL.iter().zip(&mut self.failed).find(|(of, _)| **of == kind) {
            *count = count.saturating_add(1);
        }
        if !self.warned.contains(&kind) {
            self.warned.push(kind);
            let hint = kind.hint(&self.target).map_or_else(String::new, |hint| format!("; hint: {hint}"));
            warn!(kind = kind.name(), "cannot report to {}: {message}{hint}", self.to);
        }
        self.error = Some(Problem { at, kind: kind.name(), message });
    }

    /// How many reports came to what, by the name of the result.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let failed = Kind::ALL.iter().map(|kind| kind.name()).zip(self.failed);
        std::iter::once(("written", self.written)).chain(failed)
    }
}
