//! A stand-in for a model server: what it says, and how badly, is set while it runs.

#![allow(clippy::unwrap_used, reason = "a helper of tests, outside #[test] functions")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// Longest request that is read.
const MAX_REQUEST: u64 = 1024 * 1024;

/// What the server does with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Says {
    /// Answers with this status and body, whatever is asked for.
    Always(u16, String),
    /// Answers with the body of the path that is asked for, else with 404.
    Paths(Vec<(&'static str, u16, String)>),
    /// The same, and never answers about any other path.
    PathsAndSilence(Vec<(&'static str, u16, String)>),
    /// Answers with this many 500, which say nothing of the model, then with 200.
    Failures(u32),
    /// Answers with the head of the request.
    Echo,
    /// Says nothing until it is told to say something else, and then says `200`, as if it had thought of it before.
    Nothing,
    /// Says something that is not HTTP.
    Garbage,
    /// Never stops talking.
    Endless,
    /// Sends its head a byte now and then.
    Drip,
    /// Hangs up.
    HangUp,
    /// Promises more than it sends.
    Cut,
}

impl Says {
    pub fn loaded() -> Self {
        Self::Always(200, "\n".into())
    }

    pub fn loading() -> Self {
        Self::Always(503, "loading\n".into())
    }
}

struct Shared {
    says: Mutex<Says>,
    changed: Condvar,
    /// Whole requests, as they came in.
    asked: Mutex<Vec<String>>,
}

pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl ModelServer {
    pub fn start(says: Says) -> Self {
        Self::start_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), says)
    }

    /// Starts on a port that somebody may have tried before.
    pub fn start_on(listener: TcpListener, says: Says) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            says: Mutex::new(says),
            changed: Condvar::new(),
            asked: Mutex::new(Vec::new()),
        });
        let server = Self { address, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A client that hangs up ends its thread; the errors of that are of no interest.
                thread::spawn(move || drop(serve(stream, &shared)));
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn say(&self, says: Says) {
        *self.shared.says.lock().unwrap() = says;
        self.shared.changed.notify_all();
    }

    /// The paths that were asked for so far.
    pub fn asked(&self) -> Vec<String> {
        self.requests().iter().map(|request| path_of(request).to_owned()).collect()
    }

    /// The requests so far, whole: line, headers and body.
    pub fn requests(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut request = String::new();
    let mut reader = BufReader::new(stream.try_clone()?.take(MAX_REQUEST));
    while !request.ends_with("\r\n\r\n") {
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
    }
    let head = request.clone();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    reader.take(length.unwrap_or(0)).read_to_string(&mut request)?;
    let path = path_of(&request).to_owned();
    shared.asked.lock().unwrap().push(request);
    let says = shared.says.lock().unwrap().clone();
    match says {
        Says::Always(status, body) => answer(&mut stream, status, &body),
        Says::Paths(paths) => match paths.iter().find(|(known, ..)| *known == path) {
            Some((_, status, body)) => answer(&mut stream, *status, body),
            None => answer(&mut stream, 404, "{}"),
        },
        Says::PathsAndSilence(paths) => match paths.iter().find(|(known, ..)| *known == path) {
            Some((_, status, body)) => answer(&mut stream, *status, body),
            // Whoever asked hangs up some time.
            None => stream.read_to_end(&mut Vec::new()).map(drop),
        },
        Says::Echo => answer(&mut stream, 200, &head),
        Says::Failures(left) => {
            let mut says = shared.says.lock().unwrap();
            *says = if left > 1 { Says::Failures(left - 1) } else { Says::loaded() };
            drop(says);
            answer(&mut stream, 500, "")
        }
        Says::Nothing => {
            let says = shared.says.lock().unwrap();
            drop(shared.changed.wait_while(says, |says| *says == Says::Nothing).unwrap());
            answer(&mut stream, 200, "\n")
        }
        Says::Garbage => stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n\r\n"),
        Says::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            loop {
                stream.write_all(&[b'a'; 4096])?;
            }
        }
        Says::Drip => loop {
            stream.write_all(b"HTTP/1.1 200 OK\r\nx: ")?;
            thread::sleep(Duration::from_millis(20));
            stream.write_all(b"y\r\n")?;
        },
        Says::HangUp => Ok(()),
        Says::Cut => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbut"),
    }
}

fn path_of(request: &str) -> &str {
    request.split(' ').nth(1).unwrap_or_default()
}

fn answer(stream: &mut TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    let length = body.len();
    // Every redirect leads to a place that would say "loaded".
    let location = if (300..400).contains(&status) { "Location: /loaded\r\n" } else { "" };
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{location}\r\n{body}")
}
