//! Headers that go out with each question, whose values may be secrets.
//!
//! They come from a setting or, better, from a mounted file, which is read anew for each probe, since Kubernetes
//! replaces it when a secret is rotated. No value is ever printed: an answer that repeats one is masked before
//! any of it is quoted.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// Longest file of headers.
const MAX_BYTES: usize = 16 * 1024;
/// Most headers.
const MAX_HEADERS: usize = 32;
/// Shortest piece of a value that is masked. A shorter one is no secret, and part of too many words.
const SHORTEST_SECRET: usize = 4;
/// What stands in the place of a secret.
const MASK: &str = "***";

/// Where the headers are.
#[derive(Clone, Debug)]
pub enum Headers {
    /// Here.
    Fixed(HeaderMap),
    /// In this file.
    File(PathBuf),
}

/// Why there are no headers. It quotes nothing: the text holds secrets.
#[derive(Debug, thiserror::Error)]
pub enum HeadersError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is too long.
    #[error("expected at most {MAX_BYTES} bytes and {MAX_HEADERS} headers")]
    TooLong,
    /// A line is no header.
    #[error("expected `name: value`, got something else in line {0}")]
    Line(usize),
}

impl Headers {
    /// What a setting means: a file, if it begins with `/`, else the headers themselves.
    ///
    /// # Errors
    /// See [`HeadersError`]; a file is tried.
    pub fn new(setting: &str) -> Result<Self, HeadersError> {
        if setting.starts_with('/') {
            let headers = Self::File(setting.into());
            headers.read()?;
            Ok(headers)
        } else {
            parse(setting).map(Self::Fixed)
        }
    }

    /// The headers as they are now.
    ///
    /// # Errors
    /// See [`HeadersError`].
    pub fn read(&self) -> Result<HeaderMap, HeadersError> {
        match self {
            Self::Fixed(headers) => Ok(headers.clone()),
            Self::File(path) => {
                let failed = |source| HeadersError::Read { path: path.clone(), source };
                let bound = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
                let mut text = String::new();
                File::open(path).map_err(failed)?.take(bound).read_to_string(&mut text).map_err(failed)?;
                parse(&text)
            }
        }
    }
}

impl Default for Headers {
    fn default() -> Self {
        Self::Fixed(HeaderMap::new())
    }
}

fn parse(text: &str) -> Result<HeaderMap, HeadersError> {
    if text.len() > MAX_BYTES {
        return Err(HeadersError::TooLong);
    }
    let mut headers = HeaderMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let header = || {
            let (name, value) = line.split_once(':')?;
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_bytes(name.trim().as_bytes()).ok()?, value))
        };
        let (name, value) = header().ok_or(HeadersError::Line(index + 1))?;
        if headers.len() == MAX_HEADERS {
            return Err(HeadersError::TooLong);
        }
        headers.append(name, value);
    }
    Ok(headers)
}

/// `text` without the values of `headers`, nor what follows the scheme in one such as `Bearer …`.
pub fn mask(text: &str, headers: &HeaderMap) -> String {
    let values = headers.values().filter_map(|value| value.to_str().ok());
    values.fold(text.to_owned(), |text, value| {
        let secret = value.split_once(' ').map_or(value, |(_, secret)| secret);
        [value, secret].into_iter().fold(text, |text, secret| {
            if secret.len() < SHORTEST_SECRET { text } else { text.replace(secret, MASK) }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_headers() {
        let headers = parse("Authorization: Bearer a:b\n\n  x-one :1\r\nx-one: 2\n").unwrap();
        assert_eq!(headers["authorization"], "Bearer a:b");
        let ones: Vec<_> = headers.get_all("x-one").iter().collect();
        assert_eq!(ones, ["1", "2"]);
        assert!(headers.values().all(HeaderValue::is_sensitive));
        assert!(!format!("{headers:?}").contains("Bearer"));
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_header_is_told_by_its_line_alone() {
        for text in ["a: b\nsecret", "a: b\nse cret: x", "a: b\nsecret: \u{1}", "a: b\n: secret"] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.to_string(), "expected `name: value`, got something else in line 2", "{text:?}");
        }
        assert!(matches!(parse(&"a: b\n".repeat(MAX_HEADERS + 1)), Err(HeadersError::TooLong)));
        assert!(matches!(parse(&format!("a: {}", "b".repeat(MAX_BYTES))), Err(HeadersError::TooLong)));
    }

    #[test]
    fn a_file_is_read_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("headers");
        std::fs::write(&path, "a: 1\n").unwrap();
        let headers = Headers::new(path.to_str().unwrap()).unwrap();
        assert_eq!(headers.read().unwrap()["a"], "1");
        std::fs::write(&path, "a: 2\n").unwrap();
        assert_eq!(headers.read().unwrap()["a"], "2");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(headers.read(), Err(HeadersError::Read { .. })));
        assert!(Headers::new(path.to_str().unwrap()).is_err());
    }

    #[test]
    fn values_are_masked_whole_and_without_their_scheme() {
        let headers = parse("Authorization: Bearer hunter2\nx-api-key: open sesame\nx-flag: 1").unwrap();
        let masked = mask("you sent `Bearer hunter2`, or hunter2, and open sesame, 1 time", &headers);
        assert_eq!(masked, "you sent `***`, or ***, and ***, 1 time");
    }
}
