//! `health-sidecar check`: one line, and an exit code that a probe, a Job or a pipeline can act on.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test] functions")]

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::model_server::{ModelServer, Says};
use crate::sidecar::{Sidecar, command, wait_for};
use crate::volume::{VERSION, Volume, receipt};

fn check(url: &str, wait: &str) -> Command {
    let mut command = command();
    command.args(["check", "--url", url, "--wait", wait]);
    command
}

/// The exit code and the one line.
#[track_caller]
fn result(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (output.status.code(), text.trim_end_matches('\n').to_owned())
}

#[test]
fn ready_is_success_with_the_models_name_and_digest() {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::loaded());
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    sidecar.until("ready", "loaded");
    let output = check(&sidecar.url("/health"), "0s").output().unwrap();
    let line = format!("ready: product-recommendation v2.3 {}", receipt(VERSION).digest);
    assert_eq!(result(&output), (Some(0), line));
}

#[test]
fn not_ready_is_unavailable_with_the_reason() {
    let volume = Volume::empty();
    let sidecar = Sidecar::start(&volume, "http://127.0.0.1:9", &[]);
    let output = check(&sidecar.url("/health"), "0s").output().unwrap();
    assert_eq!(result(&output), (Some(69), "waiting for the fetcher".into()));
    // The wait ends although nothing changes.
    let began = Instant::now();
    let output = check(&sidecar.url("/health"), "1s").output().unwrap();
    assert_eq!(result(&output).0, Some(69));
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
}

#[test]
fn a_wait_ends_when_the_model_is_ready() {
    let volume = Volume::empty();
    let server = ModelServer::start(Says::loaded());
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    let waiting = check(&sidecar.url("/health"), "60s").stdout(Stdio::piped()).spawn().unwrap();
    volume.put_files();
    volume.put_receipt(&receipt(VERSION));
    let (code, line) = result(&waiting.wait_with_output().unwrap());
    assert_eq!(code, Some(0), "{line}");
    assert!(line.starts_with("ready: product-recommendation v2.3 sha256:"), "{line}");
}

#[test]
fn a_failed_fetch_ends_a_wait_early() {
    let volume = Volume::empty();
    let sidecar = Sidecar::start(&volume, "http://127.0.0.1:9", &[]);
    let mut waiting = check(&sidecar.url("/health"), "60s").stdout(Stdio::piped()).spawn().unwrap();
    volume.put_failure("product-recommendation v2.3: not found");
    wait_for(|| waiting.try_wait().unwrap(), || "still waiting".into());
    let (code, line) = result(&waiting.wait_with_output().unwrap());
    assert_eq!((code, line.as_str()), (Some(69), "failed: product-recommendation v2.3: not found"));
}

#[test]
fn whoever_is_not_a_sidecar_is_unavailable() {
    for (says, problem) in [
        (Says::Always(200, "ok\n".into()), "expected a health report, got status 200 OK"),
        (Says::Garbage, "the answer is not HTTP"),
        (Says::Endless, "the answer is longer than 65536 bytes"),
        (Says::Nothing, "no answer in time"),
    ] {
        let server = ModelServer::start(says);
        let url = format!("{}/health", server.url());
        let (code, line) = result(&check(&url, "0s").output().unwrap());
        assert_eq!(code, Some(69));
        assert!(line.starts_with(&format!("GET {url}: {problem}")), "{line}");
    }
    let (code, line) = result(&check("http://127.0.0.1:1/health", "0s").output().unwrap());
    assert_eq!((code, line.as_str()), (Some(69), "GET http://127.0.0.1:1/health: connection refused"));
}

#[test]
fn the_variables_are_those_of_the_flags() {
    let server = ModelServer::start(Says::loading());
    let url = format!("{}/health", server.url());
    let output = command().arg("check").env("HEALTH_URL", &url).env("HEALTH_WAIT", "0s").output().unwrap();
    let line = format!("GET {url}: expected a health report, got status 503 Service Unavailable");
    assert_eq!(result(&output), (Some(69), line));
}
