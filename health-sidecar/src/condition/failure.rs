//! What can go wrong with a report, by kind, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use handoff::duration;
use hyper::StatusCode;
use rustls::pki_types::pem;

use super::{TIMEOUT, Target};
use crate::exchange::ExchangeError;

/// Why a report is not in the cluster. Nothing of it is a secret.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The token or the authorities cannot be read.
    #[error("cannot read {}", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The token does not fit into a header.
    #[error("expected a token in {}, got something else", path.display())]
    Token {
        /// The file.
        path: PathBuf,
    },
    /// The file is no list of authorities.
    #[error("expected certificates in {}, got something else", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why, where there is more to say.
        source: Option<pem::Error>,
    },
    /// The server cannot be believed, or spoken to, over TLS.
    #[error("no TLS with the API server")]
    Tls(#[source] io::Error),
    /// TLS cannot be set up at all.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
    /// There is no complete answer.
    #[error("the API server cannot be asked")]
    Exchange(#[source] ExchangeError),
    /// There is none in time.
    #[error("no answer from the API server within {}", duration::rough(TIMEOUT))]
    TimedOut,
    /// The answer is not yes.
    #[error("the API server answers {status}{}", message.as_ref().map_or_else(String::new, |it| format!(": {it}")))]
    Refused {
        /// Its status.
        status: StatusCode,
        /// What it says.
        message: Option<String>,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
}

/// The kind of a failure: the label of a metric, and what the log is told once of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Kind {
    Credentials,
    Unreachable,
    Untrusted,
    TimedOut,
    Malformed,
    Unauthorized,
    Forbidden,
    NotFound,
    Conflict,
    Busy,
    Refused,
    ServerError,
}

impl Kind {
    /// Every kind, in the order in which a request meets them.
    pub const ALL: [Self; 12] = [
        Self::Credentials,
        Self::Unreachable,
        Self::Untrusted,
        Self::TimedOut,
        Self::Malformed,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::Busy,
        Self::Refused,
        Self::ServerError,
    ];

    /// Its name in JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Unreachable => "unreachable",
            Self::Untrusted => "untrusted",
            Self::TimedOut => "timed_out",
            Self::Malformed => "malformed",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::ServerError => "server_error",
        }
    }

    /// What to do about it, if that can be said.
    pub fn hint(self, target: &Target) -> Option<String> {
        const COMPONENT: &str = "k8s/components/status-reporting has what it takes";
        match self {
            Self::Credentials | Self::Unauthorized => {
                Some(format!("mount a projected service account token, ca.crt and namespace; {COMPONENT}"))
            }
            Self::Forbidden => Some(format!(
                "the service account of the Pod needs a Role with the verb `patch` on `{}` for the {}; {COMPONENT}",
                target.resource(),
                target.object()
            )),
            Self::NotFound => Some(match target {
                Target::Pod { .. } => {
                    "POD_NAME and POD_NAMESPACE have to come from the fields metadata.name and metadata.namespace"
                        .to_owned()
                }
                Target::Deployment { .. } => {
                    "set HEALTH_REPORT_NAME to the name of the Deployment that the Pod belongs to".to_owned()
                }
            }),
            Self::Refused => match target {
                // The only part of a patch that the server compares with something.
                Target::Pod { .. } => Some("POD_UID has to come from the field metadata.uid".to_owned()),
                Target::Deployment { .. } => None,
            },
            Self::Untrusted => Some("ca.crt has to be the cluster's own, from kube-root-ca.crt".to_owned()),
            Self::Unreachable
            | Self::TimedOut
            | Self::Malformed
            | Self::Conflict
            | Self::Busy
            | Self::ServerError => None,
        }
    }
}

impl Failure {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Credentials { .. } | Self::Token { .. } | Self::Authorities { .. } | Self::Setup(_) => {
                Kind::Credentials
            }
            Self::Tls(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(rustls::Error::InvalidCertificate(_)) => Kind::Untrusted,
                Some(_) => Kind::Malformed,
                None => Kind::Unreachable,
            },
            Self::Exchange(ExchangeError::Connect(_) | ExchangeError::Closed) => Kind::Unreachable,
            Self::Exchange(_) => Kind::Malformed,
            Self::TimedOut => Kind::TimedOut,
            Self::Refused { status, .. } => match status.as_u16() {
                401 => Kind::Unauthorized,
                403 => Kind::Forbidden,
                404 => Kind::NotFound,
                409 => Kind::Conflict,
                429 => Kind::Busy,
                500.. => Kind::ServerError,
                _ => Kind::Refused,
            },
        }
    }

    /// How long the server asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
