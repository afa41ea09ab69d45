//! The HTTP server.
//!
//! | path | answer |
//! |---|---|
//! | `GET /health`, `GET /readyz` | 200 when the Pod may take traffic, else 503; [`Health`] |
//! | `GET /livez` | 200 while the process runs; never depends on the model |
//! | `GET /status` | 200; [`Whole`], everything that is known |
//! | `GET /metrics` | 200; Prometheus text or OpenMetrics, see [`metrics`] |
//! | `GET /` | 200; the same as `/status` for people, see [`page`] |
//!
//! `HEAD` is answered as `GET` without the body. Every body is JSON, but for the metrics and the page, and ends
//! in a newline.
//!
//! Whatever a client does, it costs a bounded amount, and keeps nobody else waiting; see [`connection`].

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::{task, time};
use tracing::warn;

use crate::connection::{self, MAX_SILENT, MAX_SPEAKING, Room};
use crate::metrics::{self, Format};
use crate::page;
use crate::receipt_watch::ReceiptFile;
use crate::report::{Health, Status, Whole};
use crate::state::State;

/// Every path that is served.
const PATHS: [&str; 6] = ["/", "/health", "/readyz", "/livez", "/status", "/metrics"];
/// How many newcomers are taken before those who are here have their turn: few beside [`MAX_SILENT`], so that whoever has
/// just come is heard before others can push it out.
const NEWCOMERS_A_TURN: usize = 16;
/// How long to wait before accepting again when the system refused.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening server. Needs a [`tokio::task::LocalSet`].
pub struct Server {
    listener: TcpListener,
    receipt: Rc<ReceiptFile>,
    state: Rc<RefCell<State>>,
    silent: Room,
    speaking: Room,
    stopping: watch::Sender<bool>,
}

impl Server {
    /// A server that answers from `state`, once it has looked whether the receipt is still the one it was.
    pub fn new(listener: TcpListener, receipt: Rc<ReceiptFile>, state: Rc<RefCell<State>>) -> Self {
        let (silent, speaking) = (Room::new(MAX_SILENT), Room::new(MAX_SPEAKING));
        Self { listener, receipt, state, silent, speaking, stopping: watch::Sender::new(false) }
    }

    /// Serves until the future is dropped. Connections then go on, until [`Self::finish`].
    pub async fn run(&mut self) -> Infallible {
        loop {
            for _ in 0..NEWCOMERS_A_TURN {
                match self.listener.accept().await {
                    Ok((stream, _)) => self.admit(stream),
                    // The client has thought better of it.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        warn!("cannot accept a connection: {error}");
                        time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
            task::yield_now().await;
        }
    }

    fn admit(&self, stream: TcpStream) {
        let (receipt, state) = (Rc::clone(&self.receipt), Rc::clone(&self.state));
        let answer = move |request: &Request<Incoming>| {
            receipt.look(&state);
            route(&state, request)
        };
        let (seat, speaking) = (self.silent.enter(), self.speaking.clone());
        task::spawn_local(connection::serve(stream, seat, speaking, answer, self.stopping.subscribe()));
    }

    /// Accepts no more and lets open connections finish the answer they are at.
    pub async fn finish(self) {
        drop(self.listener);
        self.stopping.send_replace(true);
        // Each connection listens until it ends.
        self.stopping.closed().await;
    }
}

fn route(state: &RefCell<State>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    match request.uri().path() {
        path if !reads && PATHS.contains(&path) => {
            let mut response =
                json(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": "expected method GET or HEAD"}));
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        "/health" | "/readyz" => {
            let mut state = state.borrow_mut();
            let verdict = state.verdict();
            let health = Health::new(&state, verdict);
            let status = match health.status {
                Status::Ready => StatusCode::OK,
                Status::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            };
            json(status, &health)
        }
        "/livez" => json(StatusCode::OK, &json!({"status": "alive"})),
        "/status" => {
            let mut state = state.borrow_mut();
            let verdict = state.verdict();
            json(StatusCode::OK, &Whole::new(&state, verdict))
        }
        "/metrics" => {
            let accept = request.headers().get_all(ACCEPT).into_iter();
            let format = Format::accepted(accept.filter_map(|value| value.to_str().ok()));
            let mut state = state.borrow_mut();
            let verdict = state.verdict();
            let text = metrics::render(&state, &verdict, format);
            let mut response = respond(StatusCode::OK, format.content_type(), text);
            response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
            response
        }
        "/" => {
            let mut state = state.borrow_mut();
            let verdict = state.verdict();
            let text = page::render(&Whole::new(&state, verdict), Timestamp::now());
            let mut response = respond(StatusCode::OK, "text/html; charset=utf-8", text);
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, page::policy::policy());
            response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            response
        }
        _ => json(StatusCode::NOT_FOUND, &json!({"error": "no such path", "paths": PATHS})),
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_string(body) {
        Ok(text) => respond(status, "application/json", text + "\n"),
        Err(_) => respond(StatusCode::INTERNAL_SERVER_ERROR, "application/json", "{}\n".to_owned()),
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
