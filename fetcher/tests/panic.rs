//! A panic anywhere in the process ends it with its own exit code and a line in the termination log.
//!
//! The binary has no way to be made to panic from outside, so this test runs itself a second time: that process
//! installs the hook and panics in a task, where without the hook a panic is only that task's failure.

use std::process::Command;

use fetcher::config::TerminationLog;
use fetcher::report::termination::install_panic_hook;

const LOG: &str = "PANIC_TEST_TERMINATION_LOG";

#[test]
fn a_panic_in_a_task_ends_the_process_with_a_line() {
    if let Some(path) = std::env::var_os(LOG) {
        install_panic_hook(TerminationLog::Always(path.into()));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let joined = runtime.block_on(runtime.spawn(async { panic!("a bug\nin two lines") }));
        unreachable!("the hook ended the process, got {joined:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("termination-log");
    let this_test = std::env::current_exe().unwrap();
    let output = Command::new(this_test)
        .args(["--exact", "a_panic_in_a_task_ends_the_process_with_a_line", "--nocapture"])
        .env(LOG, &log)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(70), "{output:?}");
    let line = std::fs::read_to_string(log).unwrap();
    assert!(line.starts_with("fetcher: internal error at fetcher/tests/panic.rs:"), "{line}");
    assert!(line.ends_with(": a bug in two lines"), "{line}");
}
