//! A relay that writes down when something was asked and when it was answered, without delaying it.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::problem::{Outcome, Problem};

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

/// A relay before a port.
#[derive(Debug)]
pub struct Recorder {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    ended: AtomicBool,
    connections: AtomicUsize,
    exchanges: Mutex<Vec<Exchange>>,
}

impl Recorder {
    /// Puts the relay before a port of the loopback address.
    pub fn before(server: u16) -> Outcome<Self> {
        let problem = |error: io::Error| Problem::new(format!("cannot start the recorder: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(problem)?;
        let port = listener.local_addr().map_err(problem)?.port();
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if of_thread.ended.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                thread::spawn(move || relay(&client, server, &shared));
            }
        });
        Ok(Self { port, shared })
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What was asked since this was last called, in order.
    pub fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut *self.shared.exchanges.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn relay(client: &TcpStream, server: u16, shared: &Shared) -> io::Result<()> {
    let connection = shared.connections.fetch_add(1, Ordering::Relaxed);
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
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
    thread::scope(|scope| {
        let up = scope.spawn(|| pass(client, &server, asked));
        let down = pass(&server, client, answered);
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
        let _ = up.join();
        down
    })
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
