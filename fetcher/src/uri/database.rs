//! The address of a metadata database: `postgres://host[:port]/database[?sslmode=disable]`.
//!
//! The server proves by its certificate that it is the one, as it does for libpq with `sslmode=verify-full`. The only
//! other choice is no TLS at all, for a line that something else protects: what lies between, such as `require`,
//! encrypts for whoever answers.

use std::fmt;

use handoff::text::is_harmful;
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use url::Url;

use super::UriError;

/// The scheme, as messages name it.
const SCHEME: &str = "postgres";
/// The port of a server that does not say otherwise.
const PORT: u16 = 5432;

/// The address of a metadata database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseUri {
    /// The server.
    pub host: ServerName<'static>,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// Whether to speak TLS.
    pub tls: bool,
    /// All of this but for TLS, as it was written.
    shown: String,
}

impl TryFrom<Url> for DatabaseUri {
    type Error = UriError;

    fn try_from(mut url: Url) -> Result<Self, UriError> {
        let missing = |part| UriError::Missing { scheme: SCHEME, part };
        let host = url.host_str().unwrap_or("").trim_start_matches('[').trim_end_matches(']');
        let host = ServerName::try_from(host.to_owned()).map_err(|_| missing("usable host"))?;
        let database = percent_decode_str(url.path().trim_start_matches('/')).decode_utf8();
        let database = database.map_err(|_| missing("usable database"))?.into_owned();
        if database.is_empty() || database.contains('/') {
            return Err(missing("usable database"));
        }
        if database.chars().any(is_harmful) {
            return Err(UriError::Characters);
        }
        let tls = match url.query() {
            None | Some("sslmode=verify-full") => true,
            Some("sslmode=disable") => false,
            Some(_) => return Err(UriError::Query { scheme: SCHEME, expected: "sslmode=disable or none" }),
        };
        let port = url.port().unwrap_or(PORT);
        url.set_query(None);
        url.set_fragment(None);
        let (_, rest) = url.as_str().split_once(':').unwrap_or_default();
        Ok(Self { host, port, database, tls, shown: format!("{SCHEME}:{rest}") })
    }
}

impl fmt::Display for DatabaseUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DatabaseUri, UriError> {
        text.parse::<Url>().unwrap().try_into()
    }

    #[test]
    fn an_address_is_taken_apart() {
        let plain = read("postgresql://db.mlops/ml").unwrap();
        assert_eq!((plain.host.to_str().as_ref(), plain.port, plain.tls), ("db.mlops", 5432, true));
        assert_eq!(plain.to_string(), "postgres://db.mlops/ml");
        let other = read("postgres://[::1]:6543/the%20models?sslmode=disable").unwrap();
        assert_eq!((other.host.to_str().as_ref(), other.port, other.tls), ("::1", 6543, false));
        assert_eq!(other.database, "the models");
        assert_eq!(other.to_string(), "postgres://[::1]:6543/the%20models");
    }

    #[test]
    fn what_is_not_one_is_refused_without_repeating_it() {
        for (text, words) in [
            ("postgres:///ml", "has no usable host"),
            ("postgres://%2Fvar%2Frun/ml", "has no usable host"),
            ("postgres://db", "has no usable database"),
            ("postgres://db/a/b", "has no usable database"),
            ("postgres://db/a%2Fb", "has no usable database"),
            ("postgres://db/a%0Ab", "holds a character"),
            ("postgres://db/ml?sslmode=require", "a query that is not understood"),
            ("postgres://db/ml?password=hunter2", "a query that is not understood"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}
