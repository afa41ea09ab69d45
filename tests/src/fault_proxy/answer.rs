//! An answer on its way through the proxy: what a server said, what is made of it, and how it is sent.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt;

use crate::http;

/// How long something without an end goes on, and how many bytes it gives, if nobody ends it before.
const LONGEST: Duration = Duration::from_secs(30);
const MOST: u64 = 4 * 1024 * 1024 * 1024;
/// In how many pieces a second a slow body is sent.
const PIECES_A_SECOND: u64 = 20;

/// Where in an answer something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before its first byte.
    Before,
    /// In the middle of its head.
    InHead,
    /// After so many bytes of its body.
    InBody(u64),
}

/// What happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    Reset,
    Close,
    Stall,
    Endless,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status line after the version, e.g. `200 OK`.
    pub status: String,
    /// Headers, without those about the connection and the length of the body.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The length to announce; none for a body in chunks.
    length: Option<u64>,
    breaks: Option<(Moment, Break)>,
    pace: u64,
}

impl Answer {
    /// An answer without a body.
    pub fn new(status: &str) -> Self {
        let (headers, body) = (Vec::new(), Vec::new());
        Self { status: status.to_owned(), headers, body, length: Some(0), breaks: None, pace: 0 }
    }

    /// Reads what a server sent. `bare` is for an answer that is all head.
    pub(super) fn parse(bytes: &[u8], bare: bool) -> Option<Self> {
        let response = http::parse(bytes, bare)?;
        let status = format!("{} {}", response.status, reason(response.status));
        let announced = response.header("content-length").and_then(|length| length.parse().ok());
        let length = if bare { announced } else { u64::try_from(response.body.len()).ok() };
        let about_connection = ["connection", "content-length", "transfer-encoding", "keep-alive"];
        let headers = response.headers.into_iter();
        let headers = headers.filter(|(name, _)| !about_connection.contains(&name.as_str())).collect();
        Some(Self { status, headers, body: response.body, length, breaks: None, pace: 0 })
    }

