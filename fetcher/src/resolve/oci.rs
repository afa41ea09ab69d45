//! Resolves in an OCI registry: a tag or a digest to a manifest, and that to the files of a model.
//!
//! A tag is asked for once; from then on everything goes by digest, and the digest is the version. What the manifest says of
//! its layers becomes a manifest of ours, which vouches for each of them as a registry does ([`layers`]). A kit may be built
//! upon another one, whose model it then has; that one is asked for as well.

use handoff::text::shown;
use handoff::{Integrity, Sha256Digest};
use serde::Deserialize;

use self::document::Document;
use self::layers::{Files, Kind};
use super::{Location, ResolveError};
use crate::connection::Connection;
use crate::limits::Limits;
use crate::manifest::{Manifest, Others};
use crate::retry::{Budget, Failed};
use crate::store::StoreError;
use crate::store::oci::{self, Registry};
use crate::uri::StoreUri;
use crate::uri::oci::{OciUri, Repository};

pub(crate) mod document;
pub(crate) mod layers;

#[derive(Deserialize)]
struct Kitfile {
    model: Option<KitModel>,
}

#[derive(Deserialize)]
struct KitModel {
    path: Option<String>,
}

/// A manifest with layers, and the digest that it was asked for by or that its tag is on.
struct Found {
    digest: Sha256Digest,
    document: Document,
    kind: Kind,
    registry: Registry,
}

/// Goes on where another registry says that the bytes are in an OCI registry. The version stays that one's.
pub(super) async fn follow(
    location: Location,
    connection: &Connection,
    budget: &Budget,
) -> Result<Location, ResolveError> {
    let StoreUri::Oci(uri) = &location.uri else { return Ok(location) };
    let digest = match &location.manifest {
        Some(manifest) if manifest.others == Others::None => return Ok(location),
        Some(manifest) if !manifest.files.is_empty() => {
            return Err(bad(
                uri,
                "its files are named by its manifest, expected no others to be named".into(),
            ));
        }
        known => known.as_ref().and_then(|manifest| manifest.digest),
    };
    let mut found = resolve(uri, Some(location.version), connection, budget).await?;
    if let Some(manifest) = &mut found.manifest {
        manifest.digest = digest;
    }
    Ok(found)
}

/// Finds the manifest of `uri` and what files it is of. `version` is what another registry calls it; else its digest is.
pub(super) async fn resolve(
    uri: &OciUri,
    version: Option<String>,
    connection: &Connection,
    budget: &Budget,
) -> Result<Location, ResolveError> {
    let asking = Asking { connection, budget };
    let found = asking.find(uri).await?;
    let pinned = uri.at(found.digest);
    let mut chain = vec![pinned.clone()];
    let mut kits = Vec::new();
    let mut next = asking.parent(&found, &pinned).await?;
    while let Some(uri) = next {
        let bad = |reason: String| bad(&pinned, reason);
        if chain.len() > Limits::DEFAULT.oci_parents {
            let limit = Limits::DEFAULT.oci_parents;
            return Err(bad(format!("more than {limit} kits are built upon each other")));
        }
        if uri.is_floating() {
            tracing::warn!(
                "{} is built upon {uri}, which may be another model tomorrow",
                chain.last().unwrap_or(&pinned)
            );
        }
        let kit = asking.find(&uri).await?;
        let at = uri.at(kit.digest);
        if chain.contains(&at) {
            return Err(bad(format!("{at} is built upon itself")));
        }
        next = asking.parent(&kit, &at).await?;
        chain.push(at);
        kits.push(kit);
    }
    let mut files = Files::default();
    let kits = kits.iter().rev().map(|kit| (kit, true)).chain([(&found, false)]);
    for (Found { document, kind, registry, .. }, is_parent) in kits {
        let added = files.add(document, *kind, registry.repository(), is_parent);
        added.map_err(|reason| bad(&uri.at(found.digest), reason))?;
    }
    let manifest =
        Manifest { rung: Integrity::Registry, digest: None, files: files.files, others: Others::None };
    let version = version.unwrap_or_else(|| format!("{:?}", found.digest));
    Ok(Location { version, uri: StoreUri::Oci(pinned), manifest: Some(manifest) })
}

struct Asking<'a> {
    connection: &'a Connection,
    budget: &'a Budget,
}

