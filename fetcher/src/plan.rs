//! The plan: exactly which bytes go where, and what each file must turn out to be.
//!
//! Made once from what the registry said and what the store lists, before any weight is read; nothing here does
//! I/O. Whatever a source could name to do harm (a path twice, a file where a folder must be, our own state
//! directory) is refused here.

use std::collections::BTreeSet;
use std::ops::Range;

use handoff::{Integrity, ModelDigest, ModelId, Resolved, SafePath, Selection};
use serde::Serialize;

use crate::archive::{Requested, Unpack};
use crate::filter::Filter;
use crate::manifest::{Manifest, ManifestFile, Others, PartDigest};
use crate::resolve::Location;
use crate::signature::SIGNATURE_NAME;
use crate::store::{Identity, Listing, RemoteFile};
use crate::uri::StoreUri;
use crate::verify::content_digest::ContentDigest;

mod error;
pub mod paths;
#[cfg(test)]
mod property;

pub use error::PlanError;

/// What is to be fetched, and what it must be.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// What the manifest calls the model.
    pub model: ModelId,
    /// What that means.
    pub resolved: Resolved,
    /// Which of its files are wanted, if not all.
    #[serde(skip_serializing_if = "Selection::is_everything")]
    pub selection: Selection,
    /// The digest that the files together must have, if one is known beforehand.
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
    /// Whether it is fetched. Of an archive, what is in it is wanted or not.
    pub fn is_wanted(&self, filter: &Filter) -> bool {
        self.unpack.is_some() || filter.selects(&self.path)
    }

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
    /// Which files are wanted.
    pub filter: Filter,
    /// The digest that those must have together.
    pub pinned: Option<ModelDigest>,
    /// The weakest rung that is accepted.
    pub least: Integrity,
    /// The most bytes that the model may have.
    pub largest: u64,
    /// Which archives are to be unpacked, beside those that the registry says are any.
    pub unpack: Requested,
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
            filter,
            pinned,
            least,
            largest,
            unpack,
        } = input;
        let uri = location.uri.to_string();
        let mut files = files(&location, &listing, unpack);
        // A registry's digest is over the whole model.
        let whole = files.iter().all(|file| file.is_wanted(&filter));
        let known = location.manifest.as_ref().and_then(|manifest| manifest.digest).filter(|_| whole);
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
        leave_out_unwanted(&mut files, &filter, signer.is_some(), &uri)?;
        if digest.is_none_or(|whole| whole.rung < least) {
            check_strength(&files, least)?;
        }
        // The sizes that nobody knows yet are bounded as the bytes come in.
        let bytes = files.iter().filter_map(|file| file.size).fold(0, u64::saturating_add);
        if bytes > largest {
            return Err(PlanError::TooLarge { bytes, limit: largest });
        }
        let resolved = Resolved { registry, version: location.version, uri };
        Ok(Self { model, resolved, selection: filter.selection().clone(), digest, signer, files })
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
pub fn files(location: &Location, listing: &Listing, unpack: Requested) -> Vec<PlannedFile> {
    let mut files = match &location.manifest {
        Some(manifest) if manifest.others == Others::None => described(manifest, &location.uri),
        _ => listed(listing, &location.uri),
    };
    unpacked(&mut files, unpack);
    files
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

/// Leaves out what is not wanted, now that all is held to what vouches for it. A signature that counts is wanted:
/// the next run looks at it again.
fn leave_out_unwanted(
    files: &mut Vec<PlannedFile>,
    filter: &Filter,
    signed: bool,
    uri: &str,
) -> Result<(), PlanError> {
    if !files.iter().any(|file| file.is_wanted(filter)) {
        return Err(PlanError::NoneSelected {
            uri: uri.to_owned(),
            files: files.len(),
            filter: filter.clone(),
        });
    }
    files.retain(|file| file.is_wanted(filter) || signed && file.path.as_str() == SIGNATURE_NAME);
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
