//! One request at a time, over a connection of its own, with a bounded answer.
//!
//! A fresh connection per question costs little within a Pod and cannot be stale: a server that restarted
//! since the last question is seen as it is now. Redirects are not followed, since the question is what *this*
//! server says. The caller bounds the time; this module bounds the bytes.

use std::error::Error;
use std::io;
use std::pin::pin;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::http_url::HttpUrl;

/// Longest body that [`get`] reads; a longer one is an error.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Longest head of an answer.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const USER_AGENT: &str = concat!("health-sidecar/", env!("CARGO_PKG_VERSION"));

/// What to ask. The client itself says who asks, whom, and how long the body is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// What to ask for, below the server's address; starts with `/`, and may have a query.
    pub path: String,
    /// Other headers than [`OWN_HEADERS`].
    pub headers: HeaderMap,
    /// The body; an empty one is none.
    pub body: Bytes,
}

/// The headers that this client sets, or that only a client could keep the promise of.
pub const OWN_HEADERS: [header::HeaderName; 9] = [
    header::HOST,
    header::USER_AGENT,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::EXPECT,
];

/// A complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The whole body.
    pub body: Bytes,
}

/// Why there is no complete answer.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// Nobody listens, or the name has no address.
    #[error("{}", describe_io(.0))]
    Connect(io::Error),
    /// The address does not make a request.
    #[error("not an address that can be asked")]
    Address(#[source] hyper::http::Error),
    /// The peer closed or reset the connection before the answer was complete.
    #[error("the connection was closed before the answer was complete")]
    Closed,
    /// The peer does not speak HTTP.
    #[error("the answer is not HTTP")]
    NotHttp(#[source] hyper::Error),
    /// Any other failure of the exchange.
    #[error("the exchange failed")]
    Exchange(#[source] hyper::Error),
    /// The body is longer than this many bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// Asks for `url` and reads the whole answer.
///
/// # Errors
/// See [`GetError`].
pub async fn get(url: &HttpUrl) -> Result<Answer, GetError> {
    exchange(url, &Request::default(), MAX_BODY_BYTES).await
}

/// Sends `request` to `server` and reads the whole answer, of at most `max_body` bytes.
///
/// # Errors
/// See [`GetError`].
pub async fn ask(server: &HttpUrl, request: &Request, max_body: usize) -> Result<Answer, GetError> {
    exchange(&server.join(&request.path), request, max_body).await
}

async fn exchange(url: &HttpUrl, request: &Request, max_body: usize) -> Result<Answer, GetError> {
    let stream = TcpStream::connect((url.host(), url.port())).await.map_err(GetError::Connect)?;
    let mut outgoing = hyper::Request::builder()
        .method(request.method.clone())
        .uri(url.path())
        .header(header::HOST, url.authority())
        .body(Full::new(request.body.clone()))
        .map_err(GetError::Address)?;
    outgoing.headers_mut().extend(request.headers.clone());
    outgoing.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    outgoing.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(classify)?;
    let mut exchange = pin!(async move {
        let response = sender.send_request(outgoing).await.map_err(classify)?;
        let status = response.status();
        Ok(Answer { status, body: read_bounded(response.into_body(), max_body).await? })
    });
    // The connection makes the exchange progress. It may end first, with what is left of the answer buffered.
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        _ = connection => exchange.await,
    }
}

async fn read_bounded<B: Body<Data = Bytes, Error = hyper::Error>>(
    body: B,
    max_bytes: usize,
) -> Result<Bytes, GetError> {
    match Limited::new(body, max_bytes).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(GetError::TooLong(max_bytes)),
        Err(error) => Err(error.downcast().map_or(GetError::Closed, |error| classify(*error))),
    }
}

fn classify(error: hyper::Error) -> GetError {
    let reset = error.source().is_some_and(<dyn Error>::is::<io::Error>);
    if error.is_parse() {
        GetError::NotHttp(error)
    } else if reset || error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        GetError::Closed
    } else {
        GetError::Exchange(error)
    }
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
