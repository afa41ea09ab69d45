//! What every registry and store is reached through: one HTTP client and the credentials.

use std::path::PathBuf;
use std::time::Duration;

use crate::credentials::{MlflowCredentials, S3Settings};
use crate::http::ClientError;

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
    /// Settings and credentials for S3.
    pub s3: S3Settings,
}

/// The open form of [`Network`]: what every registry and store is reached through.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The HTTP client.
    pub client: reqwest::Client,
    /// Credentials for MLflow.
    pub mlflow: MlflowCredentials,
    /// Settings and credentials for S3.
    pub s3: S3Settings,
}

impl Network {
    /// Builds the HTTP client.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn connect(&self) -> Result<Connection, ClientError> {
        let client = crate::http::client(self.extra_roots.clone(), self.stall)?;
        Ok(Connection { client, mlflow: self.mlflow.clone(), s3: self.s3.clone() })
    }
}
