//! One attempt at asking: a connection of its own, with an end in time and in bytes, and what a failure means.
//!
//! The query is not prepared under a name, so that a pooler may be in between.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use handoff::text::shown;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::error::DbError;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Config, Error, NoTls, Row};
use tokio_rustls::TlsConnector;

use crate::chain;
use crate::connection::Connection;
use crate::dns::Dns;
use crate::limits::Limits;
use crate::name::{ModelName, VersionRef};
use crate::scrub::{Secrets, scrub};
use crate::store::StoreError;
use crate::uri::database::DatabaseUri;

/// What was asked for comes first, if it is there. If it is not, any row tells that the model is; and two that were
/// asked for are one too many.
const QUERY: &str = "
    SELECT coalesce(CASE WHEN $3 THEN $2 = ANY (aliases::text[]) ELSE version::text = $2 END, false) AS wanted,
           version::text, uri::text, digest::text, metadata::jsonb ->> 'sha256sums'
    FROM plimsoll.models WHERE name::text = $1 ORDER BY wanted DESC LIMIT 2";

/// Asks a server to speak TLS: the length of the message, and a code in place of the protocol's version.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// What is said of a connection that takes too long, as of one by HTTP.
const STALLED: &str = "the connection stalled or timed out";

/// A connection, with TLS or without: the client, which is generic, is compiled once for both.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// What a row says of a version.
pub(super) struct Described {
    /// Whether it is the one that was asked for.
    pub(super) wanted: bool,
    pub(super) version: String,
    pub(super) uri: String,
    pub(super) digest: Option<String>,
    pub(super) sums: Option<String>,
}

/// What came back; or what is wrong with the view.
pub(super) type Answer = Result<Vec<Described>, String>;

/// What is asked, and of whom.
pub(super) struct Question<'a> {
    pub(super) database: &'a DatabaseUri,
    pub(super) name: &'a ModelName,
    pub(super) version: &'a VersionRef,
    pub(super) connection: &'a Connection,
}

