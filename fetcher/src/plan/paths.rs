//! Whether the files of a model can all be in one directory, whatever volume that is on.
//!
//! Some file systems take upper and lower case for the same, or an accent written in two ways. On those, two files could
//! become one; so no model has such names, and what a model is does not depend on the volume.

use std::collections::BTreeMap;

use handoff::SafePath;
use handoff::layout::STATE_DIR_NAME;
use icu_normalizer::DecomposingNormalizerBorrowed as DecomposingNormalizer;

use super::PlanError;
use crate::limits::Limits;

#[cfg(test)]
mod property;

/// Bytes of a receipt that its files may take: what a reader accepts, less what is beside them.
const MAX_RECEIPT_BYTES: usize = 16 * 1024 * 1024 - 64 * 1024;

/// Refuses files that are too many, that would be at the same place, one where another needs a folder, or in our own
/// state directory.
///
/// # Errors
/// [`PlanError::TooMany`], [`PlanError::TooLongNames`], [`PlanError::Collision`], [`PlanError::Reserved`].
pub fn check<'a>(paths: impl Iterator<Item = &'a SafePath> + Clone) -> Result<(), PlanError> {
    let (count, limit) = (paths.clone().count(), Limits::DEFAULT.files);
    if count > limit {
        return Err(PlanError::TooMany { count, limit });
    }
    let bytes = paths.clone().map(receipt_bytes).sum();
    if bytes > MAX_RECEIPT_BYTES {
        return Err(PlanError::TooLongNames { bytes, limit: MAX_RECEIPT_BYTES });
    }
    let collision =
        |path: &SafePath, other: &str| PlanError::Collision { path: path.clone(), other: other.to_owned() };
    let state_dir = folded(STATE_DIR_NAME);
    let mut files = BTreeMap::new();
    let mut folders = BTreeMap::new();
    for path in paths.clone() {
        if folded(path.first_component()) == state_dir {
            return Err(PlanError::Reserved { path: path.clone() });
        }
        if let Some(other) = files.insert(folded(path.as_str()), path) {
            return Err(collision(path, other.as_str()));
        }
        for folder in path.ancestors() {
            // A folder in two spellings would be one on some volumes and two on others.
            let known = *folders.entry(folded(folder)).or_insert(folder);
            if known != folder {
                return Err(collision(path, known));
            }
        }
    }
    for path in paths {
        let file_above = path.ancestors().find_map(|folder| files.get(folded(folder).as_str()));
        if let Some(other) = file_above {
            return Err(collision(path, other.as_str()));
        }
    }
    Ok(())
}

/// Bytes that a file takes in the receipt at most, printed tersely: its path, and the names and values beside.
fn receipt_bytes(path: &SafePath) -> usize {
    const BESIDE: usize =
        r#"{"path":"","size":18446744073709551615,"sha256":"","checked":"recorded"},"#.len() + 64;
    // Nothing else in a path is printed longer than it is.
    path.as_str().len() + path.as_str().matches('"').count() + BESIDE
}

/// How a file system sees a name that takes upper and lower case, or an accent written in two ways, for the same.
/// The way over capital letters takes along what has no small counterpart of its own, such as `ß` and `SS`; the way over
/// small ones before it what is its own capital, such as `ẞ`.
fn folded(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let normalizer = DecomposingNormalizer::new_nfd();
    let cased = normalizer.normalize(name).to_lowercase().to_uppercase().to_lowercase();
    normalizer.normalize(&cased).into_owned()
}
