//! A network like the one between a Pod and an object store: latency, and a limit to each connection.
//!
//! A relay in this process, since the kernel's own emulator is not in every kernel and wants root. It takes
//! in at most the limit per connection from the server, and passes every piece on when it is half a round
//! trip old, in either direction. The first request of a connection waits for another round trip, which
//! stands for the handshake. What it does not have is loss, TCP's slow start, and a limit to all connections
//! together.
//!
//! The bytes wait in a pipe and get there and away by `splice(2)`, so that they are not copied: the relay shares
//! the processors with the clients that are measured.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use crate::problem::Outcome;
use crate::relay::{Relay, both_ways};

/// Half of the round trip.
pub const ONE_WAY: Duration = Duration::from_millis(10);
/// Bytes per second of one connection.
pub const LIMIT: u32 = 40_000_000;

/// What opening a connection takes before the first request can be sent.
const HANDSHAKE: Duration = Duration::from_millis(20);
/// What is taken in at once.
const PIECE: usize = 64 * 1024;
/// What can be on its way: more than the limit allows in half a round trip, and what anybody may ask a pipe to hold.
const ON_THE_WAY: usize = 1 << 20;
/// How much time that the machine did not run us is made good.
const MADE_GOOD: Duration = Duration::from_millis(25);
/// A connection that has brought so much is one that is used.
const USED: usize = 1 << 20;

/// A relay before a port.
#[derive(Debug)]
pub struct SlowNetwork {
    relay: Relay,
    used: Arc<Used>,
}

/// How many connections are in use.
#[derive(Debug, Default)]
struct Used {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl SlowNetwork {
    /// Puts the relay before a port of the loopback address.
    pub fn before(server: u16) -> Outcome<Self> {
        let used = Arc::new(Used::default());
        let of_relay = Arc::clone(&used);
        let relay = Relay::before(server, move |client, server| {
            let asked = Line { from: client, to: server, opening: HANDSHAKE, limit: None };
            let answered = Line { from: server, to: client, opening: Duration::ZERO, limit: Some(LIMIT) };
            let none = Used::default();
            both_ways(client, server, || asked.pass(&none), || answered.pass(&of_relay))
        })?;
        Ok(Self { relay, used })
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.relay.port()
    }

    /// The largest number of connections that were used at the same time since this was last asked. One that only
    /// brought a manifest, or was opened and not needed, is none.
    pub fn take_peak(&self) -> usize {
        self.used.peak.swap(self.used.now.load(Ordering::Relaxed), Ordering::Relaxed)
    }
}

/// One direction of a connection.
struct Line<'a> {
    from: &'a TcpStream,
    to: &'a TcpStream,
    /// What its first bytes wait for.
    opening: Duration,
    /// Bytes per second.
    limit: Option<u32>,
}

impl Line<'_> {
    /// Passes bytes on until there are no more, late and not too fast.
    fn pass(&self, used: &Used) -> io::Result<()> {
        let (outlet, inlet) = pipe_with(PipeFlags::CLOEXEC)?;
        fcntl_setpipe_size(&inlet, ON_THE_WAY)?;
        let (sender, receiver) = sync_channel::<(Instant, usize)>(ON_THE_WAY / PIECE * 4);
        thread::scope(|scope| {
            let writer = scope.spawn(|| self.deliver(receiver, outlet));
            let (opened, mut free, mut passed) = (Instant::now(), Instant::now(), 0);
            // The kernel locks a pipe while it waits to fill it, so the waiting is done before.
            while let Ok(1) = self.from.peek(&mut [0])
                && let Ok(count @ 1..) = splice(self.from, None, &inlet, None, PIECE, SpliceFlags::MOVE)
            {
                if passed < USED && passed + count >= USED {
                    let now = used.now.fetch_add(1, Ordering::Relaxed) + 1;
                    used.peak.fetch_max(now, Ordering::Relaxed);
                }
                passed += count;
                if let Some(limit) = self.limit {
                    let now = Instant::now();
                    free = free.max(now.checked_sub(MADE_GOOD).unwrap_or(now));
                    free += Duration::from_secs(1) * u32::try_from(count).unwrap_or(u32::MAX) / limit;
                    thread::sleep(free.saturating_duration_since(now));
                }
                let due = (Instant::now() + ONE_WAY).max(opened + self.opening + ONE_WAY);
                if sender.send((due, count)).is_err() {
                    break;
                }
            }
            if passed >= USED {
                used.now.fetch_sub(1, Ordering::Relaxed);
            }
            drop(sender);
            writer.join().unwrap_or(Ok(()))
        })
    }

    /// Delivers pieces when they are due. Owns its ends, so that who fills the pipe is told when it is over.
    #[allow(clippy::needless_pass_by_value)]
    fn deliver(&self, pieces: Receiver<(Instant, usize)>, outlet: OwnedFd) -> io::Result<()> {
        for (due, mut left) in &pieces {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            while left > 0 {
                left -= splice(&outlet, None, self.to, None, left, SpliceFlags::MOVE)?;
            }
        }
        self.to.shutdown(Shutdown::Write)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener};

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