impl Question<'_> {
    pub(super) async fn ask(&self) -> Result<Answer, StoreError> {
        let answer = timeout(self.connection.stall, self.connect()).await;
        answer.unwrap_or_else(|_| Err(self.unavailable(STALLED)))
    }

    async fn open(&self) -> Result<TcpStream, StoreError> {
        let DatabaseUri { host, port, .. } = self.database;
        let addresses: Vec<SocketAddr> = match host.to_str().parse::<IpAddr>() {
            Ok(address) => vec![(address, *port).into()],
            Err(_) => {
                let found = Dns::default().addresses(&host.to_str()).await;
                let found = found.map_err(|error| self.broken("cannot resolve its name", error))?;
                found.into_iter().map(|address| (address, *port).into()).collect()
            }
        };
        let stream = TcpStream::connect(&*addresses).await;
        stream.map_err(|source| self.broken("cannot connect", source))
    }

    async fn connect(&self) -> Result<Answer, StoreError> {
        let stream = timeout(Limits::DEFAULT.connect, self.open()).await;
        let mut stream = stream.unwrap_or_else(|_| Err(self.unavailable(STALLED)))?;
        if !self.database.tls {
            return self.read_bounded(Box::new(stream)).await;
        }
        let broken = |source| self.broken("the connection failed", source);
        stream.write_all(&TLS_REQUEST).await.map_err(broken)?;
        if stream.read_u8().await.map_err(broken)? != b'S' {
            return Err(StoreError::Refused {
                what: self.what(),
                reason: "the server has no TLS".to_owned(),
            });
        }
        let tls = TlsConnector::from(Arc::new(self.connection.tls.clone()));
        let stream = tls.connect(self.database.host.clone(), stream).await.map_err(|error| {
            StoreError::untrusted(&self.what(), &error)
                .unwrap_or_else(|| self.broken("the connection failed", error))
        })?;
        self.read_bounded(Box::new(stream)).await
    }

    async fn read_bounded(&self, stream: Box<dyn Stream>) -> Result<Answer, StoreError> {
        let limit = Limits::DEFAULT.document_bytes;
        let (reader, writer) = tokio::io::split(stream);
        let mut reader = reader.take(limit.try_into().unwrap_or(u64::MAX));
        let answer = self.read(tokio::io::join(&mut reader, writer)).await;
        match reader.limit() {
            0 => Err(StoreError::TooLarge { what: self.what(), limit }),
            _ => answer,
        }
    }

    async fn read(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Answer, StoreError> {
        let DatabaseUri { host, port, database, .. } = self.database;
        let credentials = &self.connection.postgres;
        let password = credentials.password(&host.to_str(), *port, database)?;
        let mut config = Config::new();
        config.user(&credentials.user).dbname(database);
        config.application_name(concat!("plimsoll-fetcher/", env!("CARGO_PKG_VERSION")));
        if let Some(password) = &password {
            config.password(password);
        }
        match self.query(&config, stream).await {
            Ok(rows) => {
                let malformed = |error: Error| StoreError::Malformed {
                    what: self.what(),
                    reason: shown(&chain::line(&error)),
                };
                let rows = rows.iter().map(described).collect::<Result<_, _>>();
                rows.map(Ok).map_err(malformed)
            }
            Err(error) => self.failed(error, password),
        }
    }

    async fn query(
        &self,
        config: &Config,
        stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> Result<Vec<Row>, Error> {
        let (client, connection) = config.connect_raw(stream, NoTls).await?;
        let mut connection = pin!(connection);
        let (version, by_alias) = match self.version {
            VersionRef::Named(version) | VersionRef::Newest(version) => (version.as_str(), false),
            VersionRef::Alias(alias) => (alias.as_str(), true),
        };
        let name = self.name.as_str();
        let parameters: [(&(dyn ToSql + Sync), _); 3] =
            [(&name, Type::TEXT), (&version, Type::TEXT), (&by_alias, Type::BOOL)];
        let rows = tokio::select! {
            biased;
            // What ended the connection says more than that it has ended.
            Err(error) = &mut connection => return Err(error),
            rows = client.query_typed(QUERY, &parameters) => rows?,
        };
        drop(client);
        // A goodbye, so that the server does not log a lost client. The rows are there, whatever comes of it.
        let _ = connection.await;
        Ok(rows)
    }

    /// What a failure means, by its SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    fn failed(&self, error: Error, password: Option<String>) -> Result<Answer, StoreError> {
        let what = self.what();
        let Some(said) = error.as_db_error() else {
            let is_cut =
                error.is_closed() || chain::causes(&error).any(<dyn std::error::Error>::is::<std::io::Error>);
            return Err(match (is_cut, password) {
                (true, _) => self.broken("the connection failed", error),
                (false, None) => StoreError::Denied {
                    what,
                    status: "it asks for a password, and there is none".to_owned(),
                },
                (false, Some(_)) => StoreError::Refused { what, reason: shown(&chain::line(&error)) },
            });
        };
        let text = words(said, password);
        match said.code().code() {
            // No such relation, column, cast or operator; or text that is not JSON.
            "42P01" | "42703" | "42846" | "42883" | "42804" | "22P02" => Ok(Err(text)),
            "42501" => Err(StoreError::Denied { what, status: text }),
            code => Err(match code.get(..2) {
                Some("28") => StoreError::Denied { what, status: text },
                // The line, a conflict with what is replayed, resources, a lock, the operator, the system, a bug.
                Some("08" | "40" | "53" | "55" | "57" | "58" | "XX") => self.unavailable(&text),
                _ => StoreError::Refused { what, reason: text },
            }),
        }
    }

    fn what(&self) -> String {
        self.database.to_string()
    }

    fn unavailable(&self, reason: &str) -> StoreError {
        let (what, reason) = (self.what(), reason.to_owned());
        StoreError::Unavailable { what, reason, retry_after: None, source: None }
    }

    fn broken(&self, reason: &str, source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
        let (what, reason, source) = (self.what(), reason.to_owned(), Some(source.into()));
        StoreError::Unavailable { what, reason, retry_after: None, source }
    }
}

/// What the server says. It may have been told a password, and repeat it.
fn words(said: &DbError, password: Option<String>) -> String {
    let known = Secrets::of(password.map(|password| ("PASSWORD".to_owned(), password)));
    shown(&known.scrub(&scrub(&format!("{}, SQLSTATE {}", said.message(), said.code().code()))))
}

fn described(row: &Row) -> Result<Described, Error> {
    let text = |column| row.try_get::<usize, Option<String>>(column);
    Ok(Described {
        wanted: row.try_get(0)?,
        version: text(1)?.unwrap_or_default(),
        uri: text(2)?.unwrap_or_default(),
        digest: text(3)?,
        sums: text(4)?,
    })
}
