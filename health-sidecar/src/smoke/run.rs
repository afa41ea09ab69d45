//! Sending the requests, one after the other, each over a connection of its own.

use std::fmt;
use std::time::Duration;

use handoff::duration;
use serde::{Serialize, Serializer};
use tokio::time::{Instant, timeout_at};

use super::judge::judge;
use super::{MAX_ANSWER_BYTES, MAX_RUN, Smoke, SmokeRequest};
use crate::{http_client, one_line};

/// How a run went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The requests that were answered as expected, in order.
    pub passed: Vec<Passed>,
    /// The one that was not, which is the last that was sent.
    pub failed: Option<Failure>,
    /// How long it all took.
    #[serde(rename = "seconds", serialize_with = "as_seconds")]
    pub took: Duration,
}

/// A request that was answered as expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Passed {
    /// Its name.
    pub name: String,
    /// How long the answer took.
    #[serde(rename = "seconds", serialize_with = "as_seconds")]
    pub took: Duration,
}

/// A request that was not answered as expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Its name.
    pub name: String,
    /// What was expected and what came back, display-ready.
    pub got: String,
}

fn as_seconds<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(took.as_secs_f64())
}

impl Smoke {
    /// Sends the requests, up to the first that is not answered as expected.
    pub async fn run(&self) -> Outcome {
        let began = Instant::now();
        let mut passed = Vec::with_capacity(self.requests.len());
        let mut failed = None;
        for request in &self.requests {
            match self.send(request, began + MAX_RUN).await {
                Ok(took) => passed.push(Passed { name: request.name.clone(), took }),
                Err(got) => {
                    failed = Some(Failure { name: request.name.clone(), got });
                    break;
                }
            }
        }
        Outcome { passed, failed, took: began.elapsed() }
    }

    /// How long the right answer took, or what came back instead.
    async fn send(&self, request: &SmokeRequest, end_of_run: Instant) -> Result<Duration, String> {
        let began = Instant::now();
        let deadline = end_of_run.min(began + request.expect.within);
        let asked = http_client::ask(&self.server, &request.request, MAX_ANSWER_BYTES);
        match timeout_at(deadline, asked).await {
            Ok(Ok(answer)) => {
                let took = began.elapsed();
                judge(request, &answer, took).map(|()| took)
            }
            Ok(Err(error)) => Err(one_line::of_error(&error)),
            Err(_) if deadline == end_of_run => {
                Err(format!("no complete answer when all requests had taken {}", duration::print(MAX_RUN)))
            }
            Err(_) => Err(format!("no complete answer within {}", duration::print(request.expect.within))),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failed {
            Some(failure) => failure.fmt(f),
            None => {
                let count = self.passed.len();
                let requests = if count == 1 { "request" } else { "requests" };
                write!(f, "{count} smoke {requests} passed in {:.2} s", self.took.as_secs_f64())
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "smoke request \"{}\": {}", self.name, self.got)
    }
}
