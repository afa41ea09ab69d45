//! Why an exchange over a connection came to nothing; the same for every protocol that is spoken here.

use std::error::Error;
use std::io;

use http_body_util::{BodyExt as _, Collected, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};

/// Longest head of an answer.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// How this program calls itself.
pub const USER_AGENT: &str = concat!("health-sidecar/", env!("CARGO_PKG_VERSION"));

/// Why there is no complete answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// Nobody listens, or the name has no address.
    #[error("{}", describe_io(.0))]
    Connect(io::Error),
    /// The address does not make a request.
    #[error("not an address that can be asked")]
    Address(#[source] hyper::http::Error),
    /// The peer closed or reset the connection before the answer was complete.
    #[error("the connection was closed before the answer was complete")]
    Closed,
    /// The peer does not speak HTTP, or not this version of it.
    #[error("the answer is not {0}")]
    Protocol(&'static str, #[source] hyper::Error),
    /// Any other failure of the exchange.
    #[error("the exchange failed")]
    Exchange(#[source] hyper::Error),
    /// The body is longer than this.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

impl ExchangeError {
    /// What went wrong with an exchange in `protocol`.
    pub fn of(protocol: &'static str, error: hyper::Error) -> Self {
        let reset = error.source().is_some_and(<dyn Error>::is::<io::Error>);
        if error.is_parse() {
            Self::Protocol(protocol, error)
        } else if reset || error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            Self::Closed
        } else {
            Self::Exchange(error)
        }
    }
}

/// Reads a body of at most `longest` bytes, with its trailers.
///
/// # Errors
/// See [`ExchangeError`].
pub async fn read_bounded<B: Body<Data = Bytes, Error = hyper::Error>>(
    protocol: &'static str,
    body: B,
    longest: usize,
) -> Result<Collected<Bytes>, ExchangeError> {
    Limited::new(body, longest).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            ExchangeError::TooLong(longest)
        } else {
            error.downcast().map_or(ExchangeError::Closed, |error| ExchangeError::of(protocol, *error))
        }
    })
}

/// The kind alone reads better than "Connection refused (os error 111)", where there is a kind.
fn describe_io(error: &io::Error) -> String {
    match error.kind() {
        kind @ (io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::TimedOut
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable) => kind.to_string(),
        _ => error.to_string(),
    }
}
