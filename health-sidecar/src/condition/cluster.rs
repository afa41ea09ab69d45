//! One request to the Kubernetes API, as any Pod may send it: over TLS, to where the kubelet says that the API is, believed by
//! the cluster's own authority, with the token of the Pod's service account.
//!
//! Token and authorities are read anew for each request: the kubelet replaces both, and a request is rare. For the same
//! reason there is no connection, no session and no TLS configuration in between.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Method, Response};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::TIMEOUT;
use super::failure::Failure;
use super::patch::{Condition, Target};
use crate::exchange::ExchangeError;
use crate::http_client::{Request, exchange};
use crate::{http_headers, one_line};

/// Longest token, and longest file of authorities.
const MAX_FILE_BYTES: u64 = 256 * 1024;
/// Longest answer other than a yes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// How much of what the server says is told, in characters.
const MAX_QUOTE_CHARACTERS: usize = 300;
const PATCH: HeaderValue = HeaderValue::from_static("application/strategic-merge-patch+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The API of the cluster that the Pod runs in.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Where it is: a name or an address without brackets.
    pub host: String,
    /// The same, as its certificate has it.
    pub name: ServerName<'static>,
    /// Its port.
    pub port: u16,
    /// The folder with `token` and `ca.crt`.
    pub credentials: PathBuf,
}

impl Cluster {
    /// Writes `condition` into the status of `target`.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn patch(&self, target: &Target, condition: &Condition) -> Result<(), Failure> {
        timeout(TIMEOUT, self.send(target.path(), target.patch(condition)))
            .await
            .unwrap_or(Err(Failure::TimedOut))
    }

    async fn send(&self, path: String, body: Bytes) -> Result<(), Failure> {
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, self.authorization()?),
            (CONTENT_TYPE, PATCH),
            (ACCEPT, JSON),
        ]);
        let tls = TlsConnector::from(Arc::new(self.tls()?));
        let failed = |error| Failure::Exchange(ExchangeError::Connect(error));
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(failed)?;
        let stream = tls.connect(self.name.clone(), stream).await.map_err(Failure::Tls)?;
        let request = Request { method: Method::PATCH, path, headers: headers.clone(), body };
        // The answer to a patch that was taken is the whole object, which nobody asked for.
        let longest = |status: hyper::StatusCode| (!status.is_success()).then_some(MAX_ANSWER_BYTES);
        let response =
            exchange(stream, &self.authority(), request, longest).await.map_err(Failure::Exchange)?;
        if response.status().is_success() { Ok(()) } else { Err(refusal(&response, &headers)) }
    }

    /// Host and port as the `Host` header has them.
    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    fn authorization(&self) -> Result<HeaderValue, Failure> {
        let path = self.credentials.join("token");
        let token = read(&path)?;
        let header = str::from_utf8(&token)
            .ok()
            .map(str::trim)
            .filter(|token| !token.is_empty())
            .and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        let mut header = header.ok_or(Failure::Token { path })?;
        header.set_sensitive(true);
        Ok(header)
    }

    fn tls(&self) -> Result<ClientConfig, Failure> {
        let path = self.credentials.join("ca.crt");
        let text = read(&path)?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate
                .map_err(|source| Failure::Authorities { path: path.clone(), source: Some(source) })?;
            roots.add(certificate).map_err(|_| Failure::Authorities { path: path.clone(), source: None })?;
        }
        if roots.is_empty() {
            return Err(Failure::Authorities { path, source: None });
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Failure::Setup)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

/// What stands in an answer other than a yes.
#[derive(Deserialize)]
struct Status {
    message: String,
}

/// An answer that is not yes, without what was sent if it repeats that.
fn refusal(response: &Response<Bytes>, sent: &HeaderMap) -> Failure {
    let message = serde_json::from_slice(response.body())
        .ok()
        .map(|Status { message }| one_line::of(&http_headers::mask(&message, sent), MAX_QUOTE_CHARACTERS));
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Failure::Refused { status: response.status(), message, retry_after: retry_after.map(Duration::from_secs) }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |source| Failure::Credentials { path: path.to_owned(), source };
    let mut content = Vec::new();
    let length = File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content))
        .map_err(failed)?;
    if u64::try_from(length).is_ok_and(|length| length > MAX_FILE_BYTES) {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it is too long")));
    }
    Ok(content)
}
