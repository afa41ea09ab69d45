//! What the server said, and how much that proves.
//!
//! Not every answer other than "loaded" is a "no". A server that says 404 for the model, or that nobody runs, has
//! spoken; one that is slow, that closes the connection or that answers 500 has said nothing about the model at all.
//! Whoever decides about traffic may act at once on the first and wait out the second, so they are kept apart,
//! and [`certainty`] is the one place that tells them apart.

use std::io;

use hyper::StatusCode;

use crate::exchange::ExchangeError;

/// What the server said about the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It has loaded the model.
    Loaded {
        /// What there is to say about that, in one bounded line, such as what kind of server was found.
        detail: Option<String>,
    },
    /// It has not: that is its own word, or there is no server.
    NotLoaded {
        /// The question, as a method and an address.
        asked: String,
        /// What came back instead, display-ready.
        got: String,
    },
    /// There was no telling.
    Unclear {
        /// The question, as a method and an address.
        asked: String,
        /// What came back instead, display-ready.
        got: String,
    },
}

impl Word {
    /// Whether the model is loaded.
    pub fn is_loaded(&self) -> bool {
        matches!(self, Self::Loaded { .. })
    }

    /// The question and what came back, when that was not "loaded".
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Loaded { .. } => None,
            Self::NotLoaded { asked, got } | Self::Unclear { asked, got } => Some(format!("{asked}: {got}")),
        }
    }
}

/// Why a question was not answered with "loaded".
#[derive(Debug)]
pub enum Failure {
    /// It could not be asked: what it takes is not there.
    Unasked,
    /// There was no complete answer in time.
    Late,
    /// There was no complete answer.
    Exchange(ExchangeError),
    /// The answer has another status than the one that means "loaded".
    Status(StatusCode),
    /// The server knows this very model, and has not loaded it.
    NotYet,
    /// The answer can be read, and is about other models, another version or none.
    Other,
    /// The answer is not one of this kind of server.
    Garbage,
}

/// How much an answer proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The model is not loaded.
    Definite,
    /// Nothing.
    Unclear,
}

/// How much it proves that a question failed like this.
pub fn certainty(failure: &Failure) -> Certainty {
    let definite = match failure {
        // Nobody listens: whoever had loaded the model is gone, or has not got that far.
        Failure::Exchange(ExchangeError::Connect(error)) => error.kind() == io::ErrorKind::ConnectionRefused,
        // No such model, and not ready: what servers say by these. Other statuses are about the request or the server.
        Failure::Status(status) => {
            matches!(*status, StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE)
        }
        Failure::NotYet | Failure::Other => true,
        Failure::Unasked | Failure::Late | Failure::Exchange(_) | Failure::Garbage => false,
    };
    if definite { Certainty::Definite } else { Certainty::Unclear }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_server_itself_says_about_the_model_is_definite() {
        let connect = |kind| Failure::Exchange(ExchangeError::Connect(io::Error::from(kind)));
        for definite in [connect(io::ErrorKind::ConnectionRefused), Failure::NotYet, Failure::Other] {
            assert_eq!(certainty(&definite), Certainty::Definite, "{definite:?}");
        }
        for unclear in [
            Failure::Unasked,
            Failure::Late,
            Failure::Garbage,
            connect(io::ErrorKind::HostUnreachable),
            connect(io::ErrorKind::ConnectionReset),
            Failure::Exchange(ExchangeError::Closed),
            Failure::Exchange(ExchangeError::TooLong(1)),
        ] {
            assert_eq!(certainty(&unclear), Certainty::Unclear, "{unclear:?}");
        }
        for code in 100..600 {
            let expected = if [404, 503].contains(&code) { Certainty::Definite } else { Certainty::Unclear };
            let status = StatusCode::from_u16(code).unwrap();
            assert_eq!(certainty(&Failure::Status(status)), expected, "{code}");
        }
    }
}
