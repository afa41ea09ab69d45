//! The `serve` command: watch the receipt, probe the server, answer, until told to stop.
//!
//! Five loops share one thread and one [`State`]. Probing waits for a receipt, since no answer before it
//! would count, and starts at once when one is accepted.
//!
//! The end, on SIGTERM or SIGINT: `/health` turns red at once and stays served for the drain time, so that
//! whoever routes traffic learns of it; then open connections finish, and the process exits with 0. A second
//! signal cuts the drain time short.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::pending;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::{runtime, time};
use tracing::info;

use crate::condition;
use crate::config::ServeConfig;
use crate::listen::listen;
use crate::probe::Probe;
use crate::readiness::Phase;
use crate::receipt_watch::{self, ReceiptFile};
use crate::server::Server;
use crate::shutdown::Signals;
use crate::smoke::Smoke;
use crate::state::State;

/// How long at most between probes while the server is loading: someone is waiting.
const LOADING_INTERVAL: Duration = Duration::from_millis(500);
/// How often to look, while smoke requests are under way, whether they are still of use.
const SMOKE_LOOK: Duration = Duration::from_millis(50);
/// Threads for what blocks: checking a receipt's files, and looking up the server's name.
const MAX_BLOCKING_THREADS: usize = 2;
/// How long such a thread is kept when it is done.
const BLOCKING_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Why serving could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No runtime.
    #[error("cannot start the event loop")]
    Runtime(#[source] io::Error),
    /// No signal handlers.
    #[error("cannot install signal handlers")]
    Signals(#[source] io::Error),
    /// No port.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Serves until a signal ends it.
///
/// # Errors
/// See [`ServeError`].
pub fn serve(config: ServeConfig) -> Result<(), ServeError> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_KEEP_ALIVE)
        .build()
        .map_err(ServeError::Runtime)?;
    let outcome = LocalSet::new().block_on(&runtime, run(config));
    // A check of many files that is under way must not hold the process.
    runtime.shutdown_background();
    outcome
}

async fn run(config: ServeConfig) -> Result<(), ServeError> {
    let mut signals = Signals::install().map_err(ServeError::Signals)?;
    let refused = |source| ServeError::Listen { address: config.listen, source };
    let listener = listen(config.listen).map_err(refused)?;
    info!("listening on {}", listener.local_addr().map_err(refused)?);

    let state = Rc::new(RefCell::new(State::new(config.expected.clone(), config.rules)));
    let receipt = Rc::new(ReceiptFile::new(&config.layout));
    let mut server = Server::new(listener, Rc::clone(&receipt), Rc::clone(&state));
    if let Some(reporter) = &config.reporter {
        state.borrow_mut().report_to(reporter.target.clone());
    }
    let (checked, loaded) = (Notify::new(), Notify::new());
    let interval = config.rules.interval();
    let watching = receipt_watch::watch(config.layout, config.expected, &receipt, interval, &state, &checked);
    tokio::select! {
        never = server.run() => match never {},
        never = watching => match never {},
        never = probe(&config.probe, interval, &state, &checked, &loaded) => match never {},
        never = smoke(config.smoke.as_ref(), config.rules.period, &state, &loaded) => match never {},
        never = condition::keep(config.reporter.as_ref(), &state) => match never {},
        () = signals.next() => {}
    }
    state.borrow_mut().drain();
    tokio::select! {
        never = server.run() => match never {},
        () = time::sleep(config.drain) => {}
        () = signals.next() => {}
    }
    server.finish().await;
    Ok(())
}

async fn probe(
    probe: &Probe,
    interval: Duration,
    state: &RefCell<State>,
    checked: &Notify,
    loaded: &Notify,
) -> Infallible {
    loop {
        if state.borrow().receipt().is_none() {
            checked.notified().await;
            continue;
        }
        let began = Instant::now();
        let word = probe.ask().await;
        state.borrow_mut().probe(&word, began);
        if word.is_loaded() {
            loaded.notify_one();
        }
        let ready = state.borrow_mut().verdict().phase == Phase::Ready;
        let pause = if ready { interval } else { interval.min(LOADING_INTERVAL) };
        tokio::select! {
            () = time::sleep_until((began + jittered(pause)).into()) => {}
            () = checked.notified() => {}
        }
    }
}

/// Makes the smoke requests whenever they are wanted, beside the probes, whose words have to stay fresh meanwhile. A run
/// for a server that is lost is given up: the next one must not wait for it.
async fn smoke(
    smoke: Option<&Smoke>,
    pause: Duration,
    state: &RefCell<State>,
    loaded: &Notify,
) -> Infallible {
    let Some(smoke) = smoke else { return pending().await };
    loop {
        let Some(since) = state.borrow().wants_smoke() else {
            loaded.notified().await;
            continue;
        };
        let outcome = tokio::select! {
            outcome = smoke.run() => outcome,
            () = lost(since, state) => continue,
        };
        let has_failed = outcome.failed.is_some();
        state.borrow_mut().smoke(outcome, since);
        if has_failed {
            tokio::select! {
                () = time::sleep(pause) => {}
                () = lost(since, state) => {}
            }
        }
    }
}

/// Waits until the server's word of `since` no longer asks for smoke requests.
async fn lost(since: Instant, state: &RefCell<State>) {
    while state.borrow().wants_smoke() == Some(since) {
        time::sleep(SMOKE_LOOK).await;
    }
}

/// A little less than `pause`, each time another part of it, so that the Pods of a node do not all ask at once. Never more:
/// a good word must not get too old.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 1024;
    pause - pause * u32::try_from(random).unwrap_or(0) / 10_240
}
