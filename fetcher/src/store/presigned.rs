//! Addresses in the store behind a server, MLflow's or one for Git's large files, which it signs for us: bytes then come
//! from there, in ranges.
//!
//! Each is good for minutes (`MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS`), so it is asked for anew before it is over, or
//! when the store refuses it. It is all that the store is sent: credentials are for the server.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use handoff::SafePath;
use handoff::text::is_harmful;
use reqwest::RequestBuilder;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use url::Url;

use crate::store::StoreError;

/// For how long an address that does not say so is taken to be good. MLflow's default is five minutes.
const GOOD_FOR: Duration = Duration::from_secs(240);
/// The most headers that an address may want to be sent.
const HEADERS: usize = 32;

#[derive(Deserialize)]
struct Answer {
    url: String,
    #[serde(default)]
    headers: HashMap<String, String>,
}

/// An address, and the headers that it was signed for.
#[derive(Clone)]
pub(crate) struct Presigned {
    pub(crate) url: Url,
    headers: HeaderMap,
    until: Instant,
}

impl Presigned {
    /// Reads MLflow's answer.
    pub(crate) fn read(answer: &[u8]) -> Result<Self, String> {
        let answer: Answer = serde_json::from_slice(answer).map_err(|error| {
            // What is wrong with it may hold the signature.
            format!("expected an address and headers, got something else at line {}", error.line())
        })?;
        Self::new(&answer.url, &answer.headers)
    }

    /// An address, and the headers that it wants to be sent.
    pub(crate) fn new(address: &str, headers: &HashMap<String, String>) -> Result<Self, String> {
        let url: Url = address.parse().map_err(|_| "expected an address, got none".to_owned())?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || !is_plain || address.chars().any(is_harmful) {
            return Err("expected an http or https address without credentials".to_owned());
        }
        if headers.len() > HEADERS {
            return Err(format!("expected at most {HEADERS} headers, got {}", headers.len()));
        }
        let header = |(name, value): (&String, &String)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
        };
        let headers: Option<HeaderMap> = headers.iter().map(header).collect();
        let headers = headers.ok_or("expected headers that can be sent")?;
        let until = Instant::now() + good_for(&url);
        Ok(Self { url, headers, until })
    }

    /// Whether it wants a header to be sent.
    #[cfg(feature = "git")]
    pub(crate) fn has(&self, header: &HeaderName) -> bool {
        self.headers.contains_key(header)
    }

    /// The request that it was signed for.
    pub(crate) fn request(&self, client: &reqwest::Client) -> RequestBuilder {
        client.get(self.url.clone()).headers(self.headers.clone())
    }
}

/// Four fifths of the time that S3's and Google's addresses say, as the rest may go by on the way.
fn good_for(url: &Url) -> Duration {
    let said = url.query_pairs().find_map(|(name, value)| {
        let is_it = ["X-Amz-Expires", "X-Goog-Expires"].iter().any(|known| name.eq_ignore_ascii_case(known));
        is_it.then(|| value.parse::<u32>().ok()).flatten()
    });
    said.map_or(GOOD_FOR, |seconds| Duration::from_secs(seconds.into()) * 4 / 5).min(GOOD_FOR)
}

/// The addresses that are still good, by path. There are no more than files were listed.
#[derive(Default)]
pub(crate) struct Addresses(Mutex<HashMap<SafePath, Presigned>>);

impl Addresses {
    pub(crate) fn get(&self, path: &SafePath) -> Option<Presigned> {
        self.lock().get(path).filter(|address| Instant::now() < address.until).cloned()
    }

    pub(crate) fn keep(&self, path: &SafePath, address: &Presigned) {
        self.lock().insert(path.clone(), address.clone());
    }

    pub(crate) fn forget(&self, path: &SafePath) {
        self.lock().remove(path);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SafePath, Presigned>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a server means that it signs no addresses, and the bytes are to be asked of itself.
pub(crate) fn is_not_offered(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound { .. } | StoreError::Denied { .. } | StoreError::Refused { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_good_for_as_long_as_it_says() {
        let good = |url: &str| good_for(&url.parse().unwrap()).as_secs();
        assert_eq!(good("https://s3/a?X-Amz-Expires=10&X-Amz-Signature=x"), 8);
        assert_eq!(good("https://s3/a?X-Amz-Expires=86400"), 240);
        assert_eq!(good("https://blob/a?se=2026"), 240);
    }

    #[test]
    fn what_is_no_address_is_refused_without_showing_it() {
        let read = |text: &str| Presigned::read(text.as_bytes()).map(|address| address.url.to_string());
        let fine = r#"{"url": "https://s3/a?sig=x", "headers": {"x-ms-version": "2020"}, "file_size": 3}"#;
        assert_eq!(read(fine).unwrap(), "https://s3/a?sig=x");
        for bad in [
            r#"{"url": "file:///etc/canary"}"#,
            r#"{"url": "https://me:canary@s3/a"}"#,
            r#"{"url": "canary"}"#,
            r#"{"url": "https://s3/canary", "headers": {"a b": "c"}}"#,
            r#"{"url": "https://s3/canary", "headers": {"a": "c\n"}}"#,
            r#"{"url": 7, "x": "canary"}"#,
            "{}",
        ] {
            let error = read(bad).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
