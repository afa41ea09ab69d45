//! Requests as fast as some clients can make them, each as soon as the one before is answered, and how long each took.
//!
//! The same client for whatever is compared: blocking sockets and one thread per client, so that what is measured is the
//! server and the kernel.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// What to ask, and how.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// The server.
    pub address: SocketAddr,
    /// What is asked for; it has to be answered with 200.
    pub path: &'a str,
    /// How many clients there are.
    pub clients: usize,
    /// How many requests each of them makes.
    pub requests: usize,
    /// Whether a client keeps its connection as long as the server does, or takes a new one for each request.
    pub keep: bool,
}

/// How long answers took, in order.
#[derive(Clone, Debug)]
pub struct Latencies(Vec<Duration>);

impl Load<'_> {
    /// Makes all requests.
    ///
    /// # Panics
    /// When one is not answered as it has to be.
    pub fn run(&self) -> Latencies {
        let mut all = thread::scope(|scope| {
            let clients: Vec<_> = (0..self.clients).map(|_| scope.spawn(|| self.one_client())).collect();
            clients.into_iter().flat_map(|client| client.join().expect("a client ends")).collect::<Vec<_>>()
        });
        all.sort_unstable();
        Latencies(all)
    }

    fn one_client(&self) -> Vec<Duration> {
        let close = if self.keep { "" } else { "Connection: close\r\n" };
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n{close}\r\n", self.path, self.address);
        let (mut connection, mut took) = (None, Vec::with_capacity(self.requests));
        let mut buffer = vec![0; MAX_ANSWER];
        for _ in 0..self.requests {
            let began = Instant::now();
            let mut stream = match connection.take() {
                Some(stream) => stream,
                None => connect(self.address).expect("the server takes a connection"),
            };
            let is_kept = exchange(&mut stream, request.as_bytes(), &mut buffer).expect("an answer with 200");
            took.push(began.elapsed());
            if self.keep && is_kept {
                connection = Some(stream);
            }
        }
        took
    }
}

impl Latencies {
    /// What so many of a thousand answers took at most.
    pub fn per_mille(&self, part: usize) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get((self.0.len() * part / 1000).min(last)).copied().unwrap_or_default()
    }

    /// How many there were.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Makes one request, and gives whether the connection is good for another one.
fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> io::Result<bool> {
    stream.write_all(request)?;
    let (mut filled, mut expected) = (0, None);
    loop {
        let count = stream.read(&mut buffer[filled..])?;
        filled += count;
        let (answer, wrong) = (&buffer[..filled], || io::Error::other("not what was expected"));
        if expected.is_none() {
            expected = head(answer);
        }
        match expected {
            Some((length, is_kept)) if filled >= length => {
                return if answer.starts_with(b"HTTP/1.1 200") { Ok(is_kept) } else { Err(wrong()) };
            }
            _ if count == 0 => return Err(wrong()),
            _ => {}
        }
    }
}

/// How long an answer is in all, and whether the connection is kept, once its head is there.
fn head(answer: &[u8]) -> Option<(usize, bool)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?.to_ascii_lowercase();
    let value = |name: &str| head.split("\r\n").find_map(|line| line.strip_prefix(name)).map(str::trim);
    let body: usize = value("content-length:")?.parse().ok()?;
    Some((end + 4 + body, value("connection:") != Some("close")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault_server::{Answer, FaultServer};

    #[test]
    fn every_request_is_counted_over_kept_and_new_connections() {
        for keep in [true, false] {
            let server = FaultServer::start(move |_, _| {
                let answer = Answer { body: b"hello".to_vec(), ..Answer::status("200 OK") };
                if keep { answer.kept() } else { answer }
            });
            let address = (std::net::Ipv4Addr::LOCALHOST, server.port()).into();
            let latencies = Load { address, path: "/x", clients: 3, requests: 20, keep }.run();
            assert_eq!((latencies.count(), server.requests().len()), (60, 60));
            assert!(latencies.per_mille(500) <= latencies.per_mille(990));
        }
    }
}
