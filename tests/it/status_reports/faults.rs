//! What no API server can be made to do at will: each time readiness knows nothing of it, and `/health` answers as fast as
//! ever. No real API server here: one that answers to order, behind nginx for TLS.

use std::fs;
use std::time::{Duration, Instant};

use plimsoll_tests::fault_server::{Answer, FaultServer};
use plimsoll_tests::web_server::WebServer;
use plimsoll_tests::{binaries, http, poll, skip};
use serde_json::Value;
use tempfile::TempDir;

use super::NOTICE;
use super::cluster::until_error;
use crate::sidecar::Sidecar;

const TOKEN: &str = "canary-token";
/// How long `/health` may take on a busy machine; far below the time that a hanging API server is given.
const PROMPT: Duration = Duration::from_secs(2);
/// Most memory that the sidecar may use.
const MAX_RESIDENT: u64 = 6 * 1024 * 1024;

fn credentials(authority: impl AsRef<[u8]>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), TOKEN).unwrap();
    fs::write(folder.path().join("ca.crt"), authority).unwrap();
    fs::write(folder.path().join("namespace"), "shop\n").unwrap();
    folder
}

fn settings(port: u16, credentials: &TempDir) -> Vec<(&'static str, String)> {
    vec![
        ("HEALTH_REPORT", "pod".into()),
        ("HEALTH_REPORT_INTERVAL", "1s".into()),
        ("HEALTH_REPORT_CREDENTIALS", credentials.path().display().to_string()),
        ("POD_NAME", "pod".into()),
        ("POD_UID", "3f1c".into()),
        ("KUBERNETES_SERVICE_HOST", "localhost".into()),
        ("KUBERNETES_SERVICE_PORT", port.to_string()),
    ]
}

/// Brings a sidecar to ready while its reports fail, and gives how they do.
fn goes_ready(what: &str, kind: &str, port: u16, credentials: &TempDir) -> String {
    let settings = settings(port, credentials);
    let sidecar = Sidecar::start_with(binaries::health_sidecar(), "m", "v1", &settings);
    let health = |status: u16| {
        let began = Instant::now();
        assert_eq!(http::get(sidecar.port(), "/health").unwrap().status, status, "{what}");
        assert!(began.elapsed() < PROMPT, "{what}: /health took {:?}", began.elapsed());
    };
    health(503);
    sidecar.fetching();
    health(503);
    sidecar.fetched(2, 1000);
    sidecar.set_loaded(true);
    let began = Instant::now();
    sidecar.until("ready");
    assert!(began.elapsed() < Duration::from_secs(8), "{what}: ready took {:?}", began.elapsed());
    let error = until_error(&sidecar, kind);
    health(200);
    let page = http::get(sidecar.port(), "/metrics").unwrap().text().to_owned();
    let failed = format!("plimsoll_report_total{{result=\"{kind}\"}} ");
    assert!(page.contains(&failed) && !page.contains(&format!("{failed}0\n")), "{what}: {page}");
    assert!(page.contains("plimsoll_report_total{result=\"written\"} 0\n"), "{what}: {page}");
    let log = sidecar.log();
    assert_eq!(log.matches("cannot report to Pod shop/pod").count(), 1, "{what}: {log}");
    assert!(!log.contains(TOKEN) && !sidecar.status().to_string().contains(TOKEN), "{what}: {log}");
    error["message"].as_str().unwrap().to_owned()
}

#[test]
fn readiness_knows_nothing_of_what_becomes_of_reports() {
    type Answers = fn(usize, &plimsoll_tests::fault_server::Request) -> Answer;
    let cases: [(&str, &str, &str, Answers); 8] = [
        ("an error", "server_error", "500 Internal Server Error", |_, _| Answer::status("500 Oh no")),
        ("too busy", "busy", "429 Too Many Requests", |_, _| {
            Answer::status("429 Slow").with("Retry-After", "2")
        }),
        ("silence", "timed_out", "no answer from the API server within 10 s", |_, _| Answer {
            stall: Duration::from_secs(60),
            body: vec![b'x'; 8],
            ..Answer::status("500 Wait")
        }),
        ("a redirect", "refused", "302 Found", |_, _| Answer::status("302 Found").with("Location", "/x")),
        ("words that are no JSON", "refused", "418", |_, _| Answer {
            body: b"<html>".to_vec(),
            ..Answer::status("418 T")
        }),
        ("an answer that repeats the token", "forbidden", "cannot *** it \u{20}x", |_, _| Answer {
            body: br#"{"message":"cannot canary-token it \nx"}"#.to_vec(),
            ..Answer::status("403 Forbidden")
        }),
        ("a long answer", "malformed", "longer than 65536 bytes", |_, _| Answer {
            body: vec![b' '; 70_000],
            ..Answer::status("403 Forbidden")
        }),
        ("a cut answer", "unreachable", "closed before the answer was complete", |_, _| {
            Answer { body: vec![b'x'; 100], ..Answer::status("403 Forbidden") }.cut(10)
        }),
    ];
    for (what, kind, words, answers) in cases {
        let upstream = FaultServer::start(answers);
        let server = WebServer::nginx_with_tls_before(upstream.port());
        let credentials = credentials(fs::read(server.authority()).unwrap());
        let message = goes_ready(what, kind, server.tls_port().unwrap(), &credentials);
        assert!(message.contains(words), "{what}: {message}");
    }
}