    /// The first value of a header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Leaves a header out, whose name is given in lower case.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self
    }

    /// Sets a header, whose name is given in lower case.
    pub fn with(self, name: &str, value: &str) -> Self {
        let mut answer = self.without(name);
        answer.headers.push((name.to_owned(), value.to_owned()));
        answer
    }

    /// Changes a header's value, if it is there.
    pub fn changed(self, name: &str, change: impl FnOnce(&str) -> String) -> Self {
        match self.header(name).map(change) {
            Some(value) => self.with(name, &value),
            None => self,
        }
    }

    /// Has another status.
    pub fn status(self, status: &str) -> Self {
        Self { status: status.to_owned(), ..self }
    }

    /// Has another body, and its length.
    pub fn body(self, body: Vec<u8>) -> Self {
        Self { length: u64::try_from(body.len()).ok(), body, ..self }
    }

    /// Has another text for its body.
    pub fn text(self, change: impl FnOnce(&str) -> String) -> Self {
        let text = change(&String::from_utf8_lossy(&self.body));
        self.body(text.into_bytes())
    }

    /// Flips one bit in the middle of the body.
    pub fn flipped(mut self) -> Self {
        let middle = self.body.len() / 2;
        if let Some(byte) = self.body.get_mut(middle) {
            *byte ^= 1;
        }
        self
    }

    /// Announces so many bytes more than there are, or less.
    pub fn announcing(self, more: i64) -> Self {
        Self { length: self.length.map(|length| length.saturating_add_signed(more)), ..self }
    }

    /// Does not say how long it is.
    pub fn chunked(self) -> Self {
        Self { length: None, ..self }
    }

    /// Resets the connection.
    pub fn reset(self, moment: Moment) -> Self {
        Self { breaks: Some((moment, Break::Reset)), ..self }
    }

    /// Closes the connection in good order.
    pub fn closed(self, moment: Moment) -> Self {
        Self { breaks: Some((moment, Break::Close)), ..self }
    }

    /// Says no more.
    pub fn stalled(self, moment: Moment) -> Self {
        Self { breaks: Some((moment, Break::Stall)), ..self }
    }

    /// Goes on for ever, with more headers or more of the body.
    pub fn endless(self, moment: Moment) -> Self {
        Self { breaks: Some((moment, Break::Endless)), ..self }
    }

    /// Sends so many bytes of the body a second.
    pub fn paced(self, bytes_per_second: u64) -> Self {
        Self { pace: bytes_per_second, ..self }
    }

    /// A moment in the middle of the body.
    pub fn half(&self) -> Moment {
        Moment::InBody(u64::try_from(self.body.len() / 2).unwrap_or(0))
    }

    /// Sends it. Gives how much of the body went, and whether the connection can be used again.
    pub(super) fn send(&self, client: &TcpStream, stop: &AtomicBool) -> (u64, io::Result<bool>) {
        let mut sent = 0;
        let outcome = self.try_send(client, stop, &mut sent);
        (sent, outcome)
    }

    fn try_send(&self, mut client: &TcpStream, stop: &AtomicBool, sent: &mut u64) -> io::Result<bool> {
        let head = self.head();
        let body_end = u64::try_from(self.body.len()).unwrap_or(u64::MAX);
        let (of_head, of_body) = match self.breaks {
            None => (head.len(), body_end),
            Some((Moment::Before, _)) => (0, 0),
            Some((Moment::InHead, Break::Endless)) => (head.len() - 2, 0),
            Some((Moment::InHead, _)) => (head.len() / 2, 0),
            Some((Moment::InBody(bytes), _)) => (head.len(), bytes.min(body_end)),
        };
        client.write_all(head.as_bytes().get(..of_head).unwrap_or_default())?;
        let body = usize::try_from(of_body).ok().and_then(|end| self.body.get(..end)).unwrap_or_default();
        self.send_body(client, body, stop, sent)?;
        match self.breaks {
            None if self.length.is_none() => client.write_all(b"0\r\n\r\n").map(|()| true),
            // What was announced and what was sent must agree if another answer is to follow.
            None => Ok(self.length == Some(body_end) || self.body.is_empty()),
            Some((_, Break::Reset)) => {
                sockopt::set_socket_linger(client, Some(Duration::ZERO))?;
                Ok(false)
            }
            Some((_, Break::Close)) => Ok(false),
            Some((_, Break::Stall)) => wait_until_gone(client, stop).map(|()| false),
            Some((moment, Break::Endless)) => self.go_on(client, moment, stop, sent).map(|()| false),
        }
    }

    fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {}\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        match self.length {
            Some(length) => head += &format!("content-length: {length}\r\n\r\n"),
            None => head += "transfer-encoding: chunked\r\n\r\n",
        }
        head
    }

    fn send_body(
        &self,
        mut client: &TcpStream,
        body: &[u8],
        stop: &AtomicBool,
        sent: &mut u64,
    ) -> io::Result<()> {
        let piece = if self.pace == 0 { 64 * 1024 } else { (self.pace / PIECES_A_SECOND).max(1) };
        for piece in body.chunks(usize::try_from(piece).unwrap_or(1)) {
            match self.length {
                Some(_) => client.write_all(piece)?,
                None => write_chunk(client, piece)?,
            }
            *sent += u64::try_from(piece.len()).unwrap_or(0);
            if self.pace > 0 {
                thread::sleep(Duration::from_secs(1) / u32::try_from(PIECES_A_SECOND).unwrap_or(1));
            }
            if stop.load(Ordering::Relaxed) {
                return Err(io::Error::other("the proxy is to stop"));
            }
        }
        Ok(())
    }

    fn go_on(
        &self,
        mut client: &TcpStream,
        moment: Moment,
        stop: &AtomicBool,
        sent: &mut u64,
    ) -> io::Result<()> {
        let (started, piece) = (Instant::now(), [b' '; 64 * 1024]);
        let mut header = 0_u32;
        while started.elapsed() < LONGEST && *sent < MOST && !stop.load(Ordering::Relaxed) {
            if moment == Moment::InHead {
                header += 1;
                client.write_all(format!("x-more-{header}: of the same\r\n").as_bytes())?;
            } else {
                self.send_body(client, &piece, stop, sent)?;
            }
        }
        Ok(())
    }
}

fn write_chunk(mut client: &TcpStream, piece: &[u8]) -> io::Result<()> {
    client.write_all(format!("{:x}\r\n", piece.len()).as_bytes())?;
    client.write_all(piece)?;
    client.write_all(b"\r\n")
}

/// Waits until the client hangs up.
pub(super) fn wait_until_gone(mut client: &TcpStream, stop: &AtomicBool) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_millis(100)))?;
    let started = Instant::now();
    while started.elapsed() < LONGEST && !stop.load(Ordering::Relaxed) {
        match client.read(&mut [0; 256]) {
            Ok(0) => return Ok(()),
            Err(error) if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(error);
            }
            _ => {}
        }
    }
    Ok(())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        403 => "Forbidden",
        404 => "Not Found",
        412 => "Precondition Failed",
        416 => "Range Not Satisfiable",
        _ => "As It Was",
    }
}
