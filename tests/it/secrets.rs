//! A run full of secrets, at the highest log level, against servers that repeat what they are sent: none of them may
//! be in anything that comes out.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use plimsoll_tests::fault_server::{Answer, FaultServer, Request};
use plimsoll_tests::mlflow_server::{Login, MlflowServer, Options};
use plimsoll_tests::s3_server::S3Server;
use plimsoll_tests::{binaries, http, poll, process};

use crate::fetcher::{Fetcher, Outcome, noise};

/// In every secret, whatever else it is made of.
const CANARY: &str = "c4n4ry";

fn canary(of: &str) -> String {
    format!("{CANARY}-{of}+/=")
}

/// A fetcher that was given every kind of secret there is.
fn full_of_secrets(format: &str) -> Fetcher {
    let mut fetcher = Fetcher::new()
        .with("FETCHER_LOG_LEVEL", "trace")
        .with("FETCHER_LOG_FORMAT", format)
        .with("FETCHER_RETRY_ATTEMPTS", "2")
        .with("AWS_ACCESS_KEY_ID", "id")
        .with("AWS_REGION", "us-east-1")
        .with("AWS_ALLOW_HTTP", "true")
        .with("RUST_BACKTRACE", "1")
        .with("RUST_LOG", "trace");
    for name in ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "MLFLOW_TRACKING_TOKEN", "HF_TOKEN"] {
        fetcher = fetcher.with(name, &canary(name));
    }
    fetcher
}

/// Everything that a run leaves: what it printed, its last words, and every file below the state directory.
#[track_caller]
fn assert_silent(fetcher: &Fetcher, outcome: &Outcome) {
    let mut texts = vec![
        ("standard output".to_owned(), outcome.stdout.clone()),
        ("standard error".to_owned(), outcome.stderr.clone()),
        ("last words".to_owned(), outcome.last_words.clone()),
    ];
    collect(fetcher.layout().state_dir(), &mut texts);
    for (place, text) in texts {
        let lower = text.to_lowercase();
        let found = lower.find(CANARY).map(|at| lower[at.saturating_sub(80)..].to_owned());
        assert_eq!(found, None, "in {place}");
    }
}

fn collect(folder: &Path, texts: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => collect(&entry.path(), texts),
            false => {
                let content = fs::read(entry.path()).unwrap_or_default();
                let text = String::from_utf8_lossy(&content).into_owned();
                texts.push((entry.path().display().to_string(), text));
            }
        }
    }
}

/// Repeats in its answer all that it was sent, as its own words.
fn parrot(status: &str, request: &Request) -> Answer {
    let heard = format!("{} {} {:?}", request.method, request.target, request.headers);
    let message = serde_json::json!({"error_code": "INVALID_PARAMETER_VALUE", "message": heard});
    Answer { body: message.to_string().into(), ..Answer::status(status) }
        .with("X-Request-Id", &heard)
        .with("WWW-Authenticate", &heard)
}

#[test]
fn no_secret_comes_out_of_a_failed_run() {
    for format in ["text", "json"] {
        for status in [
            "400 Bad Request",
            "401 Unauthorized",
            "403 Forbidden",
            "404 Not Found",
            "409 Conflict",
            "412 Precondition Failed",
            "416 Range Not Satisfiable",
            "429 Too Many Requests",
            "500 Internal Server Error",
        ] {
            let status = status.to_owned();
            let server = FaultServer::start(move |_, request| parrot(&status, request));
            let pulls = [
                vec!["--registry".to_owned(), format!("mlflow+{}", server.url())],
                vec!["--registry".to_owned(), format!("catalog+{}/m?sas={CANARY}-sas", server.url())],
                vec!["--registry".to_owned(), "catalog+s3://bucket".to_owned()],
                vec![
                    "--uri".to_owned(),
                    format!("{}/m.bin?X-Amz-Signature={CANARY}-signature", server.url()),
                ],
                vec!["--uri".to_owned(), "s3://bucket/m".to_owned()],
            ];
            for pull in pulls {
                // By flag and by variable: both are seen by whoever looks at the process, neither is printed.
                let fetcher = full_of_secrets(format).with("AWS_ENDPOINT_URL", &server.url());
                let mut words = vec!["pull", "--model-name", "a", "--model-version", "v1"];
                words.extend(pull.iter().map(String::as_str));
                let outcome = fetcher.run(&words);
                assert_ne!(outcome.code, 0);
                assert_silent(&fetcher, &outcome);
            }
        }
    }
}

