//! A loopback HTTP client small enough to trust: one request per connection, bounded in time and size.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(20);
const MAX_RESPONSE: u64 = 256 * 1024 * 1024;

/// What a server answered.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body, without any transfer encoding.
    pub body: Vec<u8>,
}

impl Response {
    /// The first value of a header, whose name is given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("expected JSON, got `{}`: {error}", String::from_utf8_lossy(&self.body))
        })
    }
}

/// `GET path` from a port of this machine's loopback address.
///
/// # Errors
/// When nothing listens, or what answers does not speak HTTP in time.
pub fn get(port: u16, path: &str) -> io::Result<Response> {
    request("GET", port, path, &[], &[])
}

/// `POST path` with a JSON body.
///
/// # Errors
/// As [`get`].
pub fn post_json(port: u16, path: &str, body: &Value) -> io::Result<Response> {
    request("POST", port, path, &[("content-type", "application/json")], body.to_string().as_bytes())
}

/// Any request to a port of this machine's loopback address.
///
/// # Errors
/// As [`get`].
pub fn request(
    method: &str,
    port: u16,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Response> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.take(MAX_RESPONSE).read_to_end(&mut answer)?;
    parse(&answer, false).ok_or_else(|| {
        let start = String::from_utf8_lossy(answer.get(..200).unwrap_or(&answer)).into_owned();
        io::Error::other(format!("expected an HTTP response, got `{}`", start.escape_debug()))
    })
}

/// Reads an answer. `bare` is for one to `HEAD`, which has no body whatever its length says.
pub(crate) fn parse(answer: &[u8], bare: bool) -> Option<Response> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let body = answer.get(end + 4..)?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let value_of = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let body = if bare {
        Vec::new()
    } else if value_of("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        join_chunks(body)?
    } else {
        match value_of("content-length") {
            // A body that ends early is no answer.
            Some(length) => body.get(..length.parse().ok()?)?.to_owned(),
            None => body.to_owned(),
        }
    };
    Some(Response { status, headers, body })
}

fn join_chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(rest.get(..end)?).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 2 + size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sized_and_a_chunked_body_read_the_same() {
        let sized = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false).unwrap();
        let chunked = parse(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=1\r\nllo\r\n0\r\n\r\n",
            false,
        );
        assert_eq!(sized.body, b"hello");
        assert_eq!(chunked.unwrap().body, sized.body);
        assert_eq!(sized.header("content-length"), Some("5"));
    }

    #[test]
    fn a_body_that_ends_early_is_no_response() {
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", false).is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", false).is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\n", false).is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", true).is_some());
    }
}
