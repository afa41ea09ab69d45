//! Who we are for Google Cloud Storage.
//!
//! `object_store` reads the file of `GOOGLE_APPLICATION_CREDENTIALS`, and asks the metadata server where there is
//! none; a file that speaks of a workload's own token is read here ([`federation`](super::federation)). Where that server does not answer, there may be none, and the bucket may be open to everybody: requests are
//! then made without credentials. It is asked again if they are refused, for in a Pod that has just been started it
//! may take a moment.

use std::path::Path;
use std::sync::Arc;

use object_store::gcp::{GcpCredential, GcpCredentialProvider, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ClientOptions, RetryConfig};

use super::federation::Federation;
use crate::connection::Connection;
use crate::credentials::{GoogleSettings, read_credentials};
use crate::store::StoreError;
use crate::store::cloud::{Connector, classify, deepest};

/// What a setting names, for messages.
const FILE: &str = "the file of GOOGLE_APPLICATION_CREDENTIALS";

/// Finds out who we are.
pub(super) struct Login {
    settings: GoogleSettings,
    provider: Option<GcpCredentialProvider>,
}

/// Whom a request comes from.
pub(super) enum Who {
    /// Nobody: this is how it is to be.
    Nobody,
    /// Nobody, as the metadata server did not answer.
    Unknown(String),
    /// Somebody with a token.
    Somebody(Arc<GcpCredential>),
}

impl Login {
    pub(super) fn new(bucket: &str, connection: &Connection) -> Result<Self, StoreError> {
        let settings = connection.google.clone();
        let provider = match (settings.is_anonymous(), settings.provider.get()) {
            (true, _) => None,
            (false, Some(known)) => Some(Arc::clone(known)),
            (false, None) => {
                let new = provider(bucket, &settings, connection)?;
                Some(Arc::clone(settings.provider.get_or_init(|| new)))
            }
        };
        Ok(Self { settings, provider })
    }

    pub(super) async fn who(&self) -> Result<Who, StoreError> {
        let Some(provider) = self.provider.as_ref().filter(|_| self.settings.needs_nobody.get().is_none())
        else {
            return Ok(Who::Nobody);
        };
        match (provider.get_credential().await, &self.settings.credentials) {
            (Ok(credential), _) => Ok(Who::Somebody(credential)),
            (Err(error), Some(_)) => {
                Err(classify("the account of GOOGLE_APPLICATION_CREDENTIALS".to_owned(), &error))
            }
            (Err(error), None) => {
                let reason = classify("the metadata server with credentials".to_owned(), &error);
                Ok(Who::Unknown(reason.to_string()))
            }
        }
    }

    /// Whoever asked was let in.
    pub(super) fn accepted(&self, who: &Who) {
        if matches!(who, Who::Unknown(_)) {
            let _ = self.settings.needs_nobody.set(());
        }
    }
}

fn provider(
    bucket: &str,
    settings: &GoogleSettings,
    connection: &Connection,
) -> Result<GcpCredentialProvider, StoreError> {
    let of_file = |reason| StoreError::Refused { what: FILE.to_owned(), reason };
    // One that cannot be read is found out below.
    let text = settings.credentials.as_ref().and_then(|path| read_credentials(Path::new(path)).ok());
    let federation = text.map(|text| Federation::of(&text, &connection.signing_client)).transpose();
    if let Some(federation) = federation.map_err(of_file)?.flatten() {
        return Ok(Arc::new(federation));
    }
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_http_connector(Connector(connection.signing_client.clone()))
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
    if let Some(path) = &settings.credentials {
        builder = builder.with_config(GoogleConfigKey::ApplicationCredentials, path);
    }
    let client = builder.build().map_err(|error| StoreError::Refused {
        what: match settings.credentials {
            Some(_) => FILE.to_owned(),
            None => format!("gs://{bucket}"),
        },
        reason: deepest(&error),
    })?;
    Ok(Arc::clone(client.credentials()))
}
