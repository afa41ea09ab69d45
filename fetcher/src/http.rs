//! The HTTP client, for registries and stores alike.
//!
//! It is built so that a static binary in an empty image needs nothing from around it: names are resolved by
//! [`dns`](crate::dns), and certificates are checked against the bundled Mozilla roots plus whatever `SSL_CERT_FILE`
//! names. It never retries by itself: there is one retry budget, in [`crate::retry`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::header::{HeaderMap, HeaderName, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response, StatusCode};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use url::Url;

use crate::credentials::UnreadableCredentials;
use crate::dns::Dns;
use crate::limits::Limits;
use crate::redact::Redacted;
use crate::scrub::scrub;
use crate::store::StoreError;

/// Headers under which servers name a request in their own logs; repeated in errors so that people can ask.
const REQUEST_ID_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-amz-request-id"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-ms-request-id"),
];

/// Why the client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A setting names something that is not a file of certificates, or not one with the key that belongs to it.
    #[error("{setting}: cannot read certificates from {}", path.display())]
    Certificates {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// A setting names a certificate of our own that cannot be used.
    #[error("{setting}: cannot use the certificate and the key of {}", path.display())]
    Identity {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// A file of credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] UnreadableCredentials),
    /// The TLS library refused its configuration.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The HTTP library refused its configuration.
    #[error("cannot set up the HTTP client")]
    Http(#[from] reqwest::Error),
}

/// Who may vouch for a server: the bundled roots and those of the files `extra`, each with the setting that names it.
pub(crate) fn roots(extra: &[(&'static str, PathBuf)]) -> Result<rustls::RootCertStore, ClientError> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for (setting, path) in extra {
        for certificate in certificates(setting, path)? {
            roots.add(certificate)?;
        }
    }
    Ok(roots)
}

/// A TLS configuration that lacks only who we are.
pub(crate) fn checked_against(
    roots: impl Into<Arc<rustls::RootCertStore>>,
) -> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots))
}

/// The certificates of a file that a setting names.
pub(crate) fn certificates(
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let failed = |source| ClientError::Certificates { setting, path: path.to_owned(), source };
    CertificateDer::pem_file_iter(path).map_err(failed)?.map(|each| each.map_err(failed)).collect()
}

/// The redirects that are followed where a request may be made elsewhere: few, and without credentials.
pub fn few_redirects() -> Policy {
    Policy::limited(Limits::DEFAULT.redirects)
}

/// The redirects that are followed where what is sent is for one server: few, and only there.
pub fn within_the_origin() -> Policy {
    Policy::custom(|attempt| {
        let asked = attempt.previous().first().map(Url::origin);
        if attempt.previous().len() > Limits::DEFAULT.redirects || asked != Some(attempt.url().origin()) {
            return attempt.stop();
        }
        attempt.follow()
    })
}

/// Builds a client. `stall` is the longest silence that is put up with on an open connection.
///
/// # Errors
/// See [`ClientError`].
pub fn client(
    tls: rustls::ClientConfig,
    stall: Duration,
    redirects: Policy,
) -> Result<reqwest::Client, ClientError> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Arc::new(Dns::default()))
        .user_agent(concat!("plimsoll-fetcher/", env!("CARGO_PKG_VERSION")))
        .redirect(redirects)
        // With HTTP/2 many requests would share one connection, and what it is given.
        .http1_only()
        .retry(reqwest::retry::never())
        .connect_timeout(Limits::DEFAULT.connect)
        .read_timeout(stall)
        .referer(false)
        .build()?;
    Ok(client)
}

/// Sends a request and classes what comes back. Only success statuses and those in `also` are returned.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Denied`] or [`StoreError::Unavailable`], by status and transport
/// failure; [`StoreError::Refused`] for any other status.
pub async fn send(request: RequestBuilder, url: &Url, also: &[StatusCode]) -> Result<Response, StoreError> {
    let what = || Redacted(url).to_string();
    let response =
        request.send().await.map_err(|error| StoreError::transport(what(), error.without_url()))?;
    let status = response.status();
    if status.is_success() || also.contains(&status) {
        return Ok(response);
    }
    Err(classify(what(), status, response.headers()))
}

