//! The file of smoke requests: YAML, `apiVersion: plimsoll.dev/v1`, `kind: SmokeRequests`.
//!
//! It is read once, at the start, and refused for anything that is not understood: a check whose name is
//! misspelt must not become no check. YAML is that of version 1.2, where `no` is a word and `007` is not seven.
//! An error names the place, and does not repeat what stands there when that is a header.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use handoff::duration;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_saphyr::options::AliasLimits;
use serde_saphyr::{Options, UserMessageFormatter};

use super::{
    Check, DEFAULT_WITHIN, Expectation, MAX_ALIAS_EVENTS, MAX_BODY_BYTES, MAX_CHECKS, MAX_FILE_BYTES,
    MAX_HEADER_BYTES, MAX_HEADERS, MAX_NAME_CHARACTERS, MAX_PATH_BYTES, MAX_REQUESTS, MAX_WITHIN,
    SmokeRequest, Wanted,
};
use crate::http_client::{OWN_HEADERS, Request};
use crate::one_line;
use crate::probe::http::{is_path, is_pointer};

const API_VERSION: &str = "plimsoll.dev/v1";
const KIND: &str = "SmokeRequests";
/// Headers that hold no secret.
const PUBLIC_HEADERS: [HeaderName; 3] = [header::ACCEPT, header::ACCEPT_LANGUAGE, header::CONTENT_TYPE];
/// Longest piece of the file that an error repeats, in characters.
const MAX_ERROR_CHARACTERS: usize = 300;

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there, or cannot be read.
    #[error("cannot be read")]
    Read(#[from] io::Error),
    /// It is a folder, a pipe or the like.
    #[error("is not a file")]
    NotAFile,
    /// It is longer than [`MAX_FILE_BYTES`].
    #[error("is longer than {MAX_FILE_BYTES} bytes")]
    TooLong,
    /// It is not YAML, or not of this shape.
    #[error("{0}")]
    Yaml(String),
    /// Something in it will not do.
    #[error("{at}: {problem}")]
    Wrong {
        /// Where, such as `requests[0].expect.json[1]`.
        at: String,
        /// What would do, and what is there.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    requests: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: String,
    method: Option<String>,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "even_null")]
    body: Option<Value>,
    body_text: Option<String>,
    #[serde(default)]
    expect: Expected,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Expected {
    status: Option<u16>,
    within: Option<String>,
    #[serde(default)]
    json: Vec<Expectable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Expectable {
    pointer: String,
    #[serde(default, deserialize_with = "even_null")]
    value: Option<Value>,
    tolerance: Option<f64>,
    length: Option<usize>,
    exists: Option<bool>,
}

/// A `null` that is written down is a value, unlike one that is not there.
fn even_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads the requests of a file.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read(path: &Path) -> Result<Vec<SmokeRequest>, FileError> {
    // Whoever opens a pipe waits for a writer.
    if !path.metadata()?.is_file() {
        return Err(FileError::NotAFile);
    }
    let mut text = Vec::new();
    let most = u64::try_from(MAX_FILE_BYTES).map_or(u64::MAX, |bytes| bytes + 1);
    File::open(path)?.take(most).read_to_end(&mut text)?;
    parse(&text)
}

/// Reads the requests of a text.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse(text: &[u8]) -> Result<Vec<SmokeRequest>, FileError> {
    if text.len() > MAX_FILE_BYTES {
        return Err(FileError::TooLong);
    }
    let document: Document = serde_saphyr::from_slice_with_options(text, options()).map_err(|error| {
        let message = error.render_with_formatter(&UserMessageFormatter);
        FileError::Yaml(one_line::of(&message, MAX_ERROR_CHARACTERS))
    })?;
    let field = |at: &str, expected: &str, got: &str| {
        if got == expected { Ok(()) } else { Err(wrong(at, &format!("`{expected}`"), &format!("`{got}`"))) }
    };
    field("apiVersion", API_VERSION, &document.api_version)?;
    field("kind", KIND, &document.kind)?;
    count("requests", document.requests.len(), 1, MAX_REQUESTS)?;
    let mut names = BTreeSet::new();
    let mut bytes = 0;
    let mut requests = Vec::with_capacity(document.requests.len());
    for (index, entry) in document.requests.into_iter().enumerate() {
        let at = format!("requests[{index}]");
        let request = entry.request(&at)?;
        if !names.insert(request.name.clone()) {
            return Err(wrong(
                &format!("{at}.name"),
                "another name for each request",
                &quoted(&request.name),
            ));
        }
        // Aliases can make bodies of more than the file has.
        bytes += request.request.body.len();
        if bytes > MAX_FILE_BYTES {
            let expected = format!("at most {MAX_FILE_BYTES} bytes in all bodies up to this one");
            return Err(wrong(&at, &expected, &bytes.to_string()));
        }
        requests.push(request);
    }
    Ok(requests)
}

