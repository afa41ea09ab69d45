//! Which model is asked for: by its name in a registry, or by the address of its bytes.

use handoff::ModelId;

use crate::name::{ModelName, VersionRef};
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
    /// By the address of its bytes.
    Uri {
        /// The address.
        uri: StoreUri,
        /// What to call it.
        model: ModelId,
    },
}

impl ModelRef {
    /// What the manifest calls the model.
    pub fn id(&self) -> ModelId {
        match self {
            Self::Registered { name, version, .. } => {
                ModelId { name: name.to_string(), version: version.to_string() }
            }
            Self::Uri { model, .. } => model.clone(),
        }
    }

    /// The registry for the receipt: its redacted address, or `uri` when there is none.
    pub fn registry(&self) -> String {
        match self {
            Self::Registered { registry, .. } => registry.to_string(),
            Self::Uri { .. } => "uri".to_owned(),
        }
    }

    /// The address for the receipt, when the model was named by it.
    pub fn uri(&self) -> Option<String> {
        match self {
            Self::Registered { .. } => None,
            Self::Uri { uri, .. } => Some(uri.to_string()),
        }
    }

    /// Whether the same reference may mean another model tomorrow.
    pub fn is_floating(&self) -> bool {
        matches!(self, Self::Registered { version, .. } if version.is_floating())
    }
}
