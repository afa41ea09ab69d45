//! What a name means: from a reference to the place where the bytes are.
//!
//! A floating reference is resolved once, here, at the start of a run. The [`Location`] that comes out names
//! one immutable version; everything after works on that and never asks the registry again.

use handoff::{Integrity, ModelDigest, SafePath};

use crate::connection::Connection;
use crate::manifest::{Manifest, SHA256SUMS, parse_sha256sums};
use crate::name::{ModelName, VersionRef};
use crate::reference::ModelRef;
use crate::retry::{Budget, Failed};
use crate::store::{Class, StoreError};
use crate::uri::{RegistryUri, StoreUri, UriError};

pub(crate) mod catalog;
#[cfg(feature = "git")]
mod git;
pub(crate) mod hugging_face;
pub(crate) mod mlflow;
pub(crate) mod model_registry;
#[cfg(feature = "oci")]
pub(crate) mod oci;
#[cfg(feature = "postgres")]
mod postgres;

/// What a registry calls the digest of the whole model, as `fetcher digest` prints it.
const DIGEST: &str = "digest";
/// What it calls the text of a `SHA256SUMS` for files of the model.
const SUMS: &str = "sha256sums";

/// Where a model's bytes are, and what the registry knows about them.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    /// The immutable version.
    pub version: String,
    /// Where the bytes are.
    pub uri: StoreUri,
    /// What the registry vouches for.
    pub manifest: Option<Manifest>,
}

/// Why a name could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The registry does not know the model.
    #[error("model `{name}` does not exist in {registry}")]
    UnknownModel {
        /// The model.
        name: ModelName,
        /// The registry.
        registry: String,
    },
    /// The registry knows the model but not the version.
    #[error("version `{version}` of `{name}` does not exist in {registry}")]
    UnknownVersion {
        /// The model.
        name: ModelName,
        /// The version.
        version: VersionRef,
        /// The registry.
        registry: String,
        /// What was looked for.
        hint: &'static str,
    },
    /// More than one version answers to the name.
    #[error("`{version}` of `{name}` is ambiguous in {registry}: versions {found} carry it")]
    Ambiguous {
        /// The model.
        name: ModelName,
        /// The version asked for.
        version: VersionRef,
        /// The registry.
        registry: String,
        /// The versions that carry it.
        found: String,
    },
    /// Who wants the model has to agree to something first.
    #[error("`{name}` is gated in {registry}, and who asks may not read it")]
    Gated {
        /// The model.
        name: ModelName,
        /// The registry.
        registry: String,
    },
    /// The version is there and is not to be used any more.
    #[error("version `{version}` of `{name}` is archived in {registry}")]
    Archived {
        /// The model.
        name: ModelName,
        /// The version.
        version: String,
        /// The registry.
        registry: String,
    },
    /// The version has nothing that could be fetched.
    #[error("version `{version}` of `{name}` has no model in {registry}: {reason}")]
    NoArtifact {
        /// The model.
        name: ModelName,
        /// The version.
        version: String,
        /// The registry.
        registry: String,
        /// What it has instead.
        reason: String,
    },
    /// The version is there but cannot be fetched.
    #[error("version `{version}` of `{name}` is {status} in {registry}")]
    NotReady {
        /// The model.
        name: ModelName,
        /// The version.
        version: String,
        /// The registry.
        registry: String,
        /// The registry's own word.
        status: String,
    },
    /// What MLflow knows beside versions is not there, or cannot be fetched.
    #[error("{what} {problem} in {registry}")]
    Item {
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        problem: String,
        /// The registry.
        registry: String,
        /// How to meet it.
        class: Class,
        /// What to do.
        hint: &'static str,
    },
    /// The same at a place that cannot be read from.
    #[error("{registry} says the bytes of {what} are at an address that is not usable")]
    ItemLocation {
        /// What was asked for.
        what: String,
        /// The registry.
        registry: String,
        /// Why.
        source: UriError,
    },
    /// The registry points at a place that cannot be read from.
    #[error("{registry} says the bytes of `{name}` are at an address that is not usable")]
    BadLocation {
        /// The model.
        name: String,
        /// The registry.
        registry: String,
        /// Why.
        source: UriError,
    },
    /// The registry's answer or descriptor contradicts itself or its schema.
    #[error("{what} is not usable: {reason}")]
    BadDescriptor {
        /// Which document.
        what: String,
        /// Why.
        reason: String,
    },
    /// The database has nothing that can be asked.
    #[error("{registry} has no usable view `plimsoll.models`: {reason}")]
    View {
        /// The registry.
        registry: String,
        /// What the database says.
        reason: String,
    },
    /// An OCI registry did not give what is asked for.
    #[cfg(feature = "oci")]
    #[error("cannot resolve {uri}")]
    Artifact {
        /// Its address.
        uri: String,
        /// Why.
        source: Failed,
    },
    /// A Git repository did not give what is asked for.
    #[cfg(feature = "git")]
    #[error("cannot resolve {uri}")]
    Repository {
        /// Its address.
        uri: String,
        /// Why.
        source: Failed,
    },
    /// The registry did not answer as it should.
    #[error("cannot ask {registry}")]
    Registry {
        /// The registry.
        registry: String,
        /// Why.
        source: Failed,
    },
}

