//! Asks the model server whether it has loaded the model.
//!
//! A port that accepts connections proves nothing: servers listen long before they have read their weights,
//! and some answer "healthy" with no model at all. So each kind of server has a preset that knows what that
//! server says once *this* model is loaded. A preset is data: a list of [`Question`]s, all of which must be
//! answered as expected. This module asks them, one after the other, within one timeout, and puts the first
//! that is not into a [`Word`].
//!
//! Each module says what its kind is asked and what it cannot know; the README has them side by side.

pub mod auto;
pub mod grpc;
pub mod http;
pub mod kserve_v1;
pub mod kserve_v2;
pub mod mlflow;
pub mod ollama;
pub mod openai;
pub mod question;
pub mod tcp;
pub mod tensorflow_serving;
pub mod torchserve;
pub mod triton;
mod word;

use std::time::Duration;

use handoff::duration;
use hyper::HeaderMap;
use hyper::header::{self, HeaderValue};
use tokio::time::{Instant, timeout_at};

use crate::exchange::ExchangeError;
use crate::http_client;
use crate::http_headers::{Headers, mask};
use crate::http_url::HttpUrl;
use crate::{grpc_client, one_line};

use auto::Auto;
use question::{Problem, Question};
pub use word::{Certainty, Failure, Word, certainty};

/// Longest piece of an answer that is quoted, in characters.
const LONGEST_QUOTE: usize = 120;

/// A server, and what to ask it.
#[derive(Debug)]
pub struct Probe {
    /// Where, and with what.
    pub target: Target,
    /// What to ask.
    pub asks: Asks,
}

/// What to ask.
#[derive(Debug)]
pub enum Asks {
    /// This kind of server.
    Kind(Kind),
    /// Whatever kind of server it is.
    Auto(Auto),
}

/// Where to ask, and with what.
#[derive(Debug)]
pub struct Target {
    /// Where the server is.
    pub server: HttpUrl,
    /// What goes out with each question.
    pub headers: Headers,
    /// How long all answers together may take.
    pub timeout: Duration,
}

/// A kind of server.
#[derive(Debug)]
pub struct Kind {
    /// Its name, as in `HEALTH_SERVER`.
    pub name: &'static str,
    /// How it is asked.
    pub way: Way,
}

/// How a server is asked.
#[derive(Debug)]
pub enum Way {
    /// Over HTTP: questions in order, at least one.
    Http(Vec<Question>),
    /// Over gRPC, about this service.
    Grpc(String),
    /// By a connection.
    Tcp,
}

/// A question that was not answered with "loaded".
#[derive(Debug)]
pub struct Unanswered {
    /// The question, as a method and an address.
    pub asked: String,
    /// How much it proves.
    pub failure: Failure,
    /// What came back instead, display-ready.
    pub got: String,
}

impl Probe {
    /// Asks all questions, up to the first that is not answered as expected.
    pub async fn ask(&self) -> Word {
        let deadline = Instant::now() + self.target.timeout;
        match &self.asks {
            Asks::Kind(kind) => match self.target.ask(kind, deadline).await {
                Ok(()) => Word::Loaded { detail: None },
                Err(unanswered) => unanswered.into_word(),
            },
            Asks::Auto(auto) => auto.ask(&self.target, deadline).await,
        }
    }
}

impl Target {
    /// Asks as this kind of server wants to be asked.
    ///
    /// # Errors
    /// The first question that was not answered with "loaded".
    pub async fn ask(&self, kind: &Kind, deadline: Instant) -> Result<(), Unanswered> {
        match &kind.way {
            Way::Http(questions) => {
                for question in questions {
                    self.ask_question(question, deadline).await?;
                }
                Ok(())
            }
            Way::Grpc(service) => self.ask_grpc(service, deadline).await,
            Way::Tcp => {
                let asked = format!("TCP {}", self.server.authority());
                self.in_time(asked, deadline, tcp::ask(&self.server)).await.map(|_| ())
            }
        }
    }