/// The error for a status that is not success.
pub(crate) fn classify(what: String, status: StatusCode, headers: &HeaderMap) -> StoreError {
    let status_text = match REQUEST_ID_HEADERS.iter().find_map(|name| headers.get(name)?.to_str().ok()) {
        Some(id) => {
            // Before it is cut, or a part of a secret would not be known for one.
            format!("{status}, request id {}", scrub(id).chars().take(80).collect::<String>().escape_debug())
        }
        None => status.to_string(),
    };
    let temporary = match status {
        // A conflict is what S3 answers to a conditional write that met another one on its way.
        StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT => true,
        StatusCode::NOT_IMPLEMENTED => false,
        other => other.is_server_error(),
    };
    let retry_after = retry_after(headers);
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            StoreError::Busy { what, status: status_text, retry_after }
        }
        _ if temporary => StoreError::Unavailable { what, reason: status_text, retry_after, source: None },
        StatusCode::NOT_FOUND | StatusCode::GONE => StoreError::NotFound { what },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => StoreError::Denied { what, status: status_text },
        StatusCode::PRECONDITION_FAILED => StoreError::Changed { what },
        _ => StoreError::Refused { what, reason: status_text },
    }
}

/// How long `Retry-After` asks to wait, as seconds or until a date (RFC 9110, 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    // A date that is over asks for no wait.
    Some(date.duration_since(jiff::Timestamp::now()).try_into().unwrap_or_default())
}

/// Reads a whole body of at most `limit` bytes.
///
/// # Errors
/// [`StoreError::TooLarge`] past the limit, [`StoreError::Unavailable`] when the connection breaks.
pub async fn read_bounded(response: Response, url: &Url, limit: usize) -> Result<Vec<u8>, StoreError> {
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk =
            chunk.map_err(|error| StoreError::transport(Redacted(url).to_string(), error.without_url()))?;
        if body.len() + chunk.len() > limit {
            return Err(StoreError::TooLarge { what: Redacted(url).to_string(), limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// `base` with path segments appended, each percent-encoded. `base` may itself have a path.
pub fn join<'a>(base: &Url, segments: impl IntoIterator<Item = &'a str>) -> Url {
    let mut url = base.clone();
    // Fails only for URLs without a host, which no caller's type admits.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining_keeps_a_prefix_and_encodes_segments() {
        let base: Url = "http://host/prefix/".parse().unwrap();
        assert_eq!(join(&base, ["api", "a b", "c?d"]).as_str(), "http://host/prefix/api/a%20b/c%3Fd");
    }

    #[test]
    fn statuses_are_classed_once() {
        let class =
            |status: u16| classify("x".into(), StatusCode::from_u16(status).unwrap(), &HeaderMap::new());
        assert!(matches!(class(404), StoreError::NotFound { .. }));
        assert!(matches!(class(403), StoreError::Denied { .. }));
        assert!(matches!(class(412), StoreError::Changed { .. }));
        for status in [408, 409, 500, 502, 504] {
            assert!(matches!(class(status), StoreError::Unavailable { .. }), "{status}");
        }
        for status in [429, 503] {
            assert!(matches!(class(status), StoreError::Busy { .. }), "{status}");
        }
        for status in [400, 405, 416, 501] {
            assert!(matches!(class(status), StoreError::Refused { .. }), "{status}");
        }
    }

    #[test]
    fn a_throttled_answer_carries_its_wait_and_request_id() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        headers.insert("x-amz-request-id", "ABC".parse().unwrap());
        let error = classify("s3".into(), StatusCode::TOO_MANY_REQUESTS, &headers);
        assert!(error.to_string().contains("request id ABC"), "{error}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_wait_may_be_asked_for_as_a_date() {
        let asked = |value: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]));
        let in_a_minute = jiff::Timestamp::now() + Duration::from_secs(60);
        let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&in_a_minute);
        let wait = asked(&date.unwrap()).unwrap();
        assert!((58..=60).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("soon"), None);
    }
}
