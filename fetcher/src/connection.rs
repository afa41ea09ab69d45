//! What every registry and store is reached through: one HTTP client and the credentials.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use object_store::aws::AwsCredentialProvider;
use reqwest::redirect::Policy;

use crate::credentials::{AzureSettings, GoogleSettings, MlflowCredentials, PostgresCredentials, S3Settings};
use crate::http::{ClientError, few_redirects};

/// How to reach registries and stores.
#[derive(Clone, Debug)]
pub struct Network {
    /// Attempts at one request.
    pub attempts: u32,
    /// Time for the whole run.
    pub deadline: Duration,
    /// Longest silence on a connection.
    pub stall: Duration,
    /// Certificates to trust beside the bundled ones: `SSL_CERT_FILE`.
    pub extra_roots: Option<PathBuf>,
    /// Credentials for MLflow.
    pub mlflow: MlflowCredentials,
    /// Credentials for a metadata database.
    pub postgres: PostgresCredentials,
    /// Settings and credentials for S3.
    pub s3: S3Settings,
    /// Settings and credentials for Google Cloud Storage.
    pub google: GoogleSettings,
    /// Settings and credentials for Azure Blob Storage.
    pub azure: AzureSettings,
}

/// The open form of [`Network`]: what every registry and store is reached through.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The HTTP client.
    pub client: reqwest::Client,
    /// The HTTP client for signed requests. It follows no redirect: a signature is for one host, and the token of a
    /// session, which is in a header of its own, must not come to another.
    pub signing_client: reqwest::Client,
    /// Credentials for MLflow.
    pub mlflow: MlflowCredentials,
    /// Credentials for a metadata database.
    pub postgres: PostgresCredentials,
    /// Settings and credentials for S3.
    pub s3: S3Settings,
    /// Settings and credentials for Google Cloud Storage.
    pub google: GoogleSettings,
    /// Settings and credentials for Azure Blob Storage.
    pub azure: AzureSettings,
    /// Where credentials for S3 come from, once a store has found out: they are asked for once per process.
    pub s3_credentials: Arc<OnceLock<AwsCredentialProvider>>,
    /// How certificates are checked.
    pub tls: rustls::ClientConfig,
    /// Longest silence on a connection.
    pub stall: Duration,
}

impl Network {
    /// Builds the HTTP client.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn connect(&self) -> Result<Connection, ClientError> {
        let tls = crate::http::tls(self.extra_roots.clone())?;
        Ok(Connection {
            client: crate::http::client(tls.clone(), self.stall, few_redirects())?,
            signing_client: crate::http::client(tls.clone(), self.stall, Policy::none())?,
            mlflow: self.mlflow.clone(),
            postgres: self.postgres.clone(),
            s3: self.s3.clone(),
            google: self.google.clone(),
            azure: self.azure.clone(),
            s3_credentials: Arc::default(),
            tls,
            stall: self.stall,
        })
    }
}

impl Connection {
    /// The same with a client of its own, for another thread: a client keeps its connections on the thread that
    /// opened them. Trust and TLS sessions are shared.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn apart(&self) -> Result<Self, ClientError> {
        Ok(Self {
            client: crate::http::client(self.tls.clone(), self.stall, few_redirects())?,
            signing_client: crate::http::client(self.tls.clone(), self.stall, Policy::none())?,
            ..self.clone()
        })
    }
}