    /// Asks one question over HTTP.
    ///
    /// # Errors
    /// When it was not answered with "loaded".
    pub async fn ask_question(&self, question: &Question, deadline: Instant) -> Result<(), Unanswered> {
        let url = self.server.join(&question.path);
        let asked = format!("{} {url}", question.method);
        let (asked, mut headers) = self.headers(asked)?;
        let sent = headers.clone();
        if !question.body.is_empty() && !headers.contains_key(header::CONTENT_TYPE) {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let (method, body) = (question.method.clone(), question.body.clone());
        let exchange = http_client::send(method, &url, &headers, body, question.longest);
        let (asked, answer) = self.in_time(asked, deadline, exchange).await?;
        (question.judge)(&answer).map_err(|problem| Unanswered::new(asked, &problem, &sent))
    }

    async fn ask_grpc(&self, service: &str, deadline: Instant) -> Result<(), Unanswered> {
        let asked = format!("gRPC {}{}", self.server.authority(), grpc::METHOD);
        let (asked, headers) = self.headers(asked)?;
        let request = grpc::request(service);
        let call = grpc_client::call(&self.server, grpc::METHOD, &headers, &request);
        let (asked, reply) = self.in_time(asked, deadline, call).await?;
        grpc::judge(service, &reply).map_err(|problem| Unanswered::new(asked, &problem, &headers))
    }

    fn headers(&self, asked: String) -> Result<(String, HeaderMap), Unanswered> {
        match self.headers.read() {
            Ok(headers) => Ok((asked, headers)),
            Err(error) => {
                Err(Unanswered { asked, failure: Failure::Unasked, got: one_line::of_error(&error) })
            }
        }
    }

    async fn in_time<T>(
        &self,
        asked: String,
        deadline: Instant,
        exchange: impl Future<Output = Result<T, ExchangeError>>,
    ) -> Result<(String, T), Unanswered> {
        match timeout_at(deadline, exchange).await {
            Ok(Ok(answer)) => Ok((asked, answer)),
            Ok(Err(error)) => {
                let got = one_line::of_error(&error);
                Err(Unanswered { asked, failure: Failure::Exchange(error), got })
            }
            Err(_) => {
                let got = format!("no complete answer within {}", duration::print(self.timeout));
                Err(Unanswered { asked, failure: Failure::Late, got })
            }
        }
    }
}

impl Unanswered {
    /// Puts a problem into words: masked first, so that no cut leaves half a secret, then shortened.
    fn new(asked: String, problem: &Problem, sent: &HeaderMap) -> Self {
        let got = quote(&mask(&problem.got, sent));
        let got = format!("expected {}, got {got}", quote(&problem.expected));
        let failure = match problem.failure {
            Failure::Status(status) => Failure::Status(status),
            Failure::NotYet => Failure::NotYet,
            Failure::Other => Failure::Other,
            _ => Failure::Garbage,
        };
        Self { asked, failure, got }
    }

    /// What this says about the model.
    pub fn into_word(self) -> Word {
        let Self { asked, failure, got } = self;
        match certainty(&failure) {
            Certainty::Definite => Word::NotLoaded { asked, got },
            Certainty::Unclear => Word::Unclear { asked, got },
        }
    }
}

/// `text` in one line, cut where it is long, with the quotation mark closed that the cut may have left open.
fn quote(text: &str) -> String {
    let line = one_line::of(text, LONGEST_QUOTE);
    let open = line.ends_with('…') && line.matches('`').count() % 2 == 1;
    if open { line + "`" } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_headers::Headers;

    #[test]
    fn a_quoted_answer_is_short_and_harmless_and_without_secrets() {
        let sent = Headers::new("authorization: Bearer hunter2").unwrap().read().unwrap();
        let got = format!("`{}`", "\u{1b}[2J\nhunter2 ".repeat(1000));
        let unanswered = Unanswered::new("GET /".into(), &Problem::other("`a`", got), &sent);
        let text = unanswered.got;
        assert!(text.chars().count() < 160 && text.ends_with("…`"), "{text}");
        assert!(
            !text.contains(char::is_control) && !text.contains("hunter") && text.contains("***"),
            "{text}"
        );
    }
}