impl Asking<'_> {
    /// The manifest with layers that an address leads to.
    async fn find(&self, uri: &OciUri) -> Result<Found, ResolveError> {
        let failed = |source| ResolveError::Artifact { uri: uri.to_string(), source };
        let registry = self.registry(&uri.repository).map_err(|error| failed(error.into()))?;
        let first = self.budget.run(|| async {
            match (uri.digest, &uri.tag) {
                (Some(digest), _) => registry.pinned(digest).await,
                (None, tag) => registry.tagged(tag.as_deref().unwrap_or_default()).await,
            }
        });
        let oci::Manifest { digest, bytes, media_type } = first.await.map_err(failed)?;
        let bad = |reason| bad(&uri.at(digest), reason);
        let mut told = media_type;
        let mut document = Document::parse(&bytes).map_err(bad)?;
        if document.is_index(told.as_deref()) {
            let chosen = document.choose().map_err(bad)?;
            let manifest = self.budget.run(|| registry.pinned(chosen)).await.map_err(failed)?;
            told = manifest.media_type;
            document = Document::parse(&manifest.bytes).map_err(bad)?;
            if document.is_index(told.as_deref()) {
                return Err(bad("expected a manifest in an index, got another index".into()));
            }
        }
        let kind = Kind::of(&document, told.as_deref()).map_err(bad)?;
        Ok(Found { digest, document, kind, registry })
    }

    /// What a kit is built upon, if it is one and has no model of its own.
    async fn parent(&self, found: &Found, at: &OciUri) -> Result<Option<OciUri>, ResolveError> {
        let Some(config) = found.document.config.as_ref().filter(|_| found.kind == Kind::ModelKit) else {
            return Ok(None);
        };
        let bad = |reason| bad(at, reason);
        let digest = config.sha256().map_err(bad)?;
        let kitfile = self.budget.run(|| found.registry.small_blob(digest)).await;
        let kitfile = kitfile.map_err(|source| ResolveError::Artifact { uri: at.to_string(), source })?;
        parent(&kitfile).map_err(bad)
    }

    fn registry(&self, repository: &Repository) -> Result<Registry, StoreError> {
        Registry::new(repository, self.connection)
    }
}

/// What the model's path in a Kitfile leads to, if that is another kit: as KitOps has it, what has a tag or a digest and
/// could be an address.
fn parent(kitfile: &[u8]) -> Result<Option<OciUri>, String> {
    let kitfile: Kitfile = serde_json::from_slice(kitfile)
        .map_err(|error| format!("its Kitfile: {}", shown(&error.to_string())))?;
    let Some(path) = kitfile.model.and_then(|model| model.path) else { return Ok(None) };
    if !path.contains([':', '@']) {
        return Ok(None);
    }
    let uri =
        OciUri::parse(&path).map_err(|error| format!("it is built upon `{}`: {error}", shown(&path)))?;
    Ok(Some(uri))
}

fn bad(uri: &OciUri, reason: String) -> ResolveError {
    ResolveError::BadDescriptor { what: uri.to_string(), reason }
}

impl ResolveError {
    /// What to do about what an OCI registry did not give.
    pub(super) fn artifact_hint(source: &Failed) -> Option<&'static str> {
        use crate::store::Class;
        match source.class() {
            Class::NotFound => Some("check the repository's name, and its tag or digest"),
            Class::Denied => Some(
                "name credentials that may read it in Docker's config.json, and its folder in DOCKER_CONFIG",
            ),
            _ => source.hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kit_says_what_it_is_built_upon() {
        let parent = |text: &str| parent(text.as_bytes()).map(|uri| uri.map(|uri| uri.to_string()));
        assert_eq!(parent(r#"{"model": {"path": "./model.onnx"}}"#), Ok(None));
        assert_eq!(parent(r#"{"manifestVersion": "1"}"#), Ok(None));
        let found = parent(r#"{"model": {"path": "ghcr.io/team/base:v1"}}"#).unwrap();
        assert_eq!(found.as_deref(), Some("oci://ghcr.io/team/base:v1"));
        assert!(parent(r#"{"model": {"path": "base:v1"}}"#).unwrap_err().contains("`base:v1`"));
        assert!(parent("[").unwrap_err().starts_with("its Kitfile: "));
    }
}