#[test]
fn a_server_that_cannot_be_believed_gets_no_token() {
    let upstream = FaultServer::start(|_, _| Answer::status("200 OK"));
    let server = WebServer::nginx_with_tls_before(upstream.port());
    let other = WebServer::nginx_with_tls_before(upstream.port());
    let port = server.tls_port().unwrap();
    let wrong = credentials(fs::read(other.authority()).unwrap());
    let message = goes_ready("another authority", "untrusted", port, &wrong);
    assert!(message.contains("no TLS with the API server"), "{message}");
    // Plain HTTP where TLS must be.
    goes_ready("no TLS", "malformed", server.port(), &wrong);
    goes_ready("nobody", "unreachable", plimsoll_tests::process::free_port(), &wrong);
    goes_ready("no certificate", "credentials", port, &credentials("-----BEGIN NONSENSE-----"));
    let nothing = credentials("");
    fs::remove_file(nothing.path().join("token")).unwrap();
    goes_ready("no token", "credentials", port, &nothing);
    assert_eq!(upstream.requests().len(), 0, "nothing was sent to any of them");
}

#[test]
fn a_server_that_recovers_is_told_what_is_so_then_with_the_token_of_then() {
    let upstream = FaultServer::start(|number, request| {
        let is_new = request.header("authorization") == Some("Bearer rotated");
        match number {
            0 => Answer::status("429 Slow").with("Retry-After", "3"),
            _ if is_new => Answer::status("200 OK"),
            _ => Answer::status("401 Unauthorized"),
        }
    });
    let server = WebServer::nginx_with_tls_before(upstream.port());
    let credentials = credentials(fs::read(server.authority()).unwrap());
    let settings = settings(server.tls_port().unwrap(), &credentials);
    let began = Instant::now();
    let sidecar = Sidecar::start_with(binaries::health_sidecar(), "m", "v1", &settings);
    until_error(&sidecar, "unauthorized");
    assert!(began.elapsed() >= Duration::from_secs(3), "it was asked to wait");
    sidecar.fetching();
    fs::write(credentials.path().join("token"), "rotated\n").unwrap();
    let last = poll::until("a report", NOTICE, || {
        Some(sidecar.status()["report"]["last"].clone()).filter(|last| last["reason"] == "Fetching")
    });
    assert_eq!(last["status"], "False");
    assert_eq!(sidecar.status()["report"]["error"], Value::Null);
    let request = upstream.requests().last().unwrap().clone();
    assert_eq!(request.method, "PATCH");
    assert!(request.target.starts_with("/api/v1/namespaces/shop/pods/pod/status?"), "{}", request.target);
    assert_eq!(request.header("content-type"), Some("application/strategic-merge-patch+json"));
}

#[test]
fn the_sidecar_stays_small_while_it_reports() {
    if skip::asked("containers", "status_reports: the_sidecar_stays_small_while_it_reports") {
        return;
    }
    // The answer to a patch that was taken is the whole object; some are large.
    let upstream =
        FaultServer::start(|_, _| Answer { body: vec![b'x'; 2_000_000], ..Answer::status("200 OK") });
    let server = WebServer::nginx_with_tls_before(upstream.port());
    let credentials = credentials(fs::read(server.authority()).unwrap());
    let settings = settings(server.tls_port().unwrap(), &credentials);
    let program = binaries::static_binaries().join("health-sidecar");
    let sidecar = Sidecar::start_with(program, "m", "v1", &settings);
    sidecar.fetching();
    sidecar.fetched(2, 1000);
    sidecar.set_loaded(true);
    sidecar.until("ready");
    poll::until("the last report", NOTICE, || {
        (sidecar.status()["report"]["last"]["reason"] == "Loaded").then_some(())
    });
    let (now, most) = sidecar.memory();
    skip::say(&format!("observed: the sidecar that reports has {now} bytes resident, {most} at most"));
    assert!(most <= MAX_RESIDENT, "expected at most {MAX_RESIDENT} resident bytes, got {most}");
}