#[test]
fn no_secret_comes_out_of_a_run_that_is_led_on() {
    let content = noise(300_000);
    // To an address with a signature of its own, as stores and artifact servers answer.
    let server = FaultServer::start(move |_, request| match request.target.starts_with("/signed") {
        true => Answer::file(request, &content, "\"1\""),
        false => Answer::status("302 Found").with("Location", &format!("/signed?token={CANARY}-redirect")),
    });
    let uri = format!("{}/m.bin?sig={CANARY}-signature", server.url());
    for format in ["text", "json"] {
        let fetcher = full_of_secrets(format);
        let outcome = fetcher.run(&["pull", "--uri", &uri]).expect(0);
        assert_silent(&fetcher, &outcome);
        let resolved = fetcher.run(&["resolve", "--uri", &uri, "--output", "json"]).expect(0);
        assert_silent(&fetcher, &resolved);
    }
    let lost = FaultServer::start(move |_, _| {
        Answer::status("302 Found").with("Location", &format!("http://127.0.0.1:1/?token={CANARY}-redirect"))
    });
    let fetcher = full_of_secrets("text");
    let outcome = fetcher.run(&["pull", "--uri", &format!("{}/m.bin", lost.url())]).expect(69);
    assert_silent(&fetcher, &outcome);
}

#[test]
fn no_secret_comes_out_of_real_servers_refusals() {
    let server = S3Server::start();
    server.create_bucket("models");
    let fetcher = full_of_secrets("text").with("AWS_ENDPOINT_URL", &server.url());
    let outcome = fetcher.run(&["pull", "--uri", "s3://models/m"]);
    assert_ne!(outcome.code, 0);
    assert_silent(&fetcher, &outcome);
    let login = Login { username: "admin".into(), password: "a-long-password-1234".into() };
    let server = MlflowServer::start(&Options { login: Some(login), ..Options::default() });
    let fetcher = full_of_secrets("json")
        .with("MLFLOW_TRACKING_USERNAME", "admin")
        .with("MLFLOW_TRACKING_PASSWORD", &canary("password"));
    let outcome = fetcher.pull(&server.registry(), "a", "v1").expect(77);
    assert_silent(&fetcher, &outcome);
}

#[test]
fn no_secret_is_shown_while_a_run_goes_on_nor_by_the_sidecar() {
    let content = noise(3_000_000);
    let server =
        FaultServer::start(move |_, request| Answer::file(request, &content, "\"1\"").paced(2_000_000));
    let fetcher = full_of_secrets("text").with("FETCHER_CONNECTIONS", "1");
    let uri = format!("{}/m.bin?sig={CANARY}-signature", server.url());
    let mut pull = fetcher.command(&["pull", "--uri", &uri, "--model-name", "a", "--model-version", "v1"]);
    let mut pull = pull.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let port = process::free_port();
    let mut sidecar = Command::new(binaries::health_sidecar());
    sidecar
        .env_clear()
        .env("MODEL_NAME", "a")
        .env("MODEL_VERSION", "v1")
        .env("MODEL_DIR", fetcher.model())
        .env("HEALTH_SERVER", "http")
        .env("HEALTH_SERVER_URL", format!("http://127.0.0.1:{port}"))
        .env("HEALTH_LOG_LEVEL", "trace")
        .env("HEALTH_LISTEN", format!("127.0.0.1:{port}"));
    let sidecar = process::Server::start("health-sidecar", &sidecar, Duration::from_secs(10), || {
        http::get(port, "/livez").is_ok_and(|answer| answer.status == 200)
    });
    let mut looks = 0;
    let ended = poll::until("the fetch to end", Duration::from_secs(60), || {
        for path in ["/health", "/status", "/metrics"] {
            let answer = http::get(port, path).unwrap();
            let shown = answer.text();
            assert!(!shown.contains(CANARY), "{path}: {shown}");
        }
        let mut files = Vec::new();
        collect(fetcher.layout().state_dir(), &mut files);
        assert!(files.iter().all(|(_, text)| !text.contains(CANARY)), "at look {looks}");
        looks += 1;
        pull.try_wait().unwrap()
    });
    assert!(ended.success() && looks > 3, "{ended} after {looks} looks");
    assert!(!sidecar.log().contains(CANARY), "{}", sidecar.log());
}
