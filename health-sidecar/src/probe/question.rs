//! A question over HTTP, and what its answer means.
//!
//! Each preset gives a few questions, and with each a function that reads the answer. The function sees no
//! connection and no clock, and says what it expected and what it found. What it found is as the server wrote it;
//! that it is masked, shortened and fit for one line is seen to in one place, when it is put into words.

use std::fmt;

use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;

use super::word::Failure;
use crate::http_client::Answer;
use crate::http_url::percent_encode;

/// Longest answer about one model.
pub const LONGEST_ANSWER: usize = 64 * 1024;
/// Longest list of models: some two thousand of them in Triton's index, some three hundred of vLLM's.
pub const LONGEST_LIST: usize = 256 * 1024;

/// The model as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its version as the server numbers it, if one is expected.
    pub version: Option<String>,
}

impl Named {
    /// The path of this model below `prefix`, in servers that have versions as `…/versions/<version>`.
    pub fn path(&self, prefix: &str) -> String {
        let name = percent_encode(&self.name);
        match &self.version {
            Some(version) => format!("{prefix}/{name}/versions/{}", percent_encode(version)),
            None => format!("{prefix}/{name}"),
        }
    }

    /// Whether `version` will do.
    pub fn accepts(&self, version: Option<&str>) -> bool {
        self.version.as_deref().is_none_or(|expected| version == Some(expected))
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "`{}` version `{version}`", self.name),
            None => write!(f, "`{}`", self.name),
        }
    }
}

/// Why an answer does not mean "loaded".
#[derive(Debug)]
pub struct Problem {
    /// How much that proves.
    pub failure: Failure,
    /// What would have meant "loaded".
    pub expected: String,
    /// What came instead, as the server wrote it: of any length, and maybe with secrets.
    pub got: String,
}

impl Problem {
    /// The server knows this model and has not loaded it.
    pub fn not_yet(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self { failure: Failure::NotYet, expected: expected.into(), got: got.into() }
    }

    /// The answer is about other models, another version or none.
    pub fn other(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self { failure: Failure::Other, expected: expected.into(), got: got.into() }
    }

    /// The answer is not one of this kind of server.
    pub fn garbage(expected: impl Into<String>, answer: &Answer) -> Self {
        let got = format!("`{}`", String::from_utf8_lossy(&answer.body).trim_end());
        Self { failure: Failure::Garbage, expected: expected.into(), got }
    }
}

/// Reads an answer.
type Judge = Box<dyn Fn(&Answer) -> Result<(), Problem>>;

/// One request, and what its answer means.
pub struct Question {
    /// The method.
    pub method: Method,
    /// What to ask for, below the server's address.
    pub path: String,
    /// The request's body; JSON, if it is not empty.
    pub body: Bytes,
    /// Longest answer that is read.
    pub longest: usize,
    /// Whether the answer means "loaded".
    pub judge: Judge,
}

impl Question {
    /// A `GET` for what is said about one model.
    pub fn get(path: String, judge: impl Fn(&Answer) -> Result<(), Problem> + 'static) -> Self {
        Self {
            method: Method::GET,
            path,
            body: Bytes::new(),
            longest: LONGEST_ANSWER,
            judge: Box::new(judge),
        }
    }

    /// A `GET` for what is said about all models.
    pub fn list(path: &str, judge: impl Fn(&Answer) -> Result<(), Problem> + 'static) -> Self {
        Self { longest: LONGEST_LIST, ..Self::get(path.to_owned(), judge) }
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// Fails unless the status is 200.
///
/// # Errors
/// With the status, and what the server says about it.
pub fn ok(answer: &Answer) -> Result<(), Problem> {
    status(answer, &[StatusCode::OK])
}

/// Fails unless the status is among `expected`.
///
/// # Errors
/// With the status, and what the server says about it.
pub fn status(answer: &Answer, expected: &[StatusCode]) -> Result<(), Problem> {
    if expected.contains(&answer.status) {
        return Ok(());
    }
    let codes: Vec<_> = expected.iter().map(StatusCode::as_str).collect();
    let text = String::from_utf8_lossy(&answer.body);
    Err(Problem {
        failure: Failure::Status(answer.status),
        expected: format!("status {}", codes.join(" or ")),
        got: match text.trim() {
            "" => answer.status.to_string(),
            text => format!("{}: `{text}`", answer.status),
        },
    })
}

/// The body as JSON of this shape, which is described as `shape`.
///
/// # Errors
/// When it is not.
pub fn json<T: DeserializeOwned>(answer: &Answer, shape: &str) -> Result<T, Problem> {
    serde_json::from_slice(&answer.body).map_err(|_| Problem::garbage(shape, answer))
}

/// The names of a list, for people: the first few of them.
pub fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 3;
    let mut names = names.map(|name| format!("`{name}`"));
    let shown: Vec<_> = names.by_ref().take(SHOWN).collect();
    match (shown.as_slice(), names.count()) {
        ([], _) => "an empty list".to_owned(),
        (shown, 0) => shown.join(", "),
        (shown, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
pub(crate) fn answer(status: u16, body: &str) -> Answer {
    Answer { status: StatusCode::from_u16(status).unwrap(), body: body.to_owned().into() }
}

/// How an answer is judged by the question at `index`: nothing when it means "loaded", else how much it proves, and why.
#[cfg(test)]
pub(crate) fn judged(questions: &[Question], index: usize, answer: &Answer) -> Option<String> {
    let problem = (questions[index].judge)(answer).err()?;
    let sort = match problem.failure {
        Failure::Status(status) => format!("status {}", status.as_u16()),
        other => format!("{other:?}"),
    };
    Some(format!("{sort}: expected {}, got {}", problem.expected, problem.got))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_with_what_the_server_says_about_it() {
        let problem = ok(&answer(503, "Loading\n")).unwrap_err();
        assert_eq!(
            (problem.expected.as_str(), problem.got.as_str()),
            ("status 200", "503 Service Unavailable: `Loading`")
        );
        let problem = status(&answer(404, "\n"), &[StatusCode::OK, StatusCode::NO_CONTENT]).unwrap_err();
        assert_eq!((problem.expected.as_str(), problem.got.as_str()), ("status 200 or 204", "404 Not Found"));
        assert!(status(&answer(204, ""), &[StatusCode::OK, StatusCode::NO_CONTENT]).is_ok());
    }

    #[test]
    fn a_long_list_is_told_by_its_first_names() {
        let say = |list: &[&'static str]| names(list.iter().copied());
        assert_eq!(say(&[]), "an empty list");
        assert_eq!(say(&["a", "b"]), "`a`, `b`");
        assert_eq!(say(&["a", "b", "c", "d", "e"]), "`a`, `b`, `c` and 2 more");
    }

    #[test]
    fn a_name_cannot_change_the_path() {
        let named = Named { name: "a/../b?c".into(), version: Some("../1".into()) };
        assert_eq!(named.path("/v2/models"), "/v2/models/a%2F..%2Fb%3Fc/versions/..%2F1");
    }
}
