//! Which model is asked for: by its name in a registry, or by the address of its bytes.

use handoff::{ModelId, Resolved};

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

    /// Whether `resolved` is what this reference led to. An address that hides something cannot be told from
    /// others that show the same.
    pub fn led_to(&self, resolved: &Resolved) -> bool {
        let same_address = match self {
            Self::Registered { .. } => true,
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
            #[cfg(feature = "oci")]
            Self::Uri { uri: StoreUri::Oci(uri), .. } => uri.is_floating(),
            Self::Registered { version, .. } => version.is_floating(),
            Self::Uri { .. } => false,
        }
    }
}