fn options() -> Options {
    let mut aliases = AliasLimits::default();
    aliases.max_total_replayed_events = MAX_ALIAS_EVENTS;
    serde_saphyr::options! {
        alias_limits: aliases,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        // A drawing of the place would show what stands there.
        with_snippet: false
    }
}

impl Entry {
    fn request(self, at: &str) -> Result<SmokeRequest, FileError> {
        let name = self.name;
        if !(1..=MAX_NAME_CHARACTERS).contains(&name.chars().count()) || name.contains(char::is_control) {
            let expected = format!("1 to {MAX_NAME_CHARACTERS} characters, and no control characters");
            return Err(wrong(&format!("{at}.name"), &expected, &quoted(&name)));
        }
        if self.path.len() > MAX_PATH_BYTES || !is_path(&self.path) {
            let expected = format!("a path that starts with `/`, of at most {MAX_PATH_BYTES} bytes");
            return Err(wrong(&format!("{at}.path"), &expected, &quoted(&self.path)));
        }
        let mut headers = headers(&format!("{at}.headers"), self.headers)?;
        let body = match (self.body, self.body_text) {
            (Some(_), Some(_)) => {
                return Err(wrong(at, "`body` or `bodyText`", "both"));
            }
            (Some(value), None) => {
                let json = HeaderValue::from_static("application/json");
                headers.entry(header::CONTENT_TYPE).or_insert(json);
                Some(value.to_string())
            }
            (None, text) => text,
        };
        if let Some(body) = &body
            && body.len() > MAX_BODY_BYTES
        {
            let expected = format!("a body of at most {MAX_BODY_BYTES} bytes");
            return Err(wrong(at, &expected, &body.len().to_string()));
        }
        let method = match self.method.as_deref() {
            None if body.is_some() => Method::POST,
            None | Some("GET") => Method::GET,
            Some("POST") => Method::POST,
            Some("PUT") => Method::PUT,
            Some(other) => {
                return Err(wrong(&format!("{at}.method"), "`GET`, `POST` or `PUT`", &quoted(other)));
            }
        };
        let body = body.unwrap_or_default().into();
        let request = Request { method, path: self.path, headers, body };
        Ok(SmokeRequest { name, request, expect: self.expect.expectation(&format!("{at}.expect"))? })
    }
}

fn headers(at: &str, texts: BTreeMap<String, String>) -> Result<HeaderMap, FileError> {
    count(at, texts.len(), 0, MAX_HEADERS)?;
    let mut headers = HeaderMap::new();
    for (name, value) in texts {
        let header: HeaderName = name.parse().map_err(|_| wrong(at, "names of headers", &quoted(&name)))?;
        let at = format!("{at}.{header}");
        if OWN_HEADERS.contains(&header) {
            return Err(problem(&at, "this header is set by the sidecar itself"));
        }
        let value = Some(value).filter(|value| value.len() <= MAX_HEADER_BYTES);
        let Some(mut value) = value.and_then(|value| HeaderValue::try_from(value).ok()) else {
            let expected = format!(
                "expected at most {MAX_HEADER_BYTES} bytes without control characters; the value is not shown"
            );
            return Err(problem(&at, &expected));
        };
        value.set_sensitive(!PUBLIC_HEADERS.contains(&header));
        if headers.insert(header, value).is_some() {
            return Err(problem(&at, "this header is there twice"));
        }
    }
    Ok(headers)
}

