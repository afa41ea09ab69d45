//! Where a registry is: the address in `MODEL_REGISTRY`, by whose scheme the kind of registry is told.

use std::fmt;
use std::str::FromStr;

use url::Url;

#[cfg(feature = "postgres")]
use super::database;
#[cfg(feature = "oci")]
use super::oci;
use super::{StoreUri, UriError, parse_without_credentials};
use crate::redact::Redacted;

/// A registry's address, by the scheme of `MODEL_REGISTRY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryUri {
    /// `mlflow+http(s)://host[/prefix]`: an MLflow tracking server.
    Mlflow(Url),
    /// `model-registry+http(s)://host[/prefix]`: Kubeflow's model registry.
    ModelRegistry(Url),
    /// `hf://`: the Hugging Face Hub, at its address.
    HuggingFace(Url),
    /// `catalog+<store>`: descriptors beside the weights.
    Catalog(StoreUri),
    /// `postgres://host/database`: a view of a metadata database.
    #[cfg(feature = "postgres")]
    Postgres(database::DatabaseUri),
    /// `oci://host[/path]`: an OCI registry.
    #[cfg(feature = "oci")]
    Oci(oci::OciRegistry),
}

const REGISTRY_SCHEMES: &str = "mlflow+http, mlflow+https, model-registry+http, model-registry+https, hf, oci, postgres, catalog+file, catalog+s3, catalog+gs, catalog+az, catalog+http or catalog+https";

impl FromStr for RegistryUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let unknown =
            |scheme: &str| UriError::Scheme { scheme: scheme.to_owned(), expected: REGISTRY_SCHEMES };
        let (scheme, _) = text.split_once("://").ok_or(UriError::Malformed)?;
        let server = |inner: &str| match parse_without_credentials(inner)? {
            url if matches!(url.scheme(), "http" | "https") => Ok(url),
            _ => Err(unknown(scheme)),
        };
        if let Some(inner) = text.strip_prefix("mlflow+") {
            return server(inner).map(Self::Mlflow);
        }
        if let Some(inner) = text.strip_prefix("model-registry+") {
            return server(inner).map(Self::ModelRegistry);
        }
        #[cfg(feature = "oci")]
        if scheme == "oci" {
            return text.parse().map(Self::Oci);
        }
        #[cfg(not(feature = "oci"))]
        if scheme == "oci" {
            return Err(UriError::Feature { feature: "oci" });
        }
        #[cfg(not(feature = "postgres"))]
        if matches!(scheme, "postgres" | "postgresql") {
            return Err(UriError::Feature { feature: "postgres" });
        }
        #[cfg(feature = "postgres")]
        if matches!(scheme, "postgres" | "postgresql") {
            return parse_without_credentials(text)?.try_into().map(Self::Postgres);
        }
        match text.strip_prefix("catalog+") {
            // An OCI registry has no folders that descriptors could be in.
            Some(inner) if !inner.starts_with("oci:") => {
                match inner.parse() {
                    // Nor has a Git repository what they could be replaced by.
                    #[cfg(feature = "git")]
                    Ok(StoreUri::Git(_)) => Err(unknown(scheme)),
                    Ok(store) => Ok(Self::Catalog(store)),
                    Err(UriError::Scheme { .. }) => Err(unknown(scheme)),
                    Err(other) => Err(other),
                }
            }
            _ => Err(unknown(scheme)),
        }
    }
}

impl fmt::Display for RegistryUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mlflow(url) => write!(f, "mlflow+{}", Redacted(url).to_string().trim_end_matches('/')),
            Self::ModelRegistry(url) => {
                write!(f, "model-registry+{}", Redacted(url).to_string().trim_end_matches('/'))
            }
            Self::HuggingFace(hub) => match hub.host_str() {
                Some("huggingface.co") => f.write_str("hf://"),
                _ => write!(f, "hf:// at {}", Redacted(hub)),
            },
            Self::Catalog(store) => write!(f, "catalog+{store}"),
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => database.fmt(f),
            #[cfg(feature = "oci")]
            Self::Oci(registry) => registry.fmt(f),
        }
    }
}
