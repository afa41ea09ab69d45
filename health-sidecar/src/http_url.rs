//! The plain-HTTP addresses that the sidecar asks: `http://host[:port][/path]`.
//!
//! The model server is in the same Pod, so TLS, user names and redirects have no place here; an address that
//! needs one is refused when the configuration is read.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;

/// A checked `http://` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    host: String,
    port: u16,
    authority: String,
    path: String,
}

/// Why a text is not an address that can be asked. It does not quote the text: that may hold a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UrlError {
    /// Not an absolute URL.
    #[error("expected `http://host[:port][/path]`")]
    Malformed,
    /// Another scheme than `http`.
    #[error("expected `http://`, got `{0}://`")]
    Scheme(String),
    /// A user name or password before the host.
    #[error("expected no user name or password")]
    UserInfo,
    /// A query after the path.
    #[error("expected no query or fragment")]
    Query,
}

impl HttpUrl {
    /// The host to connect to: a name or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as the `Host` header has them.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What to ask for: path and, from [`Self::join`], maybe a query. Starts with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The address of `path`, which starts with `/`, below this one.
    pub fn join(&self, path: &str) -> Self {
        Self { path: format!("{}{path}", self.path.trim_end_matches('/')), ..self.clone() }
    }
}

impl FromStr for HttpUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.contains('#') {
            return Err(UrlError::Query);
        }
        let uri: Uri = text.parse().map_err(|_| UrlError::Malformed)?;
        let scheme = uri.scheme_str().ok_or(UrlError::Malformed)?;
        if scheme != "http" {
            return Err(UrlError::Scheme(scheme.to_owned()));
        }
        let authority = uri.authority().ok_or(UrlError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(UrlError::UserInfo);
        }
        if uri.query().is_some() {
            return Err(UrlError::Query);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        // `host:` and `host:99999` have a colon but no port that reads.
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => 80,
            _ => authority.port_u16().filter(|&port| port != 0).ok_or(UrlError::Malformed)?,
        };
        if host.is_empty() {
            return Err(UrlError::Malformed);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            authority: authority.to_string(),
            path: uri.path().to_owned(),
        })
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

/// `text` as one component of a path: everything but RFC 3986's unreserved characters is percent-encoded.
pub fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> HttpUrl {
        text.parse().unwrap()
    }

    #[test]
    fn reads_names_and_addresses() {
        let named = url("http://model-server:8080/prefix/");
        assert_eq!((named.host(), named.port(), named.path()), ("model-server", 8080, "/prefix/"));
        assert_eq!(named.join("/ping").to_string(), "http://model-server:8080/prefix/ping");
        let six = url("http://[::1]:9");
        assert_eq!((six.host(), six.port(), six.authority()), ("::1", 9, "[::1]:9"));
        let bare = url("http://127.0.0.1");
        assert_eq!((bare.port(), bare.join("/v2?x=1").path()), (80, "/v2?x=1"));
    }

    #[test]
    fn refuses_what_it_cannot_ask() {
        let error = |text: &str| text.parse::<HttpUrl>().unwrap_err();
        for text in [
            "",
            "/ping",
            "localhost",
            "127.0.0.1:80",
            "http://",
            "http://:80",
            "http://h:",
            "http://h:0",
            "http://h:70000",
            "http://a b",
        ] {
            assert_eq!(error(text), UrlError::Malformed, "{text:?}");
        }
        assert_eq!(error("https://h"), UrlError::Scheme("https".into()));
        assert_eq!(error("http://u:secret@h"), UrlError::UserInfo);
        assert_eq!(error("http://h/?q"), UrlError::Query);
        assert_eq!(error("http://h/#f"), UrlError::Query);
    }

    #[test]
    fn a_name_becomes_one_component() {
        assert_eq!(percent_encode("a-b.c_d~1"), "a-b.c_d~1");
        assert_eq!(percent_encode("../a b?ü%"), "..%2Fa%20b%3F%C3%BC%25");
    }
}
