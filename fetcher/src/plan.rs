//! The plan: exactly which bytes go where, and what each file must turn out to be.
//!
//! Made once from what the registry said and what the store lists, before any weight is read; nothing here does
//! I/O. Whatever a source could name to do harm (a path twice, a file where a folder must be, our own state
//! directory) is refused here.

use std::collections::BTreeSet;
use std::ops::Range;

use handoff::layout::STATE_DIR_NAME;
use handoff::{Integrity, ModelDigest, ModelId, Resolved, SafePath};
use serde::Serialize;

use crate::archive::{Requested, Unpack};
use crate::manifest::{Manifest, ManifestFile, Others, PartDigest};
use crate::resolve::Location;
use crate::store::{Class, Identity, Listing, RemoteFile};
use crate::uri::StoreUri;
use crate::verify::content_digest::ContentDigest;

pub mod paths;
#[cfg(test)]
mod property;

/// What is to be fetched, and what it must be.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// What the manifest calls the model.
    pub model: ModelId,
    /// What that means.
    pub resolved: Resolved,
    /// The digest that the whole model must have, if one is known beforehand.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub digest: Option<WholeDigest>,
    /// Whose signature vouches for the files, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
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
    /// What its content must be, where that is known beforehand: all of it has to hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<Expected>,
    /// Where its bytes are.
    pub source: Source,
    /// How it is unpacked, if it is an archive of the model's files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpack: Option<Unpack>,
}

impl PlannedFile {
    /// The strongest word that there is on it.
    pub fn rung(&self) -> Integrity {
        self.expected.iter().map(|expected| expected.rung).max().unwrap_or(Integrity::Recorded)
    }
}

/// What a file's content must be, and who says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// Whose word that is.
    pub rung: Integrity,
    /// The digest.
    pub digest: ContentDigest,
    /// The bytes that it is over; nothing for the whole file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<Range<u64>>,
}

impl Expected {
    /// The digest of a whole file.
    pub fn whole(digest: impl Into<ContentDigest>, rung: Integrity) -> Self {
        Self { rung, digest: digest.into(), range: None }
    }
}