impl Expected {
    fn expectation(self, at: &str) -> Result<Expectation, FileError> {
        let status = self.status.unwrap_or(StatusCode::OK.as_u16());
        let status = StatusCode::from_u16(status)
            .ok()
            .filter(|status| (200..600).contains(&status.as_u16()))
            .ok_or_else(|| wrong(&format!("{at}.status"), "a status from 200 to 599", &status.to_string()))?;
        let within = match self.within {
            None => DEFAULT_WITHIN,
            Some(text) => duration::parse(&text)
                .filter(|within| (Duration::from_millis(1)..=MAX_WITHIN).contains(within))
                .ok_or_else(|| {
                    let expected =
                        format!("a duration such as `500ms`, of at most {}", duration::print(MAX_WITHIN));
                    wrong(&format!("{at}.within"), &expected, &quoted(&text))
                })?,
        };
        count(&format!("{at}.json"), self.json.len(), 0, MAX_CHECKS)?;
        let checks = self.json.into_iter().enumerate();
        let json = checks
            .map(|(index, check)| check.check(&format!("{at}.json[{index}]")))
            .collect::<Result<_, _>>()?;
        Ok(Expectation { status, json, within })
    }
}

impl Expectable {
    fn check(self, at: &str) -> Result<Check, FileError> {
        let pointer = self.pointer;
        if pointer.len() > MAX_PATH_BYTES || !(pointer.is_empty() || is_pointer(&pointer)) {
            let expected = format!(
                "a JSON pointer such as `/predictions/0`, of at most {MAX_PATH_BYTES} bytes, or nothing for the whole answer"
            );
            return Err(wrong(&format!("{at}.pointer"), &expected, &quoted(&pointer)));
        }
        let wanted = match (self.value, self.length, self.exists) {
            (Some(value), None, None) => {
                if self.tolerance.is_some() && !has_number(&value) {
                    return Err(problem(
                        &format!("{at}.tolerance"),
                        "has no effect on a value without numbers",
                    ));
                }
                let tolerance = self.tolerance.unwrap_or_default();
                if !tolerance.is_finite() || tolerance.is_sign_negative() {
                    let at = format!("{at}.tolerance");
                    return Err(wrong(&at, "a finite number that is not negative", &tolerance.to_string()));
                }
                Wanted::Value { value, tolerance }
            }
            (None, Some(_), None) | (None, None, Some(_)) if self.tolerance.is_some() => {
                return Err(problem(&format!("{at}.tolerance"), "has no effect without `value`"));
            }
            (None, Some(length), None) => Wanted::Length(length),
            (None, None, Some(exists)) => Wanted::Existence(exists),
            (None, None, None) => return Err(wrong(at, "`value`, `length` or `exists`", "none of them")),
            _ => return Err(wrong(at, "one of `value`, `length` and `exists`", "several")),
        };
        Ok(Check { pointer, wanted })
    }
}

fn has_number(value: &Value) -> bool {
    match value {
        Value::Number(_) => true,
        Value::Array(entries) => entries.iter().any(has_number),
        Value::Object(entries) => entries.values().any(has_number),
        _ => false,
    }
}

fn count(at: &str, count: usize, fewest: usize, most: usize) -> Result<(), FileError> {
    if (fewest..=most).contains(&count) {
        return Ok(());
    }
    Err(wrong(at, &format!("{fewest} to {most} entries"), &count.to_string()))
}

fn quoted(text: &str) -> String {
    format!("`{}`", one_line::of(text, super::MAX_QUOTE_CHARACTERS))
}

fn wrong(at: &str, expected: &str, got: &str) -> FileError {
    problem(at, &format!("expected {expected}, got {got}"))
}

fn problem(at: &str, problem: &str) -> FileError {
    FileError::Wrong { at: at.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests;
