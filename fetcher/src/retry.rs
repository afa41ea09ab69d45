//! The one retry budget of a run.
//!
//! Neither the HTTP client nor the S3 library retries, so every failure comes here. A retryable one is tried
//! again after a pause that doubles, is jittered by up to half (so that the replicas of a Deployment do not ask
//! in step) and is never shorter than what the server asked for. Attempts are counted per request and start
//! anew when bytes arrive; the deadline is one for the whole run.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::store::{Class, StoreError};

/// The first pause. A reset connection or a restarting proxy is often back after this.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause of our own choosing: long enough to spare a struggling server, short enough for a rollout.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// The longest pause that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// Attempts and time that a run may spend.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    attempts: u32,
    started: Instant,
    deadline: Duration,
}

/// Why a request failed for good.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Trying again would not help.
    #[error(transparent)]
    Final(StoreError),
    /// Trying again did not help.
    #[error("gave up after {attempts} attempts, {} s into the run{}", elapsed.as_secs(), told_to_wait(*too_long))]
    Spent {
        /// Attempts made at this request.
        attempts: u32,
        /// Time since the run began.
        elapsed: Duration,
        /// How long the server asked us to wait, if that is what there was no time for.
        too_long: Option<Duration>,
        /// The last failure.
        source: StoreError,
    },
}

impl Failed {
    /// How to meet this failure.
    pub fn class(&self) -> Class {
        match self {
            Self::Final(error) | Self::Spent { source: error, .. } => error.class(),
        }
    }

    /// What the user can do about it, where that does not depend on what was asked for.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Final(error) | Self::Spent { source: error, .. } => error.hint(),
        }
    }
}

fn told_to_wait(too_long: Option<Duration>) -> String {
    too_long.map_or_else(String::new, |asked| format!(", asked to wait {} s", asked.as_secs()))
}

impl Budget {
    /// A budget whose clock starts now.
    pub fn new(attempts: u32, deadline: Duration) -> Self {
        Self { attempts, started: Instant::now(), deadline }
    }

    /// Starts counting the attempts at one request.
    pub fn begin(&self) -> Attempts {
        Attempts { budget: *self, failed: 0 }
    }

    /// Makes a request until it succeeds or the budget is spent.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn run<T, F>(&self, mut request: impl FnMut() -> F) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut attempts = self.begin();
        loop {
            match request().await {
                Ok(answer) => return Ok(answer),
                Err(error) => attempts.pause_after(error).await?,
            }
        }
    }
}

/// The attempts at one request.
#[derive(Debug)]
pub struct Attempts {
    budget: Budget,
    failed: u32,
}

impl Attempts {
    /// The request got somewhere: what failed before does not count any more.
    pub fn progressed(&mut self) {
        self.failed = 0;
    }

    /// Waits before the next attempt, or gives up.
    ///
    /// # Errors
    /// See [`Failed`].
    pub async fn pause_after(&mut self, error: StoreError) -> Result<(), Failed> {
        let pause = self.pause(error)?;
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn pause(&mut self, error: StoreError) -> Result<Duration, Failed> {
        if error.class() != Class::Retryable {
            return Err(Failed::Final(error));
        }
        self.failed = self.failed.saturating_add(1);
        let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(self.failed - 1).unwrap_or(u32::MAX));
        let ours = doubled.min(LONGEST_PAUSE).mul_f64(fastrand::f64().mul_add(0.5, 0.5));
        let pause = ours.max(error.retry_after().unwrap_or_default().min(LONGEST_ASKED));
        let elapsed = self.budget.started.elapsed();
        let is_late = elapsed + pause > self.budget.deadline;
        if self.failed >= self.budget.attempts || is_late {
            let too_long = error.retry_after().filter(|asked| is_late && *asked >= pause);
            return Err(Failed::Spent { attempts: self.failed, elapsed, too_long, source: error });
        }
        tracing::warn!(attempt = self.failed, wait_ms = pause.as_millis(), "retrying: {error}");
        Ok(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unavailable(retry_after: Option<u64>) -> StoreError {
        let retry_after = retry_after.map(Duration::from_secs);
        StoreError::Unavailable { what: "x".into(), reason: "503".into(), retry_after, source: None }
    }

    #[test]
    fn pauses_double_within_their_jitter_up_to_the_longest() {
        let mut attempts = Budget::new(u32::MAX, Duration::from_secs(3600)).begin();
        for doubled in [200_u64, 400, 800, 1600, 3200, 6400, 12_800, 20_000, 20_000] {
            let pause = attempts.pause(unavailable(None)).unwrap();
            let most = Duration::from_millis(doubled);
            assert!(pause >= most / 2 && pause <= most, "{pause:?} for {most:?}");
        }
        attempts.progressed();
        assert!(attempts.pause(unavailable(None)).unwrap() <= FIRST_PAUSE);
    }

    #[test]
    fn the_server_may_ask_for_longer_but_not_for_ever() {
        let budget = Budget::new(10, Duration::from_secs(3600));
        assert!(budget.begin().pause(unavailable(Some(30))).unwrap() >= Duration::from_secs(30));
        assert_eq!(budget.begin().pause(unavailable(Some(86_400))).unwrap(), LONGEST_ASKED);
    }

    #[test]
    fn attempts_and_deadline_end_it() {
        let mut attempts = Budget::new(2, Duration::from_secs(3600)).begin();
        attempts.pause(unavailable(None)).unwrap();
        assert!(matches!(attempts.pause(unavailable(None)), Err(Failed::Spent { attempts: 2, .. })));
        let mut late = Budget::new(9, Duration::from_secs(10)).begin();
        let failed = late.pause(unavailable(Some(30))).unwrap_err();
        assert_eq!(failed.to_string(), "gave up after 1 attempts, 0 s into the run, asked to wait 30 s");
    }

    #[test]
    fn what_cannot_succeed_is_not_tried_again() {
        let error = StoreError::NotFound { what: "x".into() };
        let failed = Budget::new(9, Duration::from_secs(10)).begin().pause(error);
        assert!(matches!(failed, Err(Failed::Final(StoreError::NotFound { .. }))));
    }
}
