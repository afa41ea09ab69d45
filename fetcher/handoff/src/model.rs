//! What a model is called.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A model's name and version as the manifest gives them, for people to read and for the sidecar to compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelId {
    /// The `model_name` of the manifest.
    pub name: String,
    /// The `model_version` of the manifest: what was asked for, not what it resolved to.
    pub version: String,
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}
