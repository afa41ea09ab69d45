//! One request at a time, over a connection of its own, with a bounded answer.
//!
//! A fresh connection per question costs little within a Pod and cannot be stale: a server that restarted
//! since the last question is seen as it is now. Redirects are not followed, since the question is what *this*
//! server says. The caller bounds the time; this module bounds the bytes.

use std::pin::pin;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::exchange::{ExchangeError, MAX_HEAD_BYTES, USER_AGENT, read_bounded};
use crate::http_url::HttpUrl;

/// Longest body of an answer to [`get`].
pub const MAX_BODY_BYTES: usize = 64 * 1024;
const PROTOCOL: &str = "HTTP";

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

/// Asks for `url` and reads the whole answer.
///
/// # Errors
/// See [`ExchangeError`].
pub async fn get(url: &HttpUrl) -> Result<Answer, ExchangeError> {
    send(Method::GET, url, &HeaderMap::new(), Bytes::new(), MAX_BODY_BYTES).await
}

/// Sends `request` to `server` and reads the whole answer, if its body is no longer than `longest`.
///
/// # Errors
/// See [`ExchangeError`].
pub async fn ask(server: &HttpUrl, request: &Request, longest: usize) -> Result<Answer, ExchangeError> {
    let Request { method, path, headers, body } = request;
    send(method.clone(), &server.join(path), headers, body.clone(), longest).await
}

/// Sends a request and reads the whole answer, if its body is no longer than `longest`.
///
/// # Errors
/// See [`ExchangeError`].
pub async fn send(
    method: Method,
    url: &HttpUrl,
    headers: &HeaderMap,
    body: Bytes,
    longest: usize,
) -> Result<Answer, ExchangeError> {
    let stream = TcpStream::connect((url.host(), url.port())).await.map_err(ExchangeError::Connect)?;
    let request = Request { method, path: url.path().to_owned(), headers: headers.clone(), body };
    let response = exchange(stream, url.authority(), request, |_| Some(longest)).await?;
    Ok(Answer { status: response.status(), body: response.into_body() })
}

/// Sends `request` to `authority` over `stream`, which is used for nothing else. `longest` says for a status how long the
/// body may be, or that nobody wants it; then it is not read.
///
/// # Errors
/// See [`ExchangeError`].
pub async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    authority: &str,
    request: Request,
    longest: impl Fn(StatusCode) -> Option<usize>,
) -> Result<Response<Bytes>, ExchangeError> {
    let Request { method, path, headers, body } = request;
    let mut request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "close")
        .body(Full::new(body))
        .map_err(ExchangeError::Address)?;
    // Theirs win, `Host` included: some servers are told apart by it.
    request.headers_mut().extend(headers);
    let failed = |error| ExchangeError::of(PROTOCOL, error);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let mut exchange = pin!(async move {
        let (head, body) = sender.send_request(request).await.map_err(failed)?.into_parts();
        let body = match longest(head.status) {
            Some(longest) => read_bounded(PROTOCOL, body, longest).await?.to_bytes(),
            None => Bytes::new(),
        };
        Ok(Response::from_parts(head, body))
    });
    // The connection makes the exchange progress. It may end first, with what is left of the answer buffered.
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        _ = connection => exchange.await,
    }
}
