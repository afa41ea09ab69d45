//! The plan: exactly which bytes go where, and what each file must turn out to be.
//!
//! Made once from what the registry said and what the store lists, before any weight is read; nothing here does
//! I/O. Whatever a source could name to do harm (a path twice, a file where a folder must be, our own state
//! directory) is refused here.

use std::collections::{BTreeMap, BTreeSet};

use handoff::layout::STATE_DIR_NAME;
use handoff::{Integrity, ModelDigest, ModelId, Resolved, SafePath, Sha256Digest};
use serde::Serialize;

use crate::limits::Limits;
use crate::resolve::{Location, Manifest};
use crate::store::{Class, Identity, Listing};
use crate::uri::StoreUri;

/// Name of the manifest that may lie beside the weights.
pub const SHA256SUMS: &str = "SHA256SUMS";

/// What is to be fetched, and what it must be.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// What the manifest calls the model.
    pub model: ModelId,
    /// What that means.
    pub resolved: Resolved,
    /// The digest that the whole model must have, if one is known beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<ModelDigest>,
    /// Whether that digest is the deployment's own pin.
    #[serde(skip)]
    pub pinned: bool,
    /// The files, sorted by path.
    pub files: Vec<PlannedFile>,
}

/// One file of the plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedFile {
    /// Where it goes.
    pub path: SafePath,
    /// Its size in bytes, where it is known beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// What its content must be, where that is known beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
    /// Where its bytes are.
    pub source: Source,
}

/// What a file's content must be, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// The SHA-256.
    pub sha256: Sha256Digest,
    /// Whose word that is.
    pub rung: Integrity,
}

/// Where a file's bytes are.
#[derive(Clone, Debug, Serialize)]
pub struct Source {
    /// The store.
    #[serde(serialize_with = "as_text")]
    pub store: StoreUri,
    /// The file in it.
    pub path: SafePath,
    /// Which content it had when it was listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

fn as_text<S: serde::Serializer>(uri: &StoreUri, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(uri)
}

/// What a plan is made from.
#[derive(Clone, Debug)]
pub struct Input {
    /// What the manifest calls the model.
    pub model: ModelId,
    /// The registry, for the receipt.
    pub registry: String,
    /// What the registry said.
    pub location: Location,
    /// What the store lists at that location; not needed where the registry names the files.
    pub listing: Listing,
    /// The content of a `SHA256SUMS` among the listed files.
    pub sums: Option<Manifest>,
    /// The digest that the model must have.
    pub pinned: Option<ModelDigest>,
    /// The weakest rung that is accepted.
    pub least: Integrity,
}

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// There is nothing to fetch.
    #[error("{uri} holds no files")]
    Empty {
        /// The address.
        uri: String,
    },
    /// A manifest names a file that is not there.
    #[error("{path} is in the manifest but not at {uri}")]
    Missing {
        /// The file.
        path: SafePath,
        /// The address.
        uri: String,
    },
    /// Two files would be at the same place, or one where another needs a folder.
    #[error("{path} collides with another file of the model")]
    Collision {
        /// The file.
        path: SafePath,
    },
    /// A file would be in our own state directory.
    #[error("{path} is inside `{STATE_DIR_NAME}`, which is not the model's")]
    Reserved {
        /// The file.
        path: SafePath,
    },
    /// Too many files.
    #[error("the model has {count} files, expected at most {limit}")]
    TooMany {
        /// How many.
        count: usize,
        /// The bound.
        limit: usize,
    },
    /// The registry's digest is not the pinned one.
    #[error("digest mismatch: expected {expected} (pinned), got {got} from the registry")]
    Pin {
        /// The pinned digest.
        expected: ModelDigest,
        /// The registry's.
        got: ModelDigest,
    },
    /// A file's size is not the manifest's.
    #[error("size mismatch on {path}: expected {expected} bytes, got {got}")]
    Size {
        /// The file.
        path: SafePath,
        /// The manifest's.
        expected: u64,
        /// The store's.
        got: u64,
    },
    /// A file is not vouched for strongly enough.
    #[error("{path} can only be {rung}, expected at least {least}")]
    TooWeak {
        /// The file.
        path: SafePath,
        /// The strongest rung that it can reach.
        rung: Integrity,
        /// The weakest that is accepted.
        least: Integrity,
    },
}

impl PlanError {
    /// How to meet this failure.
    pub fn class(&self) -> Class {
        match self {
            Self::Empty { .. } | Self::Missing { .. } => Class::NotFound,
            Self::TooMany { .. } => Class::Fatal,
            Self::Collision { .. }
            | Self::Reserved { .. }
            | Self::Pin { .. }
            | Self::Size { .. }
            | Self::TooWeak { .. } => Class::Integrity,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Empty { .. } => Some("check the address; a prefix matches whole path components only"),
            Self::Pin { .. } => Some("MODEL_DIGEST belongs to another version of the model"),
            Self::TooWeak { .. } => {
                Some("publish digests (model.yaml, SHA256SUMS), pin MODEL_DIGEST, or lower FETCHER_INTEGRITY")
            }
            _ => None,
        }
    }
}

