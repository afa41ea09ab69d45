//! What keeps a benchmark from going on: one sentence, and what a person can do about it.

use std::fmt;
use std::io;
use std::path::Path;

/// The outcome of whatever can go wrong.
pub type Outcome<T> = Result<T, Problem>;

/// An error with a hint.
#[derive(Debug)]
pub struct Problem {
    what: String,
    hint: Option<String>,
}

impl Problem {
    /// Says what is wrong.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    /// Says what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An error of the file system, at a place.
    pub fn at<'a>(doing: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |error| Self::new(format!("cannot {doing} {}: {error}", path.display()))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.what)?;
        self.hint.iter().try_for_each(|hint| write!(formatter, "\n\nhint: {hint}"))
    }
}
