//! One gRPC call with one message each way, over a connection of its own, with a bounded answer.
//!
//! gRPC is HTTP/2 with a frame around each message and the outcome in the trailers, or in the head where there
//! is no message at all ("trailers-only"). That is little enough to be spoken here, without a framework and
//! its generated code.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper::header::{self, HeaderValue};
use hyper::rt::Executor;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::exchange::{ExchangeError, MAX_HEAD_BYTES, USER_AGENT, read_bounded};
use crate::http_url::HttpUrl;

/// Longest message that is read, with its frame.
const MAX_MESSAGE_BYTES: usize = 4 * 1024;
/// How much a peer may send before it is read: as little as HTTP/2 allows without further words.
const WINDOW_BYTES: u32 = 65_535;
/// A frame's length and its flag.
const PREFIX_BYTES: usize = 5;
const PROTOCOL: &str = "HTTP/2";

/// A complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status of HTTP, which says little: it is 200 for errors of gRPC, too.
    pub http: StatusCode,
    /// The status of gRPC, if this is an answer of gRPC at all.
    pub status: Option<u16>,
    /// What the server adds to that.
    pub detail: String,
    /// The framed message; empty without one.
    pub body: Bytes,
}

impl Reply {
    /// The one message, if there is exactly one, whole and not compressed.
    pub fn message(&self) -> Option<&[u8]> {
        let (prefix, message) = self.body.split_at_checked(PREFIX_BYTES)?;
        let (flag, length) = prefix.split_first()?;
        let length = u32::from_be_bytes(length.try_into().ok()?);
        (*flag == 0 && usize::try_from(length) == Ok(message.len())).then_some(message)
    }
}

/// Frames a message.
pub fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], length.to_be_bytes().as_slice(), message].concat().into()
}

/// Calls the method at `path`, such as `/package.Service/Method`, with one message.
///
/// It must run within a `LocalSet`.
///
/// # Errors
/// See [`ExchangeError`].
pub async fn call(
    server: &HttpUrl,
    path: &str,
    headers: &HeaderMap,
    message: &[u8],
) -> Result<Reply, ExchangeError> {
    let stream = TcpStream::connect((server.host(), server.port())).await.map_err(ExchangeError::Connect)?;
    let mut request = Request::post(format!("http://{}{path}", server.authority()))
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Full::new(frame(message)))
        .map_err(ExchangeError::Address)?;
    request.headers_mut().extend(headers.clone());
    let failed = |error| ExchangeError::of(PROTOCOL, error);
    let tasks = Tasks::default();
    let (mut sender, connection) = http2::Builder::new(tasks.clone())
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    // Whatever way this ends, nothing of it goes on behind the caller's back.
    let _ended = AbortOnDrop(tasks);
    let mut exchange = pin!(async move {
        let response = sender.send_request(request).await.map_err(failed)?;
        let (head, body) = response.into_parts();
        let body = read_bounded(PROTOCOL, body, MAX_MESSAGE_BYTES).await?;
        let (status, detail) = outcome(body.trailers()).or_else(|| outcome(Some(&head.headers))).unzip();
        Ok(Reply { http: head.status, status, detail: detail.unwrap_or_default(), body: body.to_bytes() })
    });
    tokio::select! {
        biased;
        reply = &mut exchange => reply,
        _ = connection => exchange.await,
    }
}

/// `grpc-status` and `grpc-message`, if the former is there and a number.
fn outcome(headers: Option<&HeaderMap>) -> Option<(u16, String)> {
    let text = |name| headers?.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let status = text("grpc-status")?.parse().ok()?;
    Some((status, text("grpc-message").unwrap_or_default().to_owned()))
}

/// What the HTTP/2 library does beside the call, kept together so that it can be ended.
#[derive(Clone, Default)]
struct Tasks(Rc<RefCell<JoinSet<()>>>);

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.borrow_mut().spawn_local(task);
    }
}

struct AbortOnDrop(Tasks);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.0.borrow_mut().abort_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(body: &[u8]) -> Reply {
        Reply { http: StatusCode::OK, status: Some(0), detail: String::new(), body: body.to_vec().into() }
    }

    #[test]
    fn a_message_is_framed_by_its_length() {
        assert_eq!(frame(b"ab").as_ref(), [0, 0, 0, 0, 2, b'a', b'b']);
        assert_eq!(reply(&frame(b"ab")).message(), Some(b"ab".as_slice()));
        assert_eq!(reply(&frame(b"")).message(), Some(b"".as_slice()));
        for wrong in
            [&b""[..], &[0, 0, 0, 0], &[0, 0, 0, 0, 2, 1], &[0, 0, 0, 0, 1, 1, 1], &[1, 0, 0, 0, 1, 1]]
        {
            assert_eq!(reply(wrong).message(), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_outcome_is_a_number_and_may_have_a_text() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
                .collect()
        };
        let of = |pairs| outcome(Some(&headers(pairs)));
        assert_eq!(of(&[("grpc-status", "5"), ("grpc-message", "no")]), Some((5, "no".to_owned())));
        assert_eq!(of(&[("grpc-status", "0")]), Some((0, String::new())));
        assert_eq!(of(&[("grpc-status", "OK")]), None);
        assert_eq!(of(&[("grpc-message", "no")]), None);
        assert_eq!(outcome(None), None);
    }
}
