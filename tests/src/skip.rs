//! Leaving out what a machine cannot run, never silently.
//!
//! `PLIMSOLL_SKIP=containers,mlserver` leaves out the named groups. Each skip says so on standard error, past
//! the capture of the test harness, and is counted in the file that `PLIMSOLL_SKIP_LOG` names, which
//! `tests/run` sums up at its end.

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;

/// Whether `group` is to be left out; `what` is the test that would have run.
pub fn asked(group: &str, what: &str) -> bool {
    let groups = env::var("PLIMSOLL_SKIP").unwrap_or_default();
    if !groups.split(',').any(|name| name.trim() == group) {
        return false;
    }
    say(&format!("skipped: {what} (PLIMSOLL_SKIP names `{group}`)"));
    if let Some(path) = env::var_os("PLIMSOLL_SKIP_LOG") {
        let mut log = OpenOptions::new().append(true).create(true).open(path).expect("the skip log opens");
        writeln!(log, "{what}").expect("the skip log takes a line");
    }
    true
}

/// Prints a line that a passing test shows too: the test harness captures `println!`, not the stream itself.
pub fn say(line: &str) {
    // A closed standard error must not fail a test.
    let _ = writeln!(std::io::stderr(), "{line}");
}
