//! Moves a verified model into place and says so.
//!
//! The order is what makes a crash harmless: the old receipt is already set aside; now old files that the new
//! model does not have are removed, verified files are renamed to their final names, and last the receipt is
//! written to disk. A crash in between leaves no receipt, and the next run begins again.

use std::collections::BTreeSet;
use std::io;

use handoff::{Receipt, SafePath};
use rustix::fs::FileType;

use crate::confined::{Directory, kind_name};
use crate::verify::VerifiedModel;
use crate::volume::{Volume, VolumeError, failed};

/// Why a verified model could not be put into place.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The file system refused.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// Something that is not ours stands where a folder or file of the model must be.
    #[error("{path} cannot be put into place: {obstacle} is {kind}, expected a folder")]
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
    remove_replaced(volume, model)?;
    let mut folders = BTreeSet::new();
    for file in model.files() {
        let path = &file.entry().path;
        make_folders(volume.model(), path, &mut folders)?;
        let moved = file.staged().rename(volume.model(), path.as_str());
        moved.map_err(failed("move a file to", &path.below(volume.model().path())))?;
    }
    let path = volume.layout().receipt();
    receipt.write(&path).map_err(failed("write", &path))?;
    volume.clear_staging()?;
    Ok(())
}

/// Removes what the replaced model had and the new one has not. Files that no receipt of ours lists stay.
fn remove_replaced(volume: &Volume, model: &VerifiedModel) -> Result<(), PublishError> {
    let Some(replaced) = volume.replaced_receipt() else { return Ok(()) };
    let directory = volume.model();
    let kept: BTreeSet<_> = model.files().iter().map(|file| &file.entry().path).collect();
    for old in replaced.files.iter().filter(|old| !kept.contains(&old.path)) {
        match directory.remove_file(old.path.as_str()) {
            Err(error) if !is_absent(&error) => {
                return Err(failed("remove", &old.path.below(directory.path()))(error).into());
            }
            _ => {}
        }
        // Folders that are empty now; the first that is not ends it.
        for folder in old.path.ancestors() {
            if directory.remove_folder(folder).is_err() {
                break;
            }
        }
    }
    Ok(())
}

fn is_absent(error: &io::Error) -> bool {
    // What is behind a link, or is a folder now, was not put there by us.
    let ours = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory, io::ErrorKind::InvalidInput];
    ours.contains(&error.kind()) || error.kind() == io::ErrorKind::IsADirectory
}

/// Makes the folders above `path`, outermost first. A link in their place is not followed: it could lead out of
/// the volume.
fn make_folders<'a>(
    directory: &Directory,
    path: &'a SafePath,
    made: &mut BTreeSet<&'a str>,
) -> Result<(), PublishError> {
    let ancestors: Vec<_> = path.ancestors().collect();
    for folder in ancestors.into_iter().rev() {
        if !made.insert(folder) {
            continue;
        }
        let target = directory.path().join(folder);
        directory.make_folder(folder).map_err(failed("create", &target))?;
        match directory.kind(folder).map_err(failed("look at", &target))? {
            Some(FileType::Directory) | None => {}
            Some(found) => {
                let (path, obstacle, kind) = (path.clone(), folder.to_owned(), kind_name(found));
                return Err(PublishError::Obstacle { path, obstacle, kind });
            }
        }
    }
    Ok(())
}
