//! Moves a verified model into place and says so.
//!
//! The order is what makes a crash harmless: the old receipt is already set aside; now old files that the new
//! model does not have are removed, verified files are renamed to their final names, and last the receipt is
//! written to disk. A crash in between leaves no receipt, and the next run begins again.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use handoff::{Receipt, SafePath};

use crate::verify::VerifiedModel;
use crate::volume::{Volume, VolumeError, failed};

/// Why a verified model could not be put into place.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The file system refused.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// Something that is not ours stands where a folder or file of the model must be.
    #[error("{path} cannot be put into place: {obstacle} is a {kind}, expected a folder")]
    Obstacle {
        /// The file.
        path: SafePath,
        /// What stands in the way.
        obstacle: String,
        /// What it is.
        kind: &'static str,
    },
}

/// Puts the files of `model` into place and writes `receipt`.
///
/// # Errors
/// See [`PublishError`]; there is then no receipt.
pub fn publish(volume: &Volume, model: &VerifiedModel, receipt: &Receipt) -> Result<(), PublishError> {
    let directory = volume.layout().model_dir();
    remove_replaced(volume, model)?;
    let mut folders = BTreeSet::new();
    for file in model.files() {
        let path = &file.entry().path;
        make_folders(directory, path, &mut folders)?;
        let target = path.below(directory);
        fs::rename(file.staged(), &target).map_err(failed("move a file to", &target))?;
    }
    let path = volume.layout().receipt();
    receipt.write(&path).map_err(failed("write", &path))?;
    let staging = volume.layout().staging();
    fs::remove_dir_all(&staging).map_err(failed("clear", &staging))?;
    Ok(())
}

/// Removes what the replaced model had and the new one has not. Files that no receipt of ours lists stay.
fn remove_replaced(volume: &Volume, model: &VerifiedModel) -> Result<(), PublishError> {
    let Some(replaced) = volume.replaced_receipt() else { return Ok(()) };
    let directory = volume.layout().model_dir();
    let kept: BTreeSet<_> = model.files().iter().map(|file| &file.entry().path).collect();
    for old in replaced.files.iter().filter(|old| !kept.contains(&old.path)) {
        let target = old.path.below(directory);
        match fs::remove_file(&target) {
            Err(error) if !is_absent(&error) => return Err(failed("remove", &target)(error).into()),
            _ => {}
        }
        // Folders that are empty now; the first that is not ends it.
        for folder in old.path.ancestors() {
            if fs::remove_dir(directory.join(folder)).is_err() {
                break;
            }
        }
    }
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Makes the folders above `path`, outermost first. A link in their place is not followed: it could lead out of
/// the volume.
fn make_folders<'a>(
    directory: &Path,
    path: &'a SafePath,
    made: &mut BTreeSet<&'a str>,
) -> Result<(), PublishError> {
    let ancestors: Vec<_> = path.ancestors().collect();
    for folder in ancestors.into_iter().rev() {
        if !made.insert(folder) {
            continue;
        }
        let target = directory.join(folder);
        match fs::create_dir(&target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let found = fs::symlink_metadata(&target).map_err(failed("look at", &target))?;
                if !found.is_dir() {
                    let kind = if found.is_symlink() { "link" } else { "file" };
                    let (path, obstacle) = (path.clone(), folder.to_owned());
                    return Err(PublishError::Obstacle { path, obstacle, kind });
                }
            }
            other => other.map_err(failed("create", &target))?,
        }
    }
    Ok(())
}
