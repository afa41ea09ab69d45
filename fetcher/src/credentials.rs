//! Credentials, read once from where each ecosystem keeps them, never from flags.
//!
//! The environment comes in as a function, so that tests need not change the process's own. None of these
//! types prints its secrets.

use std::fmt;
use std::path::PathBuf;

use object_store::aws::AmazonS3ConfigKey;

use crate::store::StoreError;

mod azure;
#[cfg(feature = "oci")]
pub mod docker;
mod file;
#[cfg(feature = "git")]
mod git;
mod google;
#[cfg(feature = "hdfs")]
pub(crate) mod hdfs;
pub mod http;
pub mod hugging_face;
mod mlflow;
mod model_registry;
mod password_file;

pub use azure::AzureSettings;
pub use file::UnreadableCredentials;
#[cfg(feature = "gcs")]
pub(crate) use file::read as read_credentials;
#[cfg(feature = "git")]
pub use git::GitCredentials;
pub use google::GoogleSettings;
#[cfg(feature = "hdfs")]
pub use hdfs::{HdfsAccess, HdfsSettings};
pub use http::{HttpCredentials, HttpSettings};
pub use hugging_face::HuggingFaceSettings;
pub use mlflow::{MlflowCredentials, MlflowSettings};
pub use model_registry::ModelRegistryToken;

/// Reads one environment variable; empty counts as unset.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Who to be in a metadata database, as PostgreSQL's own clients are told.
#[derive(Clone, Default)]
pub struct PostgresCredentials {
    /// `PGUSER`; empty where it is not set.
    pub user: String,
    /// `PGPASSWORD`.
    password: Option<String>,
    /// `PGPASSFILE`, read for each connection: what lies there may be renewed.
    password_file: Option<PathBuf>,
}

impl PostgresCredentials {
    /// Reads the variables of PostgreSQL's clients.
    pub fn from_environment(environment: Environment<'_>) -> Self {
        Self {
            user: environment("PGUSER").unwrap_or_default(),
            password: environment("PGPASSWORD"),
            password_file: environment("PGPASSFILE").map(PathBuf::from),
        }
    }

    /// The password for a database, if there is one.
    ///
    /// # Errors
    /// Fails when the password file cannot be read.
    pub fn password(&self, host: &str, port: u16, database: &str) -> Result<Option<String>, StoreError> {
        let (None, Some(path)) = (&self.password, &self.password_file) else {
            return Ok(self.password.clone());
        };
        Ok(password_file::find(&file::read(path)?, [host, &port.to_string(), database, &self.user]))
    }
}

impl fmt::Debug for PostgresCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresCredentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Settings and credentials for S3.
#[derive(Clone, Default)]
pub struct S3Settings(Vec<(AmazonS3ConfigKey, String)>);

/// Variables in the order in which they apply: a later one overrides an earlier one.
/// The first spellings are KServe's and MLflow's, the rest are the AWS SDKs' and `object_store`'s.
const S3_VARIABLES: [(&str, &str); 22] = [
    ("awsAnonymousCredential", "aws_skip_signature"),
    ("S3_USER_VIRTUAL_BUCKET", "aws_virtual_hosted_style_request"),
    ("MLFLOW_S3_ENDPOINT_URL", "aws_endpoint"),
    ("S3_ENDPOINT_URL", "aws_endpoint"),
    ("AWS_ENDPOINT_URL", "aws_endpoint"),
    ("AWS_ENDPOINT_URL_S3", "aws_endpoint"),
    ("AWS_DEFAULT_REGION", "aws_region"),
    ("AWS_REGION", "aws_region"),
    ("AWS_ACCESS_KEY_ID", "aws_access_key_id"),
    ("AWS_SECRET_ACCESS_KEY", "aws_secret_access_key"),
    ("AWS_SESSION_TOKEN", "aws_session_token"),
    ("AWS_SKIP_SIGNATURE", "aws_skip_signature"),
    ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "aws_virtual_hosted_style_request"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "aws_web_identity_token_file"),
    ("AWS_ROLE_ARN", "aws_role_arn"),
    ("AWS_ROLE_SESSION_NAME", "aws_role_session_name"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "aws_container_credentials_relative_uri"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "aws_container_credentials_full_uri"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "aws_container_authorization_token_file"),
    ("AWS_ENDPOINT_URL_STS", "aws_endpoint_url_sts"),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "aws_metadata_endpoint"),
    ("AWS_REQUEST_PAYER", "aws_request_payer"),
];

impl S3Settings {
    /// Reads the variables of the AWS SDKs, of MLflow and of KServe. Without a key, a role or `AWS_SKIP_SIGNATURE=true`
    /// the instance's metadata service is asked.
    pub fn from_environment(environment: Environment<'_>) -> Self {
        let settings = S3_VARIABLES.iter().filter_map(|(variable, key)| {
            let value = environment(variable)?;
            Some((key.parse().ok()?, value))
        });
        Self(kserve_endpoint(environment).into_iter().chain(settings).collect())
    }

    /// The settings in the order in which they apply.
    pub fn settings(&self) -> &[(AmazonS3ConfigKey, String)] {
        &self.0
    }
}

/// KServe's host and port, without a scheme.
fn kserve_endpoint(environment: Environment<'_>) -> Option<(AmazonS3ConfigKey, String)> {
    let host = environment("S3_ENDPOINT")?;
    let is_plain =
        environment("S3_USE_HTTPS").is_some_and(|uses| uses == "0" || uses.eq_ignore_ascii_case("false"));
    let scheme = if is_plain { "http" } else { "https" };
    let endpoint = if host.contains("://") { host } else { format!("{scheme}://{host}") };
    Some((AmazonS3ConfigKey::Endpoint, endpoint))
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key.as_ref().to_owned())).finish()
    }
}

/// An environment of these variables only.
#[cfg(test)]
fn only<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
    |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_s3_variable_is_understood() {
        let all = S3Settings::from_environment(&|_| Some("true".into()));
        assert_eq!(all.settings().len(), S3_VARIABLES.len() + 1);
        let kserve = [("S3_ENDPOINT", "minio:9000"), ("S3_USE_HTTPS", "0")];
        let endpoint = |pairs| S3Settings::from_environment(&only(pairs)).settings()[0].1.clone();
        assert_eq!(endpoint(&kserve), "http://minio:9000");
        assert_eq!(endpoint(&kserve[..1]), "https://minio:9000");
    }

    #[test]
    fn secrets_do_not_print() {
        let pairs = [
            ("MLFLOW_TRACKING_TOKEN", "canary"),
            ("AWS_SECRET_ACCESS_KEY", "canary"),
            ("PGPASSWORD", "canary"),
        ];
        let shown = format!(
            "{:?} {:?} {:?} {:?}",
            MlflowSettings::from_environment(&only(&pairs)),
            MlflowSettings::from_environment(&only(&pairs)).open(),
            PostgresCredentials::from_environment(&only(&pairs)),
            S3Settings::from_environment(&only(&pairs))
        );
        assert!(!shown.contains("canary"), "{shown}");
    }
}
