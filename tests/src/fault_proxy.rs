//! A proxy in front of a real server that damages what the server answers.
//!
//! A scripted server shows what a client makes of a script; this shows what it makes of a real store whose answers are
//! hurt on the way. Each request is passed on as it came, `Host` included, since signatures cover that. The answer is
//! read as a whole, given to the damage in force, and sent on as that says, down to a reset in the middle of its head.
//! Connections are kept while answers are whole, as a real proxy keeps them. [`tcp`] does the same below TLS, where
//! nobody can look into an answer.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::fault_server::Request;

pub mod answer;
mod listener;
pub mod tcp;

pub use answer::{Answer, Moment};
use listener::Listener;

/// Longest wait for bytes of a client or of the server behind.
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest answer that is passed on.
const LARGEST: u64 = 256 * 1024 * 1024;

/// What is done to an answer.
pub type Damage = Arc<dyn Fn(&Request, Answer) -> Answer + Send + Sync>;

/// A request that came by, and what was sent of its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The request.
    pub request: Request,
    /// The status of the answer as it was sent.
    pub status: String,
    /// Bytes of its body that were sent.
    pub sent: u64,
}

/// A running proxy.
#[derive(Debug)]
pub struct FaultProxy {
    listener: Listener,
    shared: Arc<Shared>,
}

struct Shared {
    server: u16,
    damage: Mutex<Option<Damage>>,
    exchanges: Mutex<Vec<Exchange>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("server", &self.server).finish_non_exhaustive()
    }
}

impl FaultProxy {
    /// Starts a proxy in front of what listens on a port of the loopback address. It damages nothing yet.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(server: u16) -> Self {
        let (damage, exchanges) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { server, damage, exchanges });
        let of_thread = Arc::clone(&shared);
        // A client that goes away in the middle is what many faults lead to.
        let listener = Listener::start(move |client, stop| drop(of_thread.serve(client, stop)));
        Self { listener, shared }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Damages answers from now on.
    pub fn damage(&self, damage: Damage) {
        *self.shared.damage.lock().unwrap_or_else(PoisonError::into_inner) = Some(damage);
    }

    /// Passes answers on as they are from now on, and forgets what came by.
    pub fn heal(&self) {
        *self.shared.damage.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.shared.exchanges.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What came by so far.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.exchanges.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    fn serve(&self, client: &TcpStream, stop: &AtomicBool) -> io::Result<()> {
        client.set_read_timeout(Some(PATIENCE))?;
        client.set_write_timeout(Some(PATIENCE))?;
        client.set_nodelay(true)?;
        let mut reader = BufReader::new(client);
        while let Some((request, body)) = read_request(&mut reader)? {
            let answer = self.pass_on(&request, &body)?;
            let damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let answer = match damage {
                Some(damage) => damage(&request, answer),
                None => answer,
            };
            let status = answer.status.clone();
            let (sent, outcome) = answer.send(client, stop);
            let exchange = Exchange { request, status, sent };
            self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
            if !outcome? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Asks the server behind, on a connection of its own, and reads the whole of its answer.
    fn pass_on(&self, request: &Request, body: &[u8]) -> io::Result<Answer> {
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.server))?;
        server.set_read_timeout(Some(PATIENCE))?;
        server.set_write_timeout(Some(PATIENCE))?;
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
        for (name, value) in request.headers.iter().filter(|(name, _)| name != "connection") {
            head += &format!("{name}: {value}\r\n");
        }
        server.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
        server.write_all(body)?;
        let mut bytes = Vec::new();
        server.take(LARGEST).read_to_end(&mut bytes)?;
        Answer::parse(&bytes, request.method == "HEAD")
            .ok_or_else(|| io::Error::other("the server behind gave no answer"))
    }
}

/// Reads a request with its body; nothing when the client has no more.
fn read_request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<(Request, Vec<u8>)>> {
    let mut line = || {
        let mut line = String::new();
        reader.by_ref().take(64 * 1024).read_line(&mut line).map(|_| line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let mut headers = Vec::new();
    while let Some((name, value)) = line()?.split_once(':') {
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let request = Request { method, target, headers, body: String::new() };
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    Ok(Some((request, body)))
}
