//! Who to be for Kubeflow's model registry: the bearer of a token.

use std::fmt;
use std::path::PathBuf;

use super::Environment;
use super::file::{self, UnreadableCredentials};
use crate::scrub::remember_login;

/// A token, or the file that has one: a service account's is renewed, so it is read for each run.
#[derive(Clone, Default)]
pub struct ModelRegistryToken {
    token: Option<String>,
    file: Option<PathBuf>,
}

impl ModelRegistryToken {
    /// Reads `MODEL_REGISTRY_TOKEN`, or where `MODEL_REGISTRY_TOKEN_FILE` or, as for Kubeflow's own clients,
    /// `KF_PIPELINES_SA_TOKEN_PATH` says that there is one.
    pub fn from_environment(environment: Environment<'_>) -> Self {
        let file =
            ["MODEL_REGISTRY_TOKEN_FILE", "KF_PIPELINES_SA_TOKEN_PATH"].into_iter().find_map(environment);
        Self { token: environment("MODEL_REGISTRY_TOKEN"), file: file.map(PathBuf::from) }
    }

    /// The token, if there is one.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn read(&self) -> Result<Option<String>, UnreadableCredentials> {
        let (None, Some(path)) = (&self.token, &self.file) else { return Ok(self.token.clone()) };
        let token = file::read(path)?.trim().to_owned();
        remember_login(None, &token);
        Ok(Some(token))
    }
}

impl fmt::Debug for ModelRegistryToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModelRegistryToken")
    }
}
