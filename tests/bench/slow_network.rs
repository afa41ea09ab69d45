//! A network like the one between a Pod and an object store: latency, and a limit to each connection.
//!
//! A relay in this process, since the kernel's own emulator is not in every kernel and wants root. It takes
//! in at most the limit per connection from the server, and passes every piece on when it is half a round
//! trip old, in either direction. The first request of a connection waits for another round trip, which
//! stands for the handshake. What it does not have is loss, TCP's slow start, and a limit to all connections
//! together.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::problem::{Outcome, Problem};

/// Half of the round trip.
pub const ONE_WAY: Duration = Duration::from_millis(10);
/// Bytes per second of one connection.
pub const LIMIT: u32 = 40_000_000;

/// What opening a connection takes before the first request can be sent.
const HANDSHAKE: Duration = Duration::from_millis(20);
/// What is taken in at once.
const PIECE: usize = 64 * 1024;
/// How many pieces are on their way at most: more than the limit allows in half a round trip.
const ON_THE_WAY: usize = 64;
/// How much time that the machine did not run us is made good.
const MADE_GOOD: Duration = Duration::from_millis(25);

/// A relay before a port.
#[derive(Debug)]
pub struct SlowNetwork {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    ended: AtomicBool,
    connections: AtomicUsize,
    peak: AtomicUsize,
}

impl SlowNetwork {
    /// Puts the relay before a port of the loopback address.
    pub fn before(server: u16) -> Outcome<Self> {
        let problem = |error: io::Error| Problem::new(format!("cannot start the slow network: {error}"));
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
                thread::spawn(move || {
                    let now = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
                    shared.peak.fetch_max(now, Ordering::Relaxed);
                    // A connection that breaks is the client's business.
                    let _ = relay(&client, server);
                    shared.connections.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Ok(Self { port, shared })
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The largest number of connections at the same time since this was last asked.
    pub fn take_peak(&self) -> usize {
        self.shared.peak.swap(self.shared.connections.load(Ordering::Relaxed), Ordering::Relaxed)
    }
}

impl Drop for SlowNetwork {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn relay(client: &TcpStream, server: u16) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    thread::scope(|scope| {
        let up = scope.spawn(|| pass(client, &server, HANDSHAKE, None));
        let down = pass(&server, client, Duration::ZERO, Some(LIMIT));
        // When the server is done or the client is gone, nothing more can come.
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
        let _ = up.join();
        down
    })
}

/// Passes bytes on until there are no more, late and not too fast.
fn pass(
    mut from: &TcpStream,
    to: &TcpStream,
    before_the_first: Duration,
    limit: Option<u32>,
) -> io::Result<()> {
    let (sender, receiver) = sync_channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    thread::scope(|scope| {
        let writer = scope.spawn(move || deliver(&receiver, to));
        let mut free = Instant::now();
        let opened = Instant::now();
        loop {
            let mut piece = vec![0; PIECE];
            let count = match from.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(count) => count,
            };
            piece.truncate(count);
            if let Some(limit) = limit {
                let now = Instant::now();
                free = free.max(now.checked_sub(MADE_GOOD).unwrap_or(now));
                free += Duration::from_secs(1) * u32::try_from(count).unwrap_or(u32::MAX) / limit;
                thread::sleep(free.saturating_duration_since(now));
            }
            let due = (Instant::now() + ONE_WAY).max(opened + before_the_first + ONE_WAY);
            if sender.send((due, piece)).is_err() {
                break;
            }
        }
        drop(sender);
        writer.join().unwrap_or(Ok(()))
    })
}

fn deliver(pieces: &Receiver<(Instant, Vec<u8>)>, mut to: &TcpStream) -> io::Result<()> {
    for (due, piece) in pieces {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        to.write_all(&piece)?;
    }
    to.shutdown(Shutdown::Write)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers one byte with a second's worth of bytes.
    fn server() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut stream = &stream;
                    stream.read_exact(&mut [0]).unwrap();
                    stream.write_all(&vec![7; 20_000_000]).unwrap();
                });
            }
        });
        port
    }

    #[test]
    fn a_connection_is_late_and_limited() {
        let network = SlowNetwork::before(server()).unwrap();
        let started = Instant::now();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, network.port())).unwrap();
        stream.write_all(&[1]).unwrap();
        stream.read_exact(&mut [0]).unwrap();
        assert!(started.elapsed() >= Duration::from_millis(40), "{:?}", started.elapsed());
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest.len(), 19_999_999);
        let seconds = started.elapsed().as_secs_f64();
        assert!((0.5..1.5).contains(&seconds), "{seconds}");
        assert_eq!(network.take_peak(), 1);
    }
}
