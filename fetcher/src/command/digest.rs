//! `fetcher digest`: prints `SHA256SUMS` of a directory, and the model digest on standard error.

use std::path::Path;

use handoff::digest::sha256sums;
use handoff::layout::STATE_DIR_NAME;
use handoff::{ModelDigest, SafePath, Sha256Digest};

use crate::error::Error;
use crate::store::{Listing, StoreError, file};
use crate::verify::hash_file;

/// A file of a local directory, hashed.
pub(super) struct HashedFile {
    pub(super) path: SafePath,
    pub(super) size: u64,
    pub(super) sha256: Sha256Digest,
}

pub(crate) fn run(directory: &Path) -> Result<String, Error> {
    let files = hash_directory(directory)?;
    let pairs = || files.iter().map(|file| (&file.path, file.sha256));
    super::print(&sha256sums(pairs()))?;
    Ok(ModelDigest::of(pairs()).to_string())
}

/// Hashes every file below a directory, but for our own state.
pub(super) fn hash_directory(directory: &Path) -> Result<Vec<HashedFile>, Error> {
    let failed = |source| Error::Directory { directory: directory.display().to_string(), source };
    let listing = file::list(directory).map_err(failed)?;
    let mut paths: Vec<_> = listing.files().iter().map(|file| file.path.clone()).collect();
    paths.retain(|path| path.first_component() != STATE_DIR_NAME);
    paths.sort();
    let root = match listing {
        Listing::Folder(_) => directory,
        Listing::Single(_) => directory.parent().unwrap_or(directory),
    };
    let hash = |path: SafePath| {
        let located = path.below(root);
        let (size, sha256) =
            hash_file(&located).map_err(|source| failed(StoreError::Local { path: located, source }))?;
        Ok(HashedFile { path, size, sha256 })
    };
    paths.into_iter().map(hash).collect()
}
