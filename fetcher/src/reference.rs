//! Which model is asked for: by its name in a registry, or by the address of its bytes.

use handoff::{ModelId, Resolved, SafePath};

use std::fmt;

use url::Url;

use crate::name::{ModelName, VersionName, VersionRef};
use crate::uri::{RegistryUri, StoreUri};

/// Which model is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelRef {
    /// By its name in a registry.
    Registered {
        /// The registry.
        registry: RegistryUri,
        /// The model.
        name: ModelName,
        /// Its version or alias.
        version: VersionRef,
    },
    /// By what an MLflow server knows beside its registry.
    MlflowArtifact {
        /// The server.
        server: Url,
        /// The artifact.
        artifact: MlflowArtifact,
        /// What to call it.
        model: ModelId,
    },
    /// By the address of its bytes.
    Uri {
        /// The address.
        uri: StoreUri,
        /// What to call it.
        model: ModelId,
    },
}

/// Files that an MLflow server knows by whatever made them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MlflowArtifact {
    /// `models:/m-<id>`: a model that was logged, registered or not.
    LoggedModel(VersionName),
    /// `runs:/<id>/path`: what a run left.
    Run {
        /// The run.
        run: VersionName,
        /// Below all that it left.
        path: SafePath,
    },
}

impl fmt::Display for MlflowArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoggedModel(id) => write!(f, "models:/{id}"),
            Self::Run { run, path } => write!(f, "runs:/{run}/{path}"),
        }
    }
}

impl ModelRef {
    /// What the manifest calls the model.
    pub fn id(&self) -> ModelId {
        match self {
            Self::Registered { name, version, .. } => {
                ModelId { name: name.to_string(), version: version.to_string() }
            }
            Self::MlflowArtifact { model, .. } | Self::Uri { model, .. } => model.clone(),
        }
    }

    /// The registry for the receipt: its redacted address, or `uri` when there is none.
    pub fn registry(&self) -> String {
        match self {
            Self::Registered { registry, .. } => registry.to_string(),
            Self::MlflowArtifact { server, .. } => RegistryUri::Mlflow(server.clone()).to_string(),
            Self::Uri { .. } => "uri".to_owned(),
        }
    }

    /// Whether `resolved` is what this reference led to. An address that hides something cannot be told from
    /// others that show the same.
    pub fn led_to(&self, resolved: &Resolved) -> bool {
        let same_address = match self {
            Self::Registered { .. } => true,
            Self::MlflowArtifact { artifact, .. } => artifact.to_string() == resolved.version,
            Self::Uri { uri, .. } => !uri.hides_something() && uri.to_string() == resolved.uri,
        };
        same_address && self.registry() == resolved.registry
    }

    /// Whether the same reference may mean another model tomorrow.
    pub fn is_floating(&self) -> bool {
        match self {
            // On the hub all but commits are branches or tags.
            Self::Registered { registry: RegistryUri::HuggingFace(_), version, .. } => {
                !crate::resolve::hugging_face::is_commit(&version.to_string())
            }
            Self::Registered { version, .. } => version.is_floating(),
            Self::MlflowArtifact { .. } | Self::Uri { .. } => false,
        }
    }
}
