//! Which model is asked for: by its name in a registry, or by the address of its bytes.

use handoff::{ModelId, Resolved, SafePath};
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
    /// In MLflow's words for what is not a version of a registered model.
    Mlflow {
        /// The tracking server.
        server: Url,
        /// What of it.
        item: MlflowItem,
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

/// What MLflow's URIs name beside versions of registered models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MlflowItem {
    /// A logged model, by its id.
    LoggedModel(VersionName),
    /// What a run logged.
    RunArtifact {
        /// The run's id.
        run: VersionName,
        /// Where in its artifacts.
        path: SafePath,
    },
}

/// Whether a version is `latest`, in MLflow's words.
pub fn is_latest(version: &str) -> bool {
    version.eq_ignore_ascii_case("latest")
}

/// Whether a version is a stage, in MLflow's words.
pub fn is_stage(version: &str) -> bool {
    ["Production", "Staging", "Archived", "None"].iter().any(|stage| version.eq_ignore_ascii_case(stage))
}

impl ModelRef {
    /// What the manifest calls the model.
    pub fn id(&self) -> ModelId {
        match self {
            Self::Registered { name, version, .. } => {
                ModelId { name: name.to_string(), version: version.to_string() }
            }
            Self::Mlflow { model, .. } | Self::Uri { model, .. } => model.clone(),
        }
    }

    /// The registry for the receipt: its redacted address, or `uri` when there is none.
    pub fn registry(&self) -> String {
        match self {
            Self::Registered { registry, .. } => registry.to_string(),
            Self::Mlflow { server, .. } => RegistryUri::Mlflow(server.clone()).to_string(),
            Self::Uri { .. } => "uri".to_owned(),
        }
    }

    /// Whether `resolved` is what this reference led to. An address that hides something cannot be told from
    /// others that show the same.
    pub fn led_to(&self, resolved: &Resolved) -> bool {
        let same_address = match self {
            Self::Registered { .. } => true,
            Self::Mlflow { item: MlflowItem::LoggedModel(id), .. } => resolved.version == id.as_str(),
            Self::Mlflow { item: MlflowItem::RunArtifact { run, path }, .. } => {
                resolved.version == format!("{run}/{path}")
            }
            #[cfg(feature = "git")]
            Self::Uri { uri: StoreUri::Git(uri), .. } => uri.led_to(&resolved.uri),
            #[cfg(feature = "oci")]
            Self::Uri { uri: StoreUri::Oci(uri), .. } => uri.led_to(&resolved.uri),
            Self::Uri { uri, .. } => !uri.hides_something() && uri.to_string() == resolved.uri,
        };
        same_address && self.registry() == resolved.registry
    }

    /// Whether the same reference may mean another model tomorrow.
    pub fn is_floating(&self) -> bool {
        match self {
            #[cfg(feature = "oci")]
            Self::Registered { registry: RegistryUri::Oci(registry), name, version } => {
                registry.uri(name, version).is_ok_and(|uri| uri.is_floating())
            }
            #[cfg(feature = "git")]
            Self::Uri { uri: StoreUri::Git(uri), .. } => uri.is_floating(),
            #[cfg(feature = "oci")]
            Self::Uri { uri: StoreUri::Oci(uri), .. } => uri.is_floating(),
            // On the hub all but commits are branches or tags.
            Self::Registered { registry: RegistryUri::HuggingFace(_), version, .. } => {
                !crate::resolve::hugging_face::is_commit(&version.to_string())
            }
            Self::Registered { version, .. } => version.is_floating(),
            Self::Mlflow { .. } | Self::Uri { .. } => false,
        }
    }
}
