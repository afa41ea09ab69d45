//! Files of credentials: what is read of one, and when it is no error that there is none.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// More than any of them has.
const LARGEST: u64 = 1024 * 1024;

/// A file of credentials that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read credentials from {}", path.display())]
pub struct UnreadableCredentials {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Reads a file that must be there.
pub(crate) fn read(path: &Path) -> Result<String, UnreadableCredentials> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST).read_to_string(&mut text))
        .map_err(|source| UnreadableCredentials { path: path.to_owned(), source })?;
    Ok(text)
}

/// Where there may be a file.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Where the environment says.
    Named(PathBuf),
    /// Where nobody said. A home folder that may not be read is somebody else's: a container may run as any user, and
    /// `HOME` stays what it was.
    AtHome(PathBuf),
}

impl Place {
    /// Reads the file, if it is there.
    pub(super) fn read(&self) -> Result<Option<String>, UnreadableCredentials> {
        let (path, is_guessed) = match self {
            Self::Named(path) => (path, false),
            Self::AtHome(path) => (path, true),
        };
        match read(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) => match error.source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
                io::ErrorKind::PermissionDenied if is_guessed => Ok(None),
                _ => Err(error),
            },
        }
    }
}

impl From<UnreadableCredentials> for StoreError {
    fn from(UnreadableCredentials { path, source }: UnreadableCredentials) -> Self {
        Self::Local { path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_there_is_missed_and_a_guess_is_not() {
        let nowhere = PathBuf::from("/nowhere/credentials");
        assert_eq!(read(&nowhere).unwrap_err().path, nowhere);
        for place in [Place::Named(nowhere.clone()), Place::AtHome(nowhere)] {
            assert_eq!(place.read().unwrap(), None);
        }
        // A folder is there and is no file, whoever reads it.
        let folder = PathBuf::from("/");
        assert!(Place::Named(folder.clone()).read().is_err() && Place::AtHome(folder).read().is_err());
    }
}
