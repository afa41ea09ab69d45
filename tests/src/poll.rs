//! Waiting for something to become true, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// How often a condition is looked at: often enough not to slow a test, seldom enough not to slow the server.
const PAUSE: Duration = Duration::from_millis(20);

/// Repeats `attempt` until it gives a value or `limit` has passed.
pub fn within<T>(limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = attempt() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(PAUSE);
    }
}

/// Like [`within`], but fails the test when the time is up, with `what` it waited for.
///
/// # Panics
/// When `attempt` gives no value within `limit`.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, attempt: impl FnMut() -> Option<T>) -> T {
    within(limit, attempt).unwrap_or_else(|| panic!("waited {} s in vain for {what}", limit.as_secs_f32()))
}