impl ResolveError {
    /// How to meet this failure.
    pub fn class(&self) -> Class {
        match self {
            Self::UnknownModel { .. }
            | Self::UnknownVersion { .. }
            | Self::Archived { .. }
            | Self::NoArtifact { .. }
            | Self::Ambiguous { .. } => Class::NotFound,
            // What failed stays so.
            Self::NotReady { status, .. } if status.starts_with("FAILED") => Class::NotFound,
            Self::NotReady { .. } => Class::Retryable,
            Self::Gated { .. } => Class::Denied,
            Self::Item { class, .. } => *class,
            Self::ItemLocation { .. } | Self::BadLocation { .. } | Self::View { .. } => Class::Fatal,
            Self::BadDescriptor { .. } => Class::Integrity,
            #[cfg(feature = "oci")]
            Self::Artifact { source, .. } => source.class(),
            #[cfg(feature = "git")]
            Self::Repository { source, .. } => source.class(),
            Self::Registry { source, .. } => source.class(),
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnknownVersion { hint, .. } | Self::Item { hint, .. } => Some(hint),
            Self::NotReady { status, .. } if status.starts_with("FAILED") => {
                Some("register the version again")
            }
            Self::NotReady { .. } => Some("its files are not all there yet: who registers it has to finish"),
            Self::Gated { .. } => {
                Some("accept the model's licence on its page, and set HF_TOKEN to a token of who did")
            }
            Self::UnknownModel { registry, .. } if registry.starts_with("hf://") => {
                Some("write owner/name; a private model needs HF_TOKEN, of somebody who may see it")
            }
            Self::UnknownModel { registry, .. } if registry.starts_with("mlflow+") => {
                Some("check the name; where the server has workspaces, MLFLOW_WORKSPACE says in which it is")
            }
            Self::UnknownModel { .. } => {
                Some("check the name, and that whoever asks may see the model; upper and lower case differ")
            }
            Self::Archived { .. } => Some("name a version that is live, or restore this one in the registry"),
            Self::NoArtifact { .. } => Some("register the model's artifact with its `uri`"),
            Self::Ambiguous { .. } => {
                Some("name the version by its number, or leave the name on one version only")
            }
            Self::View { .. } => {
                Some("make the view in this database, with its six columns; README.md says what they hold")
            }
            #[cfg(feature = "oci")]
            Self::Artifact { source, .. } => Self::artifact_hint(source),
            #[cfg(feature = "git")]
            Self::Repository { source, .. } => Self::repository_hint(source),
            Self::Registry { source, .. } if source.class() == Class::Denied => {
                Some("check the registry's credentials and that they may read this model")
            }
            // Who may vouch for an MLflow server can be said for it alone.
            Self::Registry { registry, source }
                if source.hint().is_some() && registry.starts_with("mlflow+") =>
            {
                Some(
                    "name the file of its certificate authority in MLFLOW_TRACKING_SERVER_CERT_PATH, or in SSL_CERT_FILE where that is not set",
                )
            }
            Self::Registry { source, .. } if source.hint().is_some() => source.hint(),
            Self::Registry { source, .. } if source.class() == Class::Fatal => {
                Some("check the registry's address, including its path")
            }
            _ => None,
        }
    }
}