impl Plan {
    /// Makes the plan.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn make(input: Input) -> Result<Self, PlanError> {
        let Input { model, registry, location, listing, sums, pinned, least } = input;
        let known = location.manifest.as_ref().and_then(|manifest| manifest.digest);
        if let (Some(expected), Some(got)) = (pinned, known)
            && expected != got
        {
            return Err(PlanError::Pin { expected, got });
        }
        let mut files = match &location.manifest {
            Some(manifest) => described(manifest, &location.uri),
            None => listed(&listing, sums.as_ref(), &location.uri)?,
        };
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let uri = location.uri.to_string();
        check_paths(&files, &uri)?;
        if pinned.is_none() {
            check_strength(&files, least)?;
        }
        let resolved = Resolved { registry, version: location.version, uri };
        Ok(Self { model, resolved, digest: pinned.or(known), pinned: pinned.is_some(), files })
    }

    /// Size of all files, if every size is known.
    pub fn total_bytes(&self) -> Option<u64> {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// The registry names the files; the store is not listed.
fn described(manifest: &Manifest, uri: &StoreUri) -> Vec<PlannedFile> {
    let plan = |file: &crate::resolve::ManifestFile| {
        let elsewhere = file.uri.as_ref().and_then(|uri| uri.split_file().ok());
        let (store, path) = elsewhere.unwrap_or_else(|| (uri.clone(), file.path.clone()));
        PlannedFile {
            path: file.path.clone(),
            size: file.size,
            expected: Some(Expected { sha256: file.sha256, rung: manifest.rung }),
            source: Source { store, path, identity: None },
        }
    };
    manifest.files.iter().map(plan).collect()
}

/// The store names the files; digests come from a manifest beside them, if there is one.
fn listed(listing: &Listing, sums: Option<&Manifest>, uri: &StoreUri) -> Result<Vec<PlannedFile>, PlanError> {
    let digests: BTreeMap<_, _> =
        sums.iter().flat_map(|sums| &sums.files).map(|file| (&file.path, file.sha256)).collect();
    let present: BTreeSet<_> = listing.files().iter().map(|file| &file.path).collect();
    if let Some(path) = digests.keys().find(|path| !present.contains(*path)) {
        return Err(PlanError::Missing { path: (*path).clone(), uri: uri.to_string() });
    }
    let rung = sums.map_or(Integrity::Recorded, |sums| sums.rung);
    let folder = match listing {
        Listing::Folder(_) => uri.clone(),
        Listing::Single(_) => uri.split_file().map_or_else(|_| uri.clone(), |(folder, _)| folder),
    };
    let files = listing.files().iter().map(|file| PlannedFile {
        path: file.path.clone(),
        size: file.size,
        expected: digests.get(&file.path).map(|&sha256| Expected { sha256, rung }),
        source: Source { store: folder.clone(), path: file.path.clone(), identity: file.identity.clone() },
    });
    Ok(files.collect())
}

fn check_paths(files: &[PlannedFile], uri: &str) -> Result<(), PlanError> {
    let limit = Limits::DEFAULT.files;
    if files.is_empty() {
        return Err(PlanError::Empty { uri: uri.to_owned() });
    }
    if files.len() > limit {
        return Err(PlanError::TooMany { count: files.len(), limit });
    }
    let mut taken = BTreeSet::new();
    for file in files {
        if file.path.first_component() == STATE_DIR_NAME {
            return Err(PlanError::Reserved { path: file.path.clone() });
        }
        if !taken.insert(file.path.as_str()) {
            return Err(PlanError::Collision { path: file.path.clone() });
        }
    }
    match files.iter().find(|file| file.path.ancestors().any(|folder| taken.contains(folder))) {
        Some(file) => Err(PlanError::Collision { path: file.path.clone() }),
        None => Ok(()),
    }
}

fn check_strength(files: &[PlannedFile], least: Integrity) -> Result<(), PlanError> {
    let rung = |file: &PlannedFile| file.expected.map_or(Integrity::Recorded, |expected| expected.rung);
    match files.iter().find(|file| rung(file) < least) {
        Some(file) => Err(PlanError::TooWeak { path: file.path.clone(), rung: rung(file), least }),
        None => Ok(()),
    }
}

/// Reads a `SHA256SUMS` file as coreutils writes it: `<sha256>  <path>` or `<sha256> *<path>` per line. The file
/// itself is added, so that what is fetched is what was read here.
///
/// # Errors
/// Names the first line that is not one.
pub fn parse_sha256sums(text: &[u8]) -> Result<Manifest, String> {
    let itself = Sha256Digest::of(text);
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let entry = |path, sha256| crate::resolve::ManifestFile { path, size: None, sha256, uri: None };
    let parse = |(index, line): (usize, &str)| {
        let wrong = |reason: String| format!("line {}: {reason}", index + 1);
        let (digest, name) =
            line.split_once(' ').ok_or_else(|| wrong("expected `<sha256>  <path>`".into()))?;
        let sha256 =
            digest.parse().map_err(|error: handoff::digest::DigestError| wrong(error.to_string()))?;
        let name = name.strip_prefix([' ', '*']).unwrap_or(name);
        let name = name.strip_prefix("./").unwrap_or(name);
        let path = name.parse().map_err(|error: handoff::path::PathError| wrong(error.to_string()))?;
        Ok(entry(path, sha256))
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut files = lines.map(parse).collect::<Result<Vec<_>, String>>()?;
    let own_path = SHA256SUMS.parse().map_err(|error: handoff::path::PathError| error.to_string())?;
    files.push(entry(own_path, itself));
    Ok(Manifest { rung: Integrity::Manifest, digest: None, files })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
