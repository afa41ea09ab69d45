//! An HTTP server that answers as a test tells it to, for the faults that a real server cannot be made to show.
//!
//! Each connection is one thread and carries one request, or as many as the answers keep it for. The test's function
//! sees the request and gives the answer, down to where the body is cut.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What is larger is an upload.
const LARGEST_QUESTION: u64 = 64 * 1024;
/// In how many pieces a second a slow body is sent.
const PIECES_A_SECOND: usize = 100;

/// A request, as far as tests look at it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub target: String,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body of a question; that of an upload is left where it is.
    pub body: String,
}

impl Request {
    /// The first value of a header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first byte that the request asks for, if it asks for a range.
    pub fn offset(&self) -> Option<usize> {
        self.range().map(|(first, _)| first)
    }

    /// First and last byte of `Range: bytes=<first>-<last>`; the last may be missing.
    pub fn range(&self) -> Option<(usize, Option<usize>)> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()))
    }
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status line after the version, e.g. `200 OK`.
    pub status: String,
    /// Headers as they are sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Length to announce instead of the body's.
    pub announced: Option<usize>,
    /// Pause after the first half of the body, as long as the test runs at most.
    pub stall: Duration,
    /// Bytes of the body to send a second; 0 for as many as go.
    pub pace: usize,
    /// Whether the connection stays open for another request.
    pub keep: bool,
}

impl Answer {
    /// An answer without a body.
    pub fn status(status: &str) -> Self {
        Self { status: status.to_owned(), ..Self::default() }
    }

    /// The answer to a request for `content`, by the rules: the range that is asked for, with an ETag.
    pub fn file(request: &Request, content: &[u8], etag: &str) -> Self {
        let end = content.len().saturating_sub(1);
        let range = request.range().map(|(first, last)| (first, last.unwrap_or(end).min(end)));
        let (status, body) = match range {
            Some((first, last)) => ("206 Partial Content", content.get(first..=last).unwrap_or_default()),
            None => ("200 OK", content),
        };
        let answer = Self { status: status.to_owned(), body: body.to_vec(), ..Self::default() };
        let answer = answer.with("ETag", etag);
        match range {
            Some((first, last)) => {
                answer.with("Content-Range", &format!("bytes {first}-{last}/{}", content.len()))
            }
            None => answer,
        }
    }

    /// Keeps the connection open for another request.
    pub fn kept(self) -> Self {
        Self { keep: true, ..self }
    }

    /// Adds a header.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// An answer that does not say beforehand how long it is. Cut off below its length, it breaks in the middle.
    pub fn chunked(content: &[u8]) -> Self {
        let mut body = format!("{:x}\r\n", content.len()).into_bytes();
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n0\r\n\r\n");
        Self { body, ..Self::status("200 OK") }.with("Transfer-Encoding", "chunked")
    }

    /// Sends the body slowly.
    pub fn paced(self, bytes_per_second: usize) -> Self {
        Self { pace: bytes_per_second, ..self }
    }

    /// Announces the whole body and sends only so much of it.
    pub fn cut(mut self, length: usize) -> Self {
        self.announced = Some(self.body.len());
        self.body.truncate(length);
        self
    }
}

/// A running server.
#[derive(Debug)]
pub struct FaultServer {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    answering: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl FaultServer {
    /// Starts a server. The function gets each request with its number, from 0.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(answer: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let server = Self {
            port,
            requests: Arc::default(),
            answering: Arc::default(),
            connections: Arc::default(),
            stop: Arc::default(),
        };
        let (requests, stop) = (Arc::clone(&server.requests), Arc::clone(&server.stop));
        let (answering, connections) = (Arc::clone(&server.answering), Arc::clone(&server.connections));
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                connections.fetch_add(1, Ordering::Relaxed);
                let (requests, answer) = (Arc::clone(&requests), Arc::clone(&answer));
                let answering = Arc::clone(&answering);
                thread::spawn(move || {
                    answering.fetch_add(1, Ordering::Relaxed);
                    // A client that goes away in the middle is what some tests want.
                    let _ = serve(&stream, &requests, answer.as_ref());
                    answering.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        server
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many connections are open now. A client that went away is noticed with the next bytes for it.
    pub fn answering(&self) -> usize {
        self.answering.load(Ordering::Relaxed)
    }

    /// The requests so far.
    ///
    /// # Panics
    /// When a test's function has panicked.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no answer panicked").clone()
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the accepting thread, which then sees that it is to stop.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn serve(
    stream: &TcpStream,
    requests: &Mutex<Vec<Request>>,
    answer: &(impl Fn(usize, &Request) -> Answer + ?Sized),
) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut lines = reader.by_ref().lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        if first.is_empty() {
            return Ok(());
        }
        let mut words = first.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut headers = Vec::new();
        for line in lines.by_ref() {
            let line = line?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Request { method, target, headers, body: String::new() };
        let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if length <= LARGEST_QUESTION {
            reader.by_ref().take(length).read_to_string(&mut request.body)?;
        }
        let number = {
            let mut requests = requests.lock().map_err(|_| io::Error::other("an answer panicked"))?;
            requests.push(request.clone());
            requests.len() - 1
        };
        let answer = answer(number, &request);
        send(stream, &answer)?;
        if !answer.keep {
            return Ok(());
        }
    }
}

fn send(mut stream: &TcpStream, answer: &Answer) -> io::Result<()> {
    let connection = if answer.keep { "keep-alive" } else { "close" };
    let mut head = format!("HTTP/1.1 {}\r\nConnection: {connection}\r\n", answer.status);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !answer.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding")) {
        head += &format!("Content-Length: {}\r\n", answer.announced.unwrap_or(answer.body.len()));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    let (before, after) = answer.body.split_at(answer.body.len() / 2);
    send_body(stream, before, answer.pace)?;
    if !answer.stall.is_zero() {
        thread::sleep(answer.stall);
    }
    send_body(stream, after, answer.pace)
}

fn send_body(mut stream: &TcpStream, body: &[u8], pace: usize) -> io::Result<()> {
    if pace == 0 {
        return stream.write_all(body);
    }
    let number = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let (started, mut sent) = (Instant::now(), 0);
    for piece in body.chunks((pace / PIECES_A_SECOND).max(1)) {
        stream.write_all(piece)?;
        sent += piece.len();
        // By the clock, so that sleeping too long once does not slow the whole.
        let due = Duration::from_secs(1) * number(sent) / number(pace);
        thread::sleep(due.saturating_sub(started.elapsed()));
    }
    Ok(())
}
