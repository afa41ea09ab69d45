//! MLflow's servers have trust of their own: who may vouch for them, and by what certificate they know us.

use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};

use crate::credentials::MlflowSettings;
use crate::http::{self, ClientError};

const SERVER: &str = "MLFLOW_TRACKING_SERVER_CERT_PATH";
const CLIENT: &str = "MLFLOW_TRACKING_CLIENT_CERT_PATH";

/// How certificates are checked and given, if not as elsewhere.
pub(super) fn tls(
    settings: &MlflowSettings,
    extra_roots: &[(&'static str, PathBuf)],
) -> Result<Option<rustls::ClientConfig>, ClientError> {
    let (server, client) = (&settings.server_certificate, &settings.client_certificate);
    if server.is_none() && client.is_none() {
        return Ok(None);
    }
    let roots = match server {
        None => http::roots(extra_roots)?,
        // As in MLflow's own client, nobody else counts then.
        Some(path) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in http::certificates(SERVER, path)? {
                roots.add(certificate)?;
            }
            roots
        }
    };
    let builder = http::checked_against(roots)?;
    let Some(path) = client else { return Ok(Some(builder.with_no_client_auth())) };
    let (setting, path) = (CLIENT, path.clone());
    let certificates = http::certificates(setting, &path)?;
    match PrivateKeyDer::from_pem_file(&path) {
        Ok(key) => match builder.with_client_auth_cert(certificates, key) {
            Ok(tls) => Ok(Some(tls)),
            Err(source) => Err(ClientError::Identity { setting, path, source }),
        },
        Err(source) => Err(ClientError::Certificates { setting, path, source }),
    }
}

/// A client for them; `other` where they are trusted as others are.
pub(super) fn client(
    other: &reqwest::Client,
    tls: Option<&rustls::ClientConfig>,
    stall: Duration,
) -> Result<reqwest::Client, ClientError> {
    match tls {
        None => Ok(other.clone()),
        // The certificate is shown to that server only.
        Some(tls) => http::client(tls.clone(), stall, http::within_the_origin()),
    }
}
