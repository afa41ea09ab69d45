//! `health-sidecar check --smoke`: what is sent, and that every answer but the right one is red with its name.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test] functions")]

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::model_server::{ModelServer, Says};
use crate::sidecar::{Sidecar, command};
use crate::volume::{VERSION, Volume, receipt};

/// A file of smoke requests, in a folder of its own.
struct Requests {
    _folder: TempDir,
    path: PathBuf,
}

impl Requests {
    fn new(requests: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("smoke.yaml");
        let text = format!("apiVersion: plimsoll.dev/v1\nkind: SmokeRequests\nrequests:\n{requests}");
        fs::write(&path, text).unwrap();
        Self { _folder: folder, path }
    }

    fn argument(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// One request for a score of 0.93.
fn score(within: &str) -> Requests {
    Requests::new(&format!(
        "- name: known customer\n  path: /predict\n  body: {{customer: 7}}\n  expect:\n    within: {within}\n    \
         json: [{{pointer: /score, value: 0.93, tolerance: 0.01}}]\n"
    ))
}

fn check(arguments: &[&str]) -> (Option<i32>, String) {
    result(&command().arg("check").args(arguments).output().unwrap())
}

/// The exit code and the one line.
#[track_caller]
fn result(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.matches('\n').count(), 1, "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (output.status.code(), text.trim_end_matches('\n').to_owned())
}

/// Only the smoke requests, of a server that `says` this.
fn alone(requests: &Requests, says: Says) -> (Option<i32>, String) {
    let server = ModelServer::start(says);
    check(&["--url", "none", "--smoke", requests.argument(), "--server-url", &server.url()])
}

#[track_caller]
fn expect_red(within: &str, says: &Says, got: &str) {
    let (code, line) = alone(&score(within), says.clone());
    assert_eq!((code, line), (Some(69), format!("smoke request \"known customer\": {got}")), "{says:?}");
}

#[test]
fn a_ready_sidecar_and_right_answers_are_success_in_one_line() {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::Always(200, r#"{"score":0.9301}"#.into()));
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    sidecar.until("ready", "loaded");
    let requests = score("20s");
    let url = sidecar.url("/health");
    let (code, line) = check(&["--url", &url, "--smoke", requests.argument(), "--server-url", &server.url()]);
    let ready =
        format!("ready: product-recommendation v2.3 {}; 1 smoke request passed in ", receipt(VERSION).digest);
    assert!(code == Some(0) && line.starts_with(&ready) && line.ends_with(" s"), "{line}");
}

#[test]
fn a_model_that_is_not_ready_is_not_asked() {
    let volume = Volume::empty();
    let server = ModelServer::start(Says::loaded());
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    let requests = score("20s");
    let url = sidecar.url("/health");
    let said = check(&["--url", &url, "--smoke", requests.argument(), "--server-url", &server.url()]);
    assert_eq!(said, (Some(69), "waiting for the fetcher".into()));
    assert!(!server.asked().contains(&"/predict".to_owned()), "{:?}", server.asked());
}

#[test]
fn the_variables_are_those_of_the_flags_and_need_the_flag() {
    let server = ModelServer::start(Says::Always(200, r#"{"score":0.93}"#.into()));
    let requests = score("20s");
    let with_variables = |arguments: &[&str]| {
        let mut command = command();
        command.arg("check").args(arguments).env("HEALTH_SMOKE", &requests.path);
        result(&command.env("HEALTH_SERVER_URL", server.url()).output().unwrap())
    };
    let (code, line) = with_variables(&["--url", "none", "--smoke"]);
    assert!(code == Some(0) && line.starts_with("1 smoke request passed in "), "{line}");
    let before = server.asked().len();
    let (code, line) = with_variables(&["--url", "http://127.0.0.1:1/health"]);
    assert_eq!((code, line.as_str()), (Some(69), "GET http://127.0.0.1:1/health: connection refused"));
    assert_eq!(server.asked().len(), before, "nobody asked for smoke requests");
}

#[test]
fn what_is_written_is_what_is_sent() {
    let server = ModelServer::start(Says::Always(200, "{}".into()));
    let requests = Requests::new(
        "- name: a\n  path: /v1/predict?verbose=1\n  headers: {Authorization: Bearer t, X-Two: 2}\n  \
         body: {inputs: [[1, 2.50, -0.1]], country: no}\n\
         - name: b\n  method: PUT\n  path: /b\n  headers: {Content-Type: text/csv}\n  bodyText: \"a,b\\n1,ü\\n\"\n\
         - name: c\n  path: /c\n",
    );
    let url = format!("{}/prefix/", server.url());
    let (code, line) = check(&["--url", "none", "--smoke", requests.argument(), "--server-url", &url]);
    assert!(code == Some(0) && line.starts_with("3 smoke requests passed in "), "{line}");
    let sent: Vec<(String, String, String)> = server
        .requests()
        .iter()
        .map(|request| {
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            let (line, headers) = head.split_once("\r\n").unwrap();
            (line.to_owned(), format!("{headers}\r\n"), body.to_owned())
        })
        .collect();
    let lines: Vec<_> = sent.iter().map(|(line, _, body)| (line.as_str(), body.as_str())).collect();
    assert_eq!(
        lines,
        [
            ("POST /prefix/v1/predict?verbose=1 HTTP/1.1", r#"{"country":"no","inputs":[[1,2.5,-0.1]]}"#),
            ("PUT /prefix/b HTTP/1.1", "a,b\n1,ü\n"),
            ("GET /prefix/c HTTP/1.1", ""),
        ]
    );
    let host = format!("host: {}\r\n", server.url().trim_start_matches("http://"));
    for (of, wanted) in [
        (0, "authorization: Bearer t\r\n"),
        (0, "x-two: 2\r\n"),
        (0, "content-type: application/json\r\n"),
        (0, "content-length: 40\r\n"),
        (1, "content-type: text/csv\r\n"),
        (2, host.as_str()),
        (2, "connection: close\r\n"),
    ] {
        assert_eq!(sent[of].1.matches(wanted).count(), 1, "{wanted} in {}", sent[of].1);
    }
}

#[test]
fn the_first_wrong_answer_is_the_last_request() {
    let paths = vec![("/a", 200, "1".into()), ("/b", 200, "2".into()), ("/c", 200, "3".into())];
    let server = ModelServer::start(Says::Paths(paths));
    let one =
        |path| format!("- {{name: {path}, path: /{path}, expect: {{json: [{{pointer: '', value: 1}}]}}}}\n");
    let requests = Requests::new(&["a", "b", "c"].map(one).concat());
    let said = check(&["--url", "none", "--smoke", requests.argument(), "--server-url", &server.url()]);
    assert_eq!(said, (Some(69), "smoke request \"b\": expected 1 at the top, got 2".into()));
    assert_eq!(server.asked(), ["/a", "/b"]);
}

#[test]
fn a_wrong_answer_is_red() {
    let says = |body: &str| Says::Always(200, body.into());
    expect_red("20s", &says(r#"{"score":0.41}"#), "expected 0.93 ± 0.01 at /score, got 0.41");
    expect_red("20s", &says(r#"{"score":"0.93"}"#), "expected 0.93 ± 0.01 at /score, got \"0.93\"");
    expect_red("20s", &says("{}"), "expected 0.93 ± 0.01 at /score, got nothing");
    expect_red("20s", &says(r#"{"score":NaN}"#), "expected JSON, got `{\"score\":NaN}`");
    expect_red("20s", &says("<html>\n"), "expected JSON, got `<html> `");
    expect_red(
        "20s",
        &Says::Always(500, r#"{"error_code": "INTERNAL"}"#.into()),
        "expected status 200, got 500 Internal Server Error: `{\"error_code\": \"INTERNAL\"}`",
    );
    expect_red("20s", &Says::Always(302, String::new()), "expected status 200, got 302 Found");
}

#[test]
fn an_answer_that_is_none_is_red() {
    expect_red("20s", &Says::Endless, "the answer is longer than 262144 bytes");
    expect_red("20s", &Says::Garbage, "the answer is not HTTP: invalid HTTP version parsed");
    expect_red("20s", &Says::HangUp, "the connection was closed before the answer was complete");
    expect_red("20s", &Says::Cut, "the connection was closed before the answer was complete");
    let began = Instant::now();
    expect_red("500ms", &Says::Nothing, "no complete answer within 500 ms");
    expect_red("500ms", &Says::Drip, "no complete answer within 500 ms");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let requests = score("20s");
    let said =
        check(&["--url", "none", "--smoke", requests.argument(), "--server-url", "http://127.0.0.1:1"]);
    assert_eq!(said, (Some(69), "smoke request \"known customer\": connection refused".into()));
}

#[test]
fn a_secret_that_the_server_repeats_is_not_shown() {
    let requests = Requests::new("- name: a\n  path: /\n  headers: {Authorization: Bearer hunter2}\n");
    let said = alone(&requests, Says::Always(401, "unknown token hunter2".into()));
    let line = "smoke request \"a\": expected status 200, got 401 Unauthorized: `unknown token ***`";
    assert_eq!(said, (Some(69), line.into()));
}

#[test]
fn a_file_that_will_not_do_is_bad_configuration() {
    let typo = Requests::new("- name: a\n  path: /\n  expect: {json: [{pointer: /a, valeu: 1}]}\n");
    let wrong = Requests::new("- name: a\n  path: /\n  expect: {within: 5}\n");
    let at = |requests: &Requests| format!("HEALTH_SMOKE (--smoke): {}", requests.argument());
    for (arguments, message) in [
        (vec!["--smoke"], "HEALTH_SMOKE (--smoke) is not set".to_owned()),
        (vec!["--smoke", ""], "HEALTH_SMOKE (--smoke): expected a file, got ``".to_owned()),
        (
            vec!["--smoke", "/nowhere/smoke.yaml"],
            "HEALTH_SMOKE (--smoke): /nowhere/smoke.yaml: cannot be read: No such file or directory (os error 2)".to_owned(),
        ),
        (
            vec!["--smoke", typo.argument()],
            format!("{}: unknown field `valeu`, expected one of pointer, value, tolerance, length, exists at line 6, column 33", at(&typo)),
        ),
        (
            vec!["--smoke", wrong.argument()],
            format!("{}: requests[0].expect.within: expected a duration such as `500ms`, of at most 120 s, got `5`", at(&wrong)),
        ),
        (vec!["--url", "none"], "HEALTH_SMOKE (--smoke) is not set".to_owned()),
    ] {
        let output = command().arg("check").args(&arguments).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {text}");
        let (first, hint) = text.split_once("\n\nhint: ").unwrap();
        assert_eq!(first, format!("error: {message}"), "{arguments:?}");
        assert!(hint.len() > 10 && output.stdout.is_empty(), "{text}");
    }
    let good = score("20s");
    let arguments = ["check", "--url", "none", "--wait", "5s", "--smoke", good.argument()];
    let output = command().args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64));
    assert!(
        text.starts_with("error: HEALTH_WAIT (--wait) has no effect without a sidecar to ask\n"),
        "{text}"
    );
}

/// Answers to `/ping` and to the one request.
fn scoring(score: &str) -> Says {
    Says::Paths(vec![("/ping", 200, "\n".into()), ("/predict", 200, format!("{{\"score\": {score}}}"))])
}

#[test]
fn smoke_requests_come_before_the_first_green() {
    let (volume, requests) = (Volume::fetched(), score("2s"));
    let server = ModelServer::start(scoring("0.41"));
    let sidecar = Sidecar::start(&volume, &server.url(), &[("HEALTH_SMOKE", requests.argument())]);
    let wrong = "smoke request \"known customer\": expected 0.93 ± 0.01 at /score, got 0.41";
    sidecar.until("loading", wrong);
    // It is asked again, and once more is once too often.
    let failed = sidecar.until("failed", &format!("failed: {wrong}"));
    assert_eq!(failed["code"], "smoke_failed");
    assert!(!sidecar.log().contains("phase=\"ready\""), "{}", sidecar.log());
    server.say(scoring("0.93"));
    sidecar.until("ready", "loaded");
    let status = sidecar.status();
    assert_eq!(status["smoke"]["passed"][0]["name"], "known customer", "{status}");
    assert_eq!(status["smoke"]["failed"], serde_json::Value::Null, "{status}");
    assert!(sidecar.get("/").body.contains("Smoke requests"));
}

#[test]
fn a_server_that_comes_back_is_asked_again() {
    let (volume, requests) = (Volume::fetched(), score("2s"));
    let server = ModelServer::start(scoring("0.93"));
    let sidecar = Sidecar::start(&volume, &server.url(), &[("HEALTH_SMOKE", requests.argument())]);
    sidecar.until("ready", "loaded");
    server.say(Says::loading());
    sidecar.until("loading", "no longer loaded");
    server.say(scoring("0.41"));
    sidecar.until("loading", "smoke request");
    assert_eq!(sidecar.log().matches("phase=\"ready\"").count(), 1, "{}", sidecar.log());
}

#[test]
fn a_smoke_request_that_hangs_does_not_keep_a_server_that_comes_back_waiting() {
    let (volume, requests) = (Volume::fetched(), score("60s"));
    let server = ModelServer::start(Says::PathsAndSilence(vec![("/ping", 200, "\n".into())]));
    let sidecar = Sidecar::start(&volume, &server.url(), &[("HEALTH_SMOKE", requests.argument())]);
    sidecar.until("loading", "loaded; asking the smoke requests (1)");
    server.say(Says::loading());
    sidecar.until("loading", "no longer loaded");
    let began = Instant::now();
    server.say(scoring("0.93"));
    sidecar.until("ready", "loaded");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