/// Asks what a reference means.
///
/// # Errors
/// See [`ResolveError`].
pub async fn resolve(
    reference: &ModelRef,
    connection: &Connection,
    budget: &Budget,
) -> Result<Location, ResolveError> {
    let location = locate(reference, connection, budget).await?;
    #[cfg(feature = "oci")]
    let location = oci::follow(location, connection, budget).await?;
    Ok(location)
}

async fn locate(
    reference: &ModelRef,
    connection: &Connection,
    budget: &Budget,
) -> Result<Location, ResolveError> {
    match reference {
        ModelRef::Registered { registry: RegistryUri::Mlflow(server), name, version } => {
            mlflow::Registry::new(server, connection, budget).resolve(name, version).await
        }
        ModelRef::Registered { registry: RegistryUri::Catalog(root), name, version } => {
            catalog::resolve(root, name, version, connection, budget).await
        }
        ModelRef::Registered { registry: RegistryUri::HuggingFace(hub), name, version } => {
            hugging_face::Registry::new(hub, connection, budget).resolve(name, version).await
        }
        ModelRef::Registered { registry: RegistryUri::ModelRegistry(server), name, version } => {
            model_registry::Registry::new(server, connection, budget).resolve(name, version).await
        }
        #[cfg(feature = "postgres")]
        ModelRef::Registered { registry: RegistryUri::Postgres(database), name, version } => {
            postgres::resolve(database, name, version, connection, budget).await
        }
        ModelRef::Mlflow { server, item, .. } => {
            mlflow::Registry::new(server, connection, budget).resolve_item(item).await
        }
        #[cfg(feature = "oci")]
        ModelRef::Registered { registry: RegistryUri::Oci(registry), name, version } => {
            let uri = registry.uri(name, version).map_err(|source| ResolveError::BadLocation {
                name: name.to_string(),
                registry: registry.to_string(),
                source,
            })?;
            oci::resolve(&uri, None, connection, budget).await
        }
        #[cfg(feature = "git")]
        ModelRef::Uri { uri: StoreUri::Git(uri), .. } => git::resolve(uri, connection, budget).await,
        #[cfg(feature = "oci")]
        ModelRef::Uri { uri: StoreUri::Oci(uri), .. } => oci::resolve(uri, None, connection, budget).await,
        ModelRef::Uri { uri, model } => {
            Ok(Location { version: model.version.clone(), uri: uri.clone(), manifest: None })
        }
    }
}

/// What a digest of the whole model and the text of a `SHA256SUMS` vouch for, where a registry keeps them.
fn vouched(digest: Option<&str>, sums: Option<&str>) -> Result<Option<Manifest>, String> {
    let digest = digest.map(|text| text.trim().parse().map_err(|error| format!("`{DIGEST}`: {error}")));
    let digest: Option<ModelDigest> = digest.transpose()?;
    let root: SafePath = SHA256SUMS.parse().map_err(|error: handoff::path::PathError| error.to_string())?;
    let sums = sums.map(|text| parse_sha256sums(text.trim().as_bytes(), &root));
    let files = sums.transpose().map_err(|reason| format!("`{SUMS}`: {reason}"))?;
    if digest.is_none() && files.is_none() {
        return Ok(None);
    }
    let manifest = Manifest::of_some(Integrity::Registry, files.unwrap_or_default());
    Ok(Some(Manifest { digest, ..manifest }))
}

/// Turns "not there" into nothing, for the questions where that is an answer.
fn found<T>(result: Result<T, Failed>) -> Result<Option<T>, Failed> {
    match result {
        Err(Failed::Final(StoreError::NotFound { .. })) => Ok(None),
        other => other.map(Some),
    }
}