/// The digest that a whole model must have, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WholeDigest {
    /// The digest.
    pub digest: ModelDigest,
    /// Whose word that is.
    #[serde(rename = "digest_rung")]
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
    /// What is vouched for beside the registry's word.
    pub manifests: Vec<Manifest>,
    /// Whose signature is among those.
    pub signer: Option<String>,
    /// The digest that the model must have.
    pub pinned: Option<ModelDigest>,
    /// The weakest rung that is accepted.
    pub least: Integrity,
    /// The most bytes that the model may have.
    pub largest: u64,
    /// Which archives are to be unpacked, beside those that the registry says are any.
    pub unpack: Requested,
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
    #[error("{path} collides with {other}, which is of the model too")]
    Collision {
        /// The file.
        path: SafePath,
        /// The other file or folder.
        other: String,
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
    /// Too many long names, or too many short ones, for a receipt that can be read.
    #[error("the names of the model's files take {bytes} bytes of a receipt, expected at most {limit}")]
    TooLongNames {
        /// How many.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// Too many bytes.
    #[error("the model has {bytes} bytes, expected at most {limit}")]
    TooLarge {
        /// How many, as far as is known.
        bytes: u64,
        /// The bound.
        limit: u64,
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
    /// Two who vouch for a file do not say the same.
    #[error("digest mismatch on {path}: {one} against {other}")]
    Contradiction {
        /// The file.
        path: SafePath,
        /// What one says, and who that is.
        one: String,
        /// What the other says, and who that is.
        other: String,
    },
    /// A file that is not in the signature.
    #[error("{path} is not in the signature of the model")]
    Extra {
        /// The file.
        path: SafePath,
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
            Self::TooMany { .. } | Self::TooLongNames { .. } | Self::TooLarge { .. } => Class::Fatal,
            Self::Collision { .. }
            | Self::Reserved { .. }
            | Self::Pin { .. }
            | Self::Size { .. }
            | Self::Contradiction { .. }
            | Self::Extra { .. }
            | Self::TooWeak { .. } => Class::Integrity,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Empty { .. } => Some("check the address; a prefix matches whole path components only"),
            Self::Pin { .. } => Some("MODEL_DIGEST belongs to another version of the model"),
            Self::TooLarge { .. } => Some("FETCHER_MAX_SIZE sets how large a model may be"),
            Self::Collision { .. } => Some(
                "publish the model with names that also differ where upper and lower case, or accents, do not count",
            ),
            Self::Extra { .. } => {
                Some("remove the file from the model, or sign the model again with it, or with it ignored")
            }
            Self::Contradiction { .. } => {
                Some("one of the two is from another version of the file; publish the version again")
            }
            Self::TooWeak { .. } => Some(
                "publish digests (model.yaml, a signature, SHA256SUMS), pin MODEL_DIGEST, or lower FETCHER_INTEGRITY",
            ),
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
        let Input {
            model,
            registry,
            location,
            listing,
            mut manifests,
            signer,
            pinned,
            least,
            largest,
            unpack,
        } = input;
        let uri = location.uri.to_string();
        let mut files = files(&location, &listing);
        unpacked(&mut files, unpack);
        let known = location.manifest.as_ref().and_then(|manifest| manifest.digest);
        // Of archives that are unpacked, a registry's digest is over them, and a pinned one over what was in them.
        if let (Some(expected), Some(got)) = (pinned, known)
            && files.iter().all(|file| file.unpack.is_none())
            && expected != got
        {
            return Err(PlanError::Pin { expected, got });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        if files.is_empty() {
            return Err(PlanError::Empty { uri });
        }
        paths::check(files.iter().map(|file| &file.path))?;
        manifests.extend(location.manifest);
        manifests.iter().try_for_each(|manifest| vouch(&mut files, manifest, &uri))?;
        let pinned = pinned.map(|digest| WholeDigest { digest, rung: Integrity::Pinned });
        let digest = pinned.or(known.map(|digest| WholeDigest { digest, rung: Integrity::Registry }));
        for manifest in &manifests {
            leave_out_others(&mut files, manifest, digest.is_some())?;
        }
        if digest.is_none_or(|whole| whole.rung < least) {
            check_strength(&files, least)?;
        }
        // The sizes that nobody knows yet are bounded as the bytes come in.
        let bytes = files.iter().filter_map(|file| file.size).fold(0, u64::saturating_add);
        if bytes > largest {
            return Err(PlanError::TooLarge { bytes, limit: largest });
        }
        let resolved = Resolved { registry, version: location.version, uri };
        Ok(Self { model, resolved, digest, signer, files })
    }

    /// The files that are fetched as they are.
    pub fn plain(&self) -> impl Iterator<Item = &PlannedFile> + Clone {
        self.files.iter().filter(|file| file.unpack.is_none())
    }

    /// The archives that are unpacked, and how.
    pub fn archives(&self) -> impl Iterator<Item = (&PlannedFile, &Unpack)> {
        self.files.iter().filter_map(|file| Some((file, file.unpack.as_ref()?)))
    }

    /// What the files take up at least, as far as that is known. An archive becomes larger as a rule; only headers are lost
    /// of it, and they are far less than half.
    pub fn least_sizes(&self) -> impl Iterator<Item = u64> {
        self.files
            .iter()
            .filter_map(|file| Some(if file.unpack.is_some() { file.size? / 2 } else { file.size? }))
    }

    /// Size of all files, if every size is known.
    pub fn total_bytes(&self) -> Option<u64> {
        self.files.iter().try_fold(0_u64, |sum, file| Some(sum.saturating_add(file.size?)))
    }
}

/// The files of a model and where they are, without anybody's word on their content yet.
pub fn files(location: &Location, listing: &Listing) -> Vec<PlannedFile> {
    match &location.manifest {
        Some(manifest) if manifest.others == Others::None => described(manifest, &location.uri),
        _ => listed(listing, &location.uri),
    }
}

/// Marks the archives that are to be unpacked.
fn unpacked(files: &mut [PlannedFile], requested: Requested) {
    let count = files.len();
    for file in files.iter_mut().filter(|file| file.unpack.is_none()) {
        let format = requested.format(file.path.file_name(), count);
        file.unpack = format.map(|format| Unpack { format, below: None });
    }
}

/// The registry names the files; the store is not listed.
fn described(manifest: &Manifest, uri: &StoreUri) -> Vec<PlannedFile> {
    let plan = |file: &ManifestFile| {
        let elsewhere = file.uri.as_ref().and_then(|uri| uri.split_file().ok());
        let (store, path) = elsewhere.unwrap_or_else(|| (uri.clone(), file.path.clone()));
        let source = Source { store, path, identity: None };
        let (path, unpack) = (file.path.clone(), file.unpack.clone());
        PlannedFile { path, size: file.size, expected: Vec::new(), source, unpack }
    };
    manifest.files.iter().map(plan).collect()
}

/// The store names the files.
fn listed(listing: &Listing, uri: &StoreUri) -> Vec<PlannedFile> {
    let folder = match listing {
        Listing::Folder(_) => uri.clone(),
        Listing::Single(_) => uri.split_file().map_or_else(|_| uri.clone(), |(folder, _)| folder),
    };
    let plan = |file: &RemoteFile| PlannedFile {
        path: file.path.clone(),
        size: file.size,
        expected: Vec::new(),
        source: Source { store: folder.clone(), path: file.path.clone(), identity: file.identity.clone() },
        unpack: None,
    };
    listing.files().iter().map(plan).collect()
}

/// Holds the files, sorted by path, to what a manifest says of them.
fn vouch(files: &mut [PlannedFile], manifest: &Manifest, uri: &str) -> Result<(), PlanError> {
    for named in &manifest.files {
        let missing = || PlanError::Missing { path: named.path.clone(), uri: uri.to_owned() };
        let index = files.binary_search_by(|file| file.path.cmp(&named.path)).map_err(|_| missing())?;
        let file = files.get_mut(index).ok_or_else(missing)?;
        match (named.size, file.size) {
            (Some(expected), Some(got)) if expected != got => {
                return Err(PlanError::Size { path: file.path.clone(), expected, got });
            }
            (known, None) => file.size = known,
            _ => {}
        }
        for PartDigest { range, digest } in &named.digests {
            let same =
                |other: &&Expected| other.range == *range && other.digest.algorithm() == digest.algorithm();
            if let Some(other) = file.expected.iter().find(same).filter(|other| other.digest != *digest) {
                return Err(PlanError::Contradiction {
                    path: file.path.clone(),
                    one: format!("{} ({})", other.digest, other.rung),
                    other: format!("{digest} ({})", manifest.rung),
                });
            }
            let (digest, range) = (digest.clone(), range.clone());
            file.expected.push(Expected { rung: manifest.rung, digest, range });
        }
    }
    Ok(())
}

/// Refuses files that a manifest does not name, if it says that they have no business here. What it ignores is
/// vouched for by nobody, and is left out unless something else vouches for it.
fn leave_out_others(
    files: &mut Vec<PlannedFile>,
    manifest: &Manifest,
    whole_is_known: bool,
) -> Result<(), PlanError> {
    let Others::Refused { ignored } = &manifest.others else { return Ok(()) };
    let named: BTreeSet<_> = manifest.files.iter().map(|file| &file.path).collect();
    let ignored: BTreeSet<_> = ignored.iter().collect();
    let stray = |file: &&PlannedFile| !named.contains(&file.path) && !ignored.contains(&file.path);
    if let Some(file) = files.iter().find(stray) {
        return Err(PlanError::Extra { path: file.path.clone() });
    }
    files.retain(|file| named.contains(&file.path) || whole_is_known || file.rung() >= Integrity::Registry);
    Ok(())
}

fn check_strength(files: &[PlannedFile], least: Integrity) -> Result<(), PlanError> {
    match files.iter().find(|file| file.rung() < least) {
        Some(file) => Err(PlanError::TooWeak { path: file.path.clone(), rung: file.rung(), least }),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
