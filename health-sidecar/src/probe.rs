//! Asks the model server whether it has loaded the model.
//!
//! A port that accepts connections proves nothing: servers listen long before they have read their weights,
//! and some answer "healthy" with no model at all. So each kind of server has a preset that knows what that
//! server says once *this* model is loaded. A preset is data: a list of [`Question`]s, all of which must be
//! answered as expected. This module asks them, one after the other, within one timeout.

pub mod http;
pub mod kserve_v2;
pub mod mlflow;
mod word;

pub use word::{Certainty, Failure, Word, certainty};

use std::time::Duration;

use handoff::duration;
use hyper::StatusCode;
use serde_json::Value;

use crate::http_client::{self, Answer};
use crate::http_url::HttpUrl;
use crate::one_line;

/// Longest piece of an answer that is quoted, in characters.
const LONGEST_QUOTE: usize = 80;

/// One GET and the answer that means "loaded".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What to ask for, below the server's address.
    pub path: String,
    /// The status that means "loaded".
    pub status: StatusCode,
    /// What must hold of the body.
    pub body: BodyCondition,
}

/// What must hold of an answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyCondition {
    /// Nothing.
    Any,
    /// It is JSON and has something other than `null` at this JSON pointer.
    Has(String),
    /// It is JSON and has this value at this JSON pointer.
    Equals(String, Value),
    /// It does not say `false` at this JSON pointer; it need not be JSON.
    NotFalse(String),
}

/// A server, and what to ask it.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Where the server is.
    pub server: HttpUrl,
    /// What to ask, in order; at least one.
    pub questions: Vec<Question>,
    /// How long all answers together may take.
    pub timeout: Duration,
}

impl Probe {
    /// Asks all questions, up to the first that is not answered as expected.
    pub async fn ask(&self) -> Word {
        let deadline = tokio::time::Instant::now() + self.timeout;
        for question in &self.questions {
            let url = self.server.join(&question.path);
            let (certainty, got) = match tokio::time::timeout_at(deadline, http_client::get(&url)).await {
                Ok(Ok(answer)) => match question.judge(&answer) {
                    Ok(()) => continue,
                    Err(problem) => problem,
                },
                Ok(Err(error)) => (certainty(Failure::Exchange(&error)), one_line::of_error(&error)),
                Err(_) => {
                    let timeout = duration::print(self.timeout);
                    (certainty(Failure::Late), format!("no complete answer within {timeout}"))
                }
            };
            let asked = format!("GET {url}");
            return match certainty {
                Certainty::Definite => Word::NotLoaded { asked, got },
                Certainty::Unclear => Word::Unclear { asked, got },
            };
        }
        Word::Loaded { detail: None }
    }
}

impl Question {
    /// Whether `answer` means "loaded"; if not, what it was instead and how much that proves.
    ///
    /// # Errors
    /// The difference, display-ready.
    pub fn judge(&self, answer: &Answer) -> Result<(), (Certainty, String)> {
        if answer.status != self.status {
            let got = format!("expected status {}, got {}", self.status.as_u16(), answer.status);
            return Err((certainty(Failure::Status(answer.status)), got));
        }
        let no = |got| Err((certainty(Failure::Body), got));
        let json = || {
            serde_json::from_slice::<Value>(&answer.body).map_err(|_| {
                let body = quote(&String::from_utf8_lossy(&answer.body));
                (certainty(Failure::Garbage), format!("expected JSON, got `{body}`"))
            })
        };
        match &self.body {
            BodyCondition::Any => Ok(()),
            BodyCondition::Has(pointer) => match json()?.pointer(pointer) {
                None | Some(Value::Null) => no(format!("the answer has nothing at `{}`", quote(pointer))),
                Some(_) => Ok(()),
            },
            BodyCondition::Equals(pointer, expected) => match json()?.pointer(pointer) {
                Some(found) if found == expected => Ok(()),
                Some(found) => no(format!(
                    "expected `{}` at `{}`, got `{}`",
                    quote(&expected.to_string()),
                    quote(pointer),
                    quote(&found.to_string())
                )),
                None => no(format!("the answer has nothing at `{}`", quote(pointer))),
            },
            BodyCondition::NotFalse(pointer) => match json() {
                Ok(body) if body.pointer(pointer) == Some(&Value::Bool(false)) => {
                    no(format!("the answer says `false` at `{}`", quote(pointer)))
                }
                _ => Ok(()),
            },
        }
    }
}

fn quote(text: &str) -> String {
    one_line::of(text, LONGEST_QUOTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(body: BodyCondition, answer: &str) -> Result<(), String> {
        let question = Question { path: "/x".into(), status: StatusCode::OK, body };
        let answer = Answer { status: StatusCode::OK, body: answer.to_owned().into() };
        question.judge(&answer).map_err(|(_, got)| got)
    }

    #[test]
    fn another_status_is_not_loaded_whatever_the_body_says() {
        let question = Question { path: "/x".into(), status: StatusCode::OK, body: BodyCondition::Any };
        for code in [201, 204, 301, 307, 404, 500, 503] {
            let status = StatusCode::from_u16(code).unwrap();
            let (_, error) = question.judge(&Answer { status, body: "ready".into() }).unwrap_err();
            assert!(error.starts_with(&format!("expected status 200, got {code}")), "{error}");
        }
    }

    #[test]
    fn an_empty_model_list_has_nothing_at_its_first_entry() {
        let has = |answer| judge(BodyCondition::Has("/data/0/id".into()), answer);
        assert_eq!(has(r#"{"data":[{"id":"m"}]}"#), Ok(()));
        assert_eq!(has(r#"{"data":[]}"#).unwrap_err(), "the answer has nothing at `/data/0/id`");
        assert!(has(r#"{"data":[{"id":null}]}"#).is_err());
        assert_eq!(has("<html>\n").unwrap_err(), "expected JSON, got `<html> `");
    }

    #[test]
    fn a_value_is_compared_with_its_type() {
        let equals = |expected: Value, answer| judge(BodyCondition::Equals("/a".into(), expected), answer);
        assert_eq!(equals("1".into(), r#"{"a":"1"}"#), Ok(()));
        assert_eq!(equals("1".into(), r#"{"a":1}"#).unwrap_err(), "expected `\"1\"` at `/a`, got `1`");
        assert_eq!(equals(true.into(), r#"{"a":true}"#), Ok(()));
        assert!(equals(true.into(), r#"{"b":true}"#).is_err());
    }

    #[test]
    fn only_a_plain_false_is_a_false() {
        let not_false = |answer| judge(BodyCondition::NotFalse("/ready".into()), answer);
        for answer in ["", "OK", "{}", r#"{"ready":true}"#, r#"{"ready":"no"}"#] {
            assert_eq!(not_false(answer), Ok(()), "{answer}");
        }
        assert_eq!(not_false(r#"{"ready":false}"#).unwrap_err(), "the answer says `false` at `/ready`");
    }

    #[test]
    fn a_quoted_answer_is_short_and_harmless() {
        let error = judge(BodyCondition::Has("/a".into()), &"\u{1b}[2J\n".repeat(1000)).unwrap_err();
        assert!(error.chars().count() < 120 && !error.contains(char::is_control), "{error}");
    }
}
