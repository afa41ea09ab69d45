//! Resolves in a catalog: reads the alias, if one is asked for, and the version's descriptor.

use super::{Location, ResolveError, found};
use crate::catalog::{DescribedFile, Descriptor, alias_path, version_path};
use crate::connection::Connection;
use crate::limits::Limits;
use crate::manifest::{Manifest, ManifestFile, Others};
use crate::name::{ModelName, VersionName, VersionRef};
use crate::retry::{Budget, Failed};
use crate::store::{self, Store, StoreError};
use crate::uri::StoreUri;
use handoff::{Integrity, SafePath};

pub(super) async fn resolve(
    root: &StoreUri,
    name: &ModelName,
    version: &VersionRef,
    connection: &Connection,
    budget: &Budget,
) -> Result<Location, ResolveError> {
    let registry = format!("catalog+{root}");
    let asked = |source| ResolveError::Registry { registry: registry.clone(), source };
    let too_long = |error: handoff::path::PathError| ResolveError::BadDescriptor {
        what: registry.clone(),
        reason: error.to_string(),
    };
    let unknown = || ResolveError::UnknownVersion {
        name: name.clone(),
        version: version.clone(),
        registry: registry.clone(),
        hint: "a version is <root>/<name>/<version>/model.yaml, an alias <root>/<name>/aliases/<alias>",
    };
    let store = store::open(root, connection).map_err(|error| asked(Failed::Final(error)))?;
    let resolved = match version {
        VersionRef::Named(version) | VersionRef::Newest(version) => version.clone(),
        VersionRef::Alias(alias) => {
            let path = alias_path(name, alias).map_err(too_long)?;
            let content = read(store.as_ref(), &path, budget).await.map_err(asked)?.ok_or_else(unknown)?;
            parse_alias(&content).map_err(|reason| {
                let what = format!("alias `{alias}` of `{name}` in {registry}");
                ResolveError::BadDescriptor { what, reason }
            })?
        }
    };
    let path = version_path(name, &resolved, crate::catalog::DESCRIPTOR).map_err(too_long)?;
    let content = read(store.as_ref(), &path, budget).await.map_err(asked)?.ok_or_else(unknown)?;
    let bad = |reason| ResolveError::BadDescriptor { what: format!("{path} in {registry}"), reason };
    let descriptor = Descriptor::parse(&content, name, &resolved).map_err(bad)?;
    let files = descriptor.files.into_iter().map(|file| manifest_file(file, root)).collect::<Result<_, _>>();
    let uri = below(root, name, &resolved);
    let manifest = Manifest {
        rung: Integrity::Registry,
        digest: Some(descriptor.digest),
        files: files.map_err(bad)?,
        others: Others::None,
    };
    Ok(Location { version: resolved.to_string(), uri, manifest: Some(manifest) })
}

async fn read(store: &dyn Store, path: &SafePath, budget: &Budget) -> Result<Option<Vec<u8>>, Failed> {
    let limit = Limits::DEFAULT.document_bytes;
    let content = budget.run(|| store::read_small(store, path, limit)).await;
    found(content.map(|(content, _)| content))
}

pub(crate) fn parse_alias(content: &[u8]) -> Result<VersionName, String> {
    let text = std::str::from_utf8(content).map_err(|error| error.to_string())?;
    text.trim().parse().map_err(|error: crate::name::NameError| error.to_string())
}

/// A file elsewhere must be in a store that is as remote as the catalog: a descriptor in a bucket must not be
/// able to have local files read.
pub(crate) fn manifest_file(file: DescribedFile, root: &StoreUri) -> Result<ManifestFile, String> {
    let uri = match file.uri {
        None => None,
        Some(uri) => match uri.parse().map_err(|error: crate::uri::UriError| error.to_string())? {
            StoreUri::File(_) if !matches!(root, StoreUri::File(_)) => {
                return Err(format!("{} is said to be on the local disk", file.path));
            }
            uri => Some(uri),
        },
    };
    Ok(ManifestFile { size: Some(file.size), uri, ..ManifestFile::new(file.path, file.sha256) })
}

/// The folder of a version.
fn below(root: &StoreUri, name: &ModelName, version: &VersionName) -> StoreUri {
    match root {
        StoreUri::File(path) => StoreUri::File(path.join(name.as_str()).join(version.as_str())),
        StoreUri::S3 { bucket, prefix, at } => {
            let prefix = format!("{prefix}/{name}/{version}").trim_matches('/').to_owned();
            StoreUri::S3 { bucket: bucket.clone(), prefix, at: at.clone() }
        }
        StoreUri::Gcs { bucket, prefix } => {
            let prefix = format!("{prefix}/{name}/{version}").trim_matches('/').to_owned();
            StoreUri::Gcs { bucket: bucket.clone(), prefix }
        }
        StoreUri::Azure(place) => StoreUri::Azure(place.at(&format!("{}/{name}/{version}", place.prefix))),
        #[cfg(feature = "hdfs")]
        StoreUri::Hdfs(uri) => StoreUri::Hdfs(uri.at(&format!("{}/{name}/{version}", uri.path))),
        StoreUri::Http(url) | StoreUri::HttpFile(url) => {
            let segments = name.as_str().split('/').chain([version.as_str()]);
            StoreUri::Http(crate::http::join(url, segments))
        }
        StoreUri::HuggingFace { .. } => root.clone(),
        // Not the address of a catalog: see `RegistryUri`.
        StoreUri::MlflowArtifacts { .. } => root.clone(),
        #[cfg(feature = "git")]
        StoreUri::Git(_) => root.clone(),
        #[cfg(feature = "oci")]
        StoreUri::Oci(_) => root.clone(),
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Final(error)
    }
}
