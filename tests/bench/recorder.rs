//! A relay that writes down when something was asked and when it was answered, without delaying it.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::problem::Outcome;
use crate::relay::{Relay, both_ways};

const PIECE: usize = 64 * 1024;

/// One question on one connection.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Which connection.
    connection: usize,
    /// The first line of the request.
    pub line: String,
    /// When the request came.
    pub asked: Instant,
    /// When the last byte of the answer came, so far.
    answered: Instant,
}

impl Exchange {
    /// How long the answer took.
    pub fn duration(&self) -> Duration {
        self.answered.duration_since(self.asked)
    }
}

/// A relay that keeps account.
#[derive(Debug)]
pub struct Recorder {
    relay: Relay,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    connections: AtomicUsize,
    exchanges: Mutex<Vec<Exchange>>,
}

impl Recorder {
    /// Puts the relay before a port of the loopback address.
    pub fn before(server: u16) -> Outcome<Self> {
        let shared = Arc::new(Shared::default());
        let of_relay = Arc::clone(&shared);
        let relay = Relay::before(server, move |client, server| record(client, server, &of_relay))?;
        Ok(Self { relay, shared })
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.relay.port()
    }

    /// What was asked since this was last called, in order.
    pub fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut *self.shared.exchanges.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn record(client: &TcpStream, server: &TcpStream, shared: &Shared) -> io::Result<()> {
    let connection = shared.connections.fetch_add(1, Ordering::Relaxed);
    let asked = |piece: &[u8]| {
        let line = String::from_utf8_lossy(piece.split(|byte| *byte == b'\r').next().unwrap_or_default());
        let now = Instant::now();
        let exchange = Exchange { connection, line: line.into_owned(), asked: now, answered: now };
        shared.exchanges.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
    };
    let answered = |_: &[u8]| {
        let mut exchanges = shared.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        let mut latest = exchanges.iter_mut().rev();
        if let Some(exchange) = latest.find(|exchange| exchange.connection == connection) {
            exchange.answered = Instant::now();
        }
    };
    both_ways(client, server, || pass(client, server, asked), || pass(server, client, answered))
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, note: impl Fn(&[u8])) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece)?;
        if count == 0 {
            return to.shutdown(Shutdown::Write);
        }
        note(&piece[..count]);
        to.write_all(&piece[..count])?;
    }
}
