//! The `check` command: the sidecar's judgement as one line and an exit code, for exec probes, Jobs and CI.
//!
//! With smoke requests it does not take the sidecar's word for it: once that is ready, the model server is asked
//! to predict, from where this command runs.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use tokio::runtime;
use tokio::time::{self, Instant};

use crate::config::CheckConfig;
use crate::http_client::{self, Answer};
use crate::http_url::HttpUrl;
use crate::one_line;
use crate::readiness::Phase;
use crate::report::{Model, Status};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait between questions.
const PAUSE: Duration = Duration::from_millis(500);

/// What came out.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// The judgement.
    pub verdict: Judgement,
    /// Why, in one line.
    pub line: String,
}

/// What is read of a report. A sidecar of another release may say more, or things that this one does not know.
#[derive(Deserialize)]
struct Heard {
    status: Status,
    phase: Phase,
    reason: String,
    model: Model,
}

/// The judgement, as far as waiting is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The model is ready.
    Ready,
    /// It is not, and may become so.
    NotYet,
    /// It is not, and waiting is no use: the fetcher gave up, or the model server answers wrongly.
    Failed,
}

/// Asks, and goes on asking until the model is ready or has failed, or the wait is over. Then sends the smoke
/// requests, if there are any.
///
/// # Errors
/// Fails when the event loop cannot be started.
pub fn check(config: &CheckConfig) -> io::Result<Finding> {
    runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map(|it| it.block_on(find(config)))
}

async fn find(config: &CheckConfig) -> Finding {
    let mut lines = Vec::new();
    if let Some(url) = &config.url {
        let finding = ask_until_ready(url, config.wait).await;
        if finding.verdict != Judgement::Ready {
            return finding;
        }
        lines.push(finding.line);
    }
    if let Some(smoke) = &config.smoke {
        let outcome = smoke.run().await;
        if outcome.failed.is_some() {
            return Finding { verdict: Judgement::Failed, line: outcome.to_string() };
        }
        lines.push(outcome.to_string());
    }
    Finding { verdict: Judgement::Ready, line: lines.join("; ") }
}

async fn ask_until_ready(url: &HttpUrl, wait: Duration) -> Finding {
    let deadline = Instant::now() + wait;
    loop {
        let finding = ask(url, deadline).await;
        let next = Instant::now() + PAUSE;
        if finding.verdict != Judgement::NotYet || next >= deadline {
            return finding;
        }
        time::sleep_until(next).await;
    }
}

async fn ask(url: &HttpUrl, deadline: Instant) -> Finding {
    // Without `--wait` the deadline is now; one answer is waited for all the same.
    let patience = deadline.saturating_duration_since(Instant::now()).clamp(Duration::from_secs(1), PATIENCE);
    let problem = match time::timeout(patience, http_client::get(url)).await {
        Ok(Ok(answer)) => match read(&answer) {
            Some(finding) => return finding,
            None => format!("expected a health report, got status {}", answer.status),
        },
        Ok(Err(error)) => one_line::of_error(&error),
        Err(_) => "no answer in time".to_owned(),
    };
    Finding { verdict: Judgement::NotYet, line: format!("GET {url}: {problem}") }
}

fn read(answer: &Answer) -> Option<Finding> {
    let health: Heard = serde_json::from_slice(&answer.body).ok()?;
    let (verdict, line) = match (health.status, health.phase) {
        (Status::Ready, _) if answer.status.is_success() => {
            let model =
                [health.model.name, health.model.version, health.model.digest.map(|it| it.to_string())];
            let words: Vec<_> = model.into_iter().flatten().collect();
            (Judgement::Ready, format!("ready: {}", words.join(" ")))
        }
        (_, Phase::Failed) => (Judgement::Failed, health.reason),
        _ => (Judgement::NotYet, health.reason),
    };
    Some(Finding { verdict, line: one_line::of(&line, one_line::LONGEST) })
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    fn judge(status: u16, body: &str) -> Option<(Judgement, String)> {
        let status = StatusCode::from_u16(status).unwrap();
        read(&Answer { status, body: body.to_owned().into() }).map(|finding| (finding.verdict, finding.line))
    }

    #[test]
    fn status_and_body_must_both_say_ready() {
        let ready = r#"{"status":"ready","phase":"ready","reason":"loaded","since":"2026-11-20T10:00:00Z",
            "model":{"name":"m","version":"v1"},"new_field":1}"#;
        assert_eq!(judge(200, ready), Some((Judgement::Ready, "ready: m v1".into())));
        assert_eq!(judge(503, ready), Some((Judgement::NotYet, "loaded".into())));
    }

    #[test]
    fn a_failure_ends_the_wait_and_stays_in_one_line() {
        let failed = r#"{"status":"not_ready","phase":"failed","reason":"failed: no\nspace","model":{},
            "since":"2026-11-20T10:00:00Z"}"#;
        assert_eq!(judge(503, failed), Some((Judgement::Failed, "failed: no space".into())));
    }

    #[test]
    fn anything_else_is_no_report() {
        for body in ["", "ok", "{}", r#"{"status":"ready"}"#] {
            assert_eq!(judge(200, body), None, "{body}");
        }
    }
}
