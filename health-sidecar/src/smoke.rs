//! Smoke requests: what the model server is asked before it is trusted, and what it has to answer.
//!
//! A server that says "loaded" may still have the wrong model, or one that cannot predict. Whoever deploys a
//! model knows some rows and what comes out for them; those are put into a YAML file and sent as any client
//! would. [`mod@file`] reads and checks the file, [`mod@judge`] says whether an answer will do, and [`Smoke::run`]
//! sends the requests in their order, up to the first that fails: one is enough to be red, and what comes after
//! a failure mostly repeats it.
//!
//! Everything has a bound, and they are all here:
//!
//! | quantity | bound |
//! |---|---|
//! | the file | [`MAX_FILE_BYTES`], as much as a ConfigMap holds; of YAML's aliases [`MAX_ALIAS_EVENTS`], else by the budget of `serde-saphyr` |
//! | requests, checks and headers | [`MAX_REQUESTS`], [`MAX_CHECKS`] and [`MAX_HEADERS`] each |
//! | a name, a path or pointer, a header | [`MAX_NAME_CHARACTERS`], [`MAX_PATH_BYTES`], [`MAX_HEADER_BYTES`] |
//! | a body, all bodies, an answer | [`MAX_BODY_BYTES`], [`MAX_FILE_BYTES`], [`MAX_ANSWER_BYTES`] |
//! | time of a request, of a run | `within`, [`MAX_WITHIN`] at most; [`MAX_RUN`] |
//! | what is quoted of an answer | [`MAX_QUOTE_CHARACTERS`] |

pub mod file;
pub mod judge;
mod run;

use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value;

use crate::http_client::Request;
use crate::http_url::HttpUrl;

pub use run::{Failure, Outcome, Passed};

/// Longest file.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;
/// How many pieces of YAML aliases may repeat.
pub const MAX_ALIAS_EVENTS: usize = 100_000;
/// Most requests in a file.
pub const MAX_REQUESTS: usize = 100;
/// Most checks of one answer.
pub const MAX_CHECKS: usize = 100;
/// Most headers of one request.
pub const MAX_HEADERS: usize = 32;
/// Longest name of a request, in characters.
pub const MAX_NAME_CHARACTERS: usize = 100;
/// Longest path, and longest JSON pointer.
pub const MAX_PATH_BYTES: usize = 2048;
/// Longest value of a header.
pub const MAX_HEADER_BYTES: usize = 8 * 1024;
/// Longest body that is sent.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
/// Longest body of an answer.
pub const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// How long an answer may take where nothing else is said.
pub const DEFAULT_WITHIN: Duration = Duration::from_secs(30);
/// How long an answer may be allowed to take.
pub const MAX_WITHIN: Duration = Duration::from_secs(120);
/// How long all requests together may take.
pub const MAX_RUN: Duration = Duration::from_secs(300);
/// Longest piece that is quoted, in characters.
pub const MAX_QUOTE_CHARACTERS: usize = 80;

/// A model server, and what to ask it. See [`Smoke::run`].
#[derive(Clone, Debug)]
pub struct Smoke {
    /// Where the server is.
    pub server: HttpUrl,
    /// What to ask, in order; at least one.
    pub requests: Vec<SmokeRequest>,
}

/// One request and what has to come back.
#[derive(Clone, Debug)]
pub struct SmokeRequest {
    /// Its name, unique in the file.
    pub name: String,
    /// What is sent. Headers that may hold a secret are marked as sensitive, and never shown.
    pub request: Request,
    /// What has to come back.
    pub expect: Expectation,
}

/// What has to come back.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// The status.
    pub status: StatusCode,
    /// What has to hold of the body; where there is anything, the body is JSON.
    pub json: Vec<Check>,
    /// How long it may take, from connecting to the last byte.
    pub within: Duration,
}

/// What has to hold at one place of an answer.
#[derive(Clone, Debug)]
pub struct Check {
    /// The place, as a JSON pointer; empty for the whole answer.
    pub pointer: String,
    /// What has to be there.
    pub wanted: Wanted,
}

/// What has to be at a place of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// This value, each of its numbers no further away than the tolerance.
    Value {
        /// The value.
        value: Value,
        /// The tolerance; 0 unless one is given.
        tolerance: f64,
    },
    /// A list or an object with so many entries.
    Length(usize),
    /// Something other than `null`, or else nothing.
    Existence(bool),
}
