//! What every registry and store is reached through: one HTTP client and the credentials.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use object_store::aws::AwsCredentialProvider;
use reqwest::redirect::Policy;

#[cfg(feature = "git")]
use crate::credentials::GitCredentials;
#[cfg(feature = "hdfs")]
use crate::credentials::HdfsSettings;
use crate::credentials::{
    AzureSettings, GoogleSettings, HttpCredentials, HttpSettings, HuggingFaceSettings, MlflowCredentials,
    MlflowSettings, ModelRegistryToken, PostgresCredentials, S3Settings,
};
use crate::http::{ClientError, few_redirects, within_the_origin};

mod mlflow;

/// How to reach registries and stores.
#[derive(Clone, Debug)]
pub struct Network {
    /// Attempts at one request.
    pub attempts: u32,
    /// Time for the whole run.
    pub deadline: Duration,
    /// Longest silence on a connection.
    pub stall: Duration,
    /// Files of certificates to trust beside the bundled ones, each with the setting that names it.
    pub extra_roots: Vec<(&'static str, PathBuf)>,
    /// Settings and credentials for MLflow.
    pub mlflow: MlflowSettings,
    /// Headers and passwords for web servers.
    pub http: HttpSettings,
    /// The token for the Hugging Face Hub.
    pub hugging_face: HuggingFaceSettings,
    /// The token for Kubeflow's model registry.
    pub model_registry: ModelRegistryToken,
    /// Credentials for a metadata database.
    pub postgres: PostgresCredentials,
    /// Settings and credentials for OCI registries.
    #[cfg(feature = "oci")]
    pub oci: crate::config::oci::OciSettings,
    /// Settings and credentials for S3.
    pub s3: S3Settings,
    /// Settings and credentials for Google Cloud Storage.
    pub google: GoogleSettings,
    /// Settings and credentials for Azure Blob Storage.
    pub azure: AzureSettings,
    /// Credentials for Git repositories.
    #[cfg(feature = "git")]
    pub git: GitCredentials,
    /// Settings and credentials for HDFS.
    #[cfg(feature = "hdfs")]
    pub hdfs: HdfsSettings,
}

/// The open form of [`Network`]: what every registry and store is reached through.
#[derive(Clone)]
pub struct Connection {
    /// The HTTP client.
    pub client: reqwest::Client,
    /// The HTTP client for signed requests. It follows no redirect: a signature is for one host, and the token of a
    /// session, which is in a header of its own, must not come to another.
    pub signing_client: reqwest::Client,
    /// The HTTP client for MLflow's servers, which have trust of their own.
    pub mlflow_client: reqwest::Client,
    /// Credentials for MLflow.
    pub mlflow: MlflowCredentials,
    /// How certificates of MLflow's servers are checked, where that is not as elsewhere.
    mlflow_tls: Option<rustls::ClientConfig>,
    /// Headers and passwords for web servers.
    pub http: HttpCredentials,
    /// The HTTP client for requests with such headers. It follows no redirect to another server, where they must not come.
    pub bound_client: reqwest::Client,
    /// The token for the Hugging Face Hub, if there is one.
    pub hugging_face: Option<String>,
    /// The token for Kubeflow's model registry.
    pub model_registry: ModelRegistryToken,
    /// Credentials for a metadata database.
    pub postgres: PostgresCredentials,
    /// What is known of OCI registries; shared, so that each lets us in once.
    #[cfg(feature = "oci")]
    pub oci: Arc<crate::store::oci::Access>,
    /// Settings and credentials for S3.
    pub s3: S3Settings,
    /// Settings and credentials for Google Cloud Storage.
    pub google: GoogleSettings,
    /// Settings and credentials for Azure Blob Storage.
    pub azure: AzureSettings,
    /// Credentials for Git repositories.
    #[cfg(feature = "git")]
    pub git: GitCredentials,
    /// Settings and credentials for HDFS.
    #[cfg(feature = "hdfs")]
    pub hdfs: HdfsSettings,
    /// Where credentials for S3 come from, once a store has found out: they are asked for once per process.
    pub s3_credentials: Arc<OnceLock<AwsCredentialProvider>>,
    /// Whose certificates are trusted.
    pub roots: Arc<rustls::RootCertStore>,
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
        let roots = Arc::new(crate::http::roots(&self.extra_roots)?);
        let tls = crate::http::checked_against(Arc::clone(&roots))?.with_no_client_auth();
        let mlflow_tls = mlflow::tls(&self.mlflow, &self.extra_roots)?;
        let client = crate::http::client(tls.clone(), self.stall, few_redirects())?;
        Ok(Connection {
            mlflow_client: mlflow::client(&client, mlflow_tls.as_ref(), self.stall)?,
            client,
            signing_client: crate::http::client(tls.clone(), self.stall, Policy::none())?,
            mlflow: self.mlflow.open()?,
            mlflow_tls,
            http: self.http.open()?,
            bound_client: crate::http::client(tls.clone(), self.stall, within_the_origin())?,
            hugging_face: self.hugging_face.open()?,
            model_registry: self.model_registry.clone(),
            postgres: self.postgres.clone(),
            #[cfg(feature = "oci")]
            oci: Arc::new(crate::store::oci::Access::new(self.oci.clone())),
            s3: self.s3.clone(),
            google: self.google.clone(),
            azure: self.azure.clone(),
            #[cfg(feature = "git")]
            git: self.git.clone(),
            #[cfg(feature = "hdfs")]
            hdfs: self.hdfs.clone(),
            s3_credentials: Arc::default(),
            roots,
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
        let client = crate::http::client(self.tls.clone(), self.stall, few_redirects())?;
        Ok(Self {
            mlflow_client: mlflow::client(&client, self.mlflow_tls.as_ref(), self.stall)?,
            client,
            signing_client: crate::http::client(self.tls.clone(), self.stall, Policy::none())?,
            bound_client: crate::http::client(self.tls.clone(), self.stall, within_the_origin())?,
            ..self.clone()
        })
    }
}
