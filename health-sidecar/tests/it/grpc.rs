//! Answers over HTTP/2 that a healthy gRPC server does not give, and the short form that some give.
//!
//! A real server is asked in `tests/it/model_servers.rs` of the workspace.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test] functions")]

use std::convert::Infallible;
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime;

use crate::asking::Asking;

/// What the server answers: a status of HTTP, the outcome in the head, the body, and the outcome in the trailers.
#[derive(Clone, Copy)]
struct Script {
    http: u16,
    head: Option<&'static str>,
    body: &'static [u8],
    trailers: Option<&'static str>,
}

const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
const LOADED: Script = Script { http: 200, head: None, body: SERVING, trailers: Some("0") };

fn outcome(status: Option<&'static str>) -> HeaderMap {
    status
        .map(|status| ("grpc-status".parse().unwrap(), HeaderValue::from_static(status)))
        .into_iter()
        .collect()
}

fn answer(script: Script) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let body = Full::new(Bytes::from_static(script.body));
    let body = match script.trailers {
        None => body.boxed_unsync(),
        trailers => body.with_trailers(async move { Some(Ok(outcome(trailers))) }).boxed_unsync(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = script.http.try_into().unwrap();
    response.headers_mut().extend(outcome(script.head));
    response
}

/// Starts a server that gives this answer to one connection after the other; its address.
fn start(script: Script) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let service = service_fn(move |request: Request<_>| async move {
                    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                    assert_eq!(request.headers()["te"], "trailers");
                    Ok::<_, Infallible>(answer(script))
                });
                // Whoever asked may hang up at any time.
                let _ = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        });
    });
    url
}

#[test]
fn the_outcome_is_in_the_trailers_or_alone_in_the_head() {
    const ENDLESS: &[u8] = &[0; 100_000];
    let rows = [
        (LOADED, "loaded", ""),
        (Script { body: &[0, 0, 0, 0, 2, 8, 2], ..LOADED }, "not loaded", "NOT_SERVING"),
        (Script { body: b"", head: Some("5"), trailers: None, ..LOADED }, "not loaded", "got NOT_FOUND"),
        (Script { body: b"", head: Some("12"), trailers: None, ..LOADED }, "unclear", "got UNIMPLEMENTED"),
        // What the trailers say counts, however the answer began.
        (Script { trailers: Some("14"), ..LOADED }, "unclear", "got UNAVAILABLE"),
        (Script { head: Some("0"), trailers: Some("13"), ..LOADED }, "unclear", "got INTERNAL"),
        // No outcome at all: cut, or not gRPC.
        (Script { trailers: None, ..LOADED }, "unclear", "got no status of gRPC, 200 OK of HTTP"),
        (
            Script { http: 404, body: b"nothing", trailers: None, ..LOADED },
            "unclear",
            "404 Not Found of HTTP",
        ),
        (Script { body: &SERVING[..6], ..LOADED }, "unclear", "got no health answer"),
        (Script { body: b"", ..LOADED }, "unclear", "got no health answer"),
        (Script { body: ENDLESS, ..LOADED }, "unclear", "the answer is longer than 4096 bytes"),
    ];
    for (script, word, text) in rows {
        let (sort, said) = Asking::new("grpc", &start(script), &["--grpc-service", "m"]).sort();
        assert_eq!(sort, word, "{text}: {said}");
        assert!(said.contains(text), "expected `{text}` in `{said}`");
    }
}
