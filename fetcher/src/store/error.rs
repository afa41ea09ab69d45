//! Why a registry or a store did not do as asked, classed once as retryable, not found, denied or fatal.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::chain::causes;

/// How a failure is to be met; decided here and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Trying again may help.
    Retryable,
    /// What was asked for is not there.
    NotFound,
    /// The credentials do not allow it.
    Denied,
    /// The source is not what it was, or not what it must be.
    Integrity,
    /// The local side failed.
    Local,
    /// Trying again will not help.
    Fatal,
}

/// Why a registry or a store did not do as asked. `what` is a redacted address or a path.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is not there.
    #[error("{what} does not exist")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// Authentication or permission was refused.
    #[error("access to {what} was refused ({status})")]
    Denied {
        /// What was asked for.
        what: String,
        /// What the server said.
        status: String,
    },
    /// It cannot be reached, or cannot answer now.
    #[error("{what} is unavailable: {reason}")]
    Unavailable {
        /// What was asked for.
        what: String,
        /// What happened.
        reason: String,
        /// How long the server asked us to wait.
        retry_after: Option<Duration>,
        /// The transport's own error.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The server says that it has too much to do.
    #[error("{what} is unavailable: {status}")]
    Busy {
        /// What was asked for.
        what: String,
        /// What the server said.
        status: String,
        /// How long the server asked us to wait.
        retry_after: Option<Duration>,
    },
    /// The server's certificate was not signed by anybody who is trusted here.
    #[error("the certificate of {what} is not trusted: {reason}")]
    Untrusted {
        /// What was asked for.
        what: String,
        /// What is wrong with the certificate.
        reason: String,
    },
    /// The file is not the one that was listed.
    #[error("{what} changed since it was listed")]
    Changed {
        /// The file.
        what: String,
    },
    /// The bytes are not those that the digest names which they were asked for by.
    #[error("{what} is not what it must be: expected sha256:{expected}, got sha256:{got}")]
    Corrupt {
        /// What was asked for.
        what: String,
        /// The digest it was asked for by.
        expected: handoff::Sha256Digest,
        /// The digest of what came.
        got: handoff::Sha256Digest,
    },
    /// Something is there that must not be.
    #[error("{what} exists already")]
    Exists {
        /// The file.
        what: String,
    },
    /// The server refused the request, and will again.
    #[error("{what} was refused: {reason}")]
    Refused {
        /// What was asked for.
        what: String,
        /// Why.
        reason: String,
    },
    /// The answer is not what the protocol says.
    #[error("{what} gave an answer that makes no sense: {reason}")]
    Malformed {
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is larger than it may be.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        what: String,
        /// The bound.
        limit: usize,
    },
    /// A local file could not be read or written.
    #[error("cannot access {}", path.display())]
    Local {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    /// A failure of the connection. The error must not print a URL; see [`reqwest::Error::without_url`].
    pub(crate) fn transport(what: String, source: reqwest::Error) -> Self {
        if let Some(reason) = bad_certificate(&source) {
            return Self::Untrusted { what, reason };
        }
        let reason = if source.is_timeout() {
            "the connection stalled or timed out"
        } else if source.is_connect() {
            "cannot connect"
        } else if source.is_redirect() {
            return Self::Refused { what, reason: "too many redirects".into() };
        } else {
            "the connection failed"
        };
        Self::Unavailable { what, reason: reason.into(), retry_after: None, source: Some(Box::new(source)) }
    }

    /// The same failure under another name for what was asked, for a layer that knows it better.
    pub(crate) fn renamed(&self, what: String) -> Self {
        match self {
            Self::NotFound { .. } => Self::NotFound { what },
            Self::Denied { status, .. } => Self::Denied { what, status: status.clone() },
            Self::Unavailable { reason, retry_after, .. } => {
                let (reason, retry_after) = (reason.clone(), *retry_after);
                Self::Unavailable { what, reason, retry_after, source: None }
            }
            Self::Busy { status, retry_after, .. } => {
                Self::Busy { what, status: status.clone(), retry_after: *retry_after }
            }
            Self::Untrusted { reason, .. } => Self::Untrusted { what, reason: reason.clone() },
            Self::Changed { .. } => Self::Changed { what },
            Self::Corrupt { expected, got, .. } => Self::Corrupt { what, expected: *expected, got: *got },
            Self::Exists { .. } => Self::Exists { what },
            Self::TooLarge { limit, .. } => Self::TooLarge { what, limit: *limit },
            Self::Refused { reason, .. } => Self::Refused { what, reason: reason.clone() },
            Self::Malformed { reason, .. } => Self::Malformed { what, reason: reason.clone() },
            Self::Local { source, .. } => Self::Refused { what, reason: source.to_string() },
        }
    }

    /// What a failure below some other library's error is, if it is that of a certificate.
    pub(crate) fn untrusted(what: &str, error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        bad_certificate(error).map(|reason| Self::Untrusted { what: what.to_owned(), reason })
    }

    /// How to meet this failure.
    pub fn class(&self) -> Class {
        match self {
            Self::NotFound { .. } => Class::NotFound,
            Self::Denied { .. } => Class::Denied,
            Self::Unavailable { .. } | Self::Busy { .. } => Class::Retryable,
            Self::Changed { .. } | Self::Corrupt { .. } => Class::Integrity,
            Self::Local { .. } => Class::Local,
            Self::Untrusted { .. }
            | Self::Exists { .. }
            | Self::Refused { .. }
            | Self::Malformed { .. }
            | Self::TooLarge { .. } => Class::Fatal,
        }
    }

    /// What the user can do about it, where that does not depend on what was asked for.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Untrusted { .. } => Some("name the file of its certificate authority in SSL_CERT_FILE"),
            _ => None,
        }
    }

    /// How long the server asked us to wait, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } | Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// What TLS found wrong with a certificate, if that is what a failure comes from.
fn bad_certificate(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    match std::iter::once(error).chain(causes(error)).find_map(inside)? {
        rustls::Error::InvalidCertificate(problem) => Some(problem.to_string()),
        _ => None,
    }
}

/// The TLS error in a cause. An I/O error gives its inner error's cause as its own and so hides the inner one,
/// and they come wrapped in each other.
fn inside<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = cause;
    while let Some(inner) = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        cause = inner;
    }
    cause.downcast_ref()
}
