//! The only place where a [`VerifiedFile`] is made, and so the only way to a final name.
//!
//! A [`Verifier`] is fed the bytes of one file in order, while they are hot; what it has seen is what is on
//! disk. When the last byte is in, it compares. When every file is verified, [`seal`] compares the model as a
//! whole. `publish` takes nothing else.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use handoff::{FileEntry, Integrity, Layout, ModelDigest, NotInPlace, Receipt, SafePath, Sha256Digest};
use sha2::{Digest as _, Sha256};

use crate::plan::{Plan, PlannedFile};
use crate::store::Class;

/// Bytes read at a time when a file is hashed from disk.
const READ_BYTES: usize = 1024 * 1024;

/// Why content is not what it must be.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file's content is not the expected one.
    #[error("checksum mismatch on {path}: expected sha256 {expected}, got {got}")]
    Checksum {
        /// The file.
        path: SafePath,
        /// What it must be.
        expected: Sha256Digest,
        /// What it is.
        got: Sha256Digest,
    },
    /// A file's size is not the expected one.
    #[error("size mismatch on {path}: expected {expected} bytes, got {got}")]
    Size {
        /// The file.
        path: SafePath,
        /// What it must be.
        expected: u64,
        /// What it is.
        got: u64,
    },
    /// The model as a whole is not the expected one.
    #[error("digest mismatch on the whole model: expected {expected}, got {got}")]
    Model {
        /// What it must be.
        expected: ModelDigest,
        /// What it is.
        got: ModelDigest,
    },
    /// A file of the receipt is not where it says.
    #[error(transparent)]
    NotInPlace(#[from] NotInPlace),
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl VerifyError {
    /// How to meet this failure.
    pub fn class(&self) -> Class {
        match self {
            Self::Read { .. } | Self::NotInPlace(NotInPlace::Io { .. }) => Class::Local,
            _ => Class::Integrity,
        }
    }
}

/// Hashes one file as its bytes come in.
#[derive(Clone, Default)]
pub struct Verifier {
    hasher: Sha256,
    length: u64,
}

impl Verifier {
    /// Takes the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.length = self.length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    /// How many bytes it was fed.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Takes a whole file from disk, from where it stands on.
    ///
    /// # Errors
    /// As reading does.
    pub fn update_from(&mut self, file: &mut File) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let length = file.read(&mut buffer)?;
            match buffer.get(..length) {
                Some(read) if length > 0 => self.update(read),
                _ => return Ok(()),
            }
        }
    }

    /// Compares what came in with what the plan says, and vouches for the staged copy.
    ///
    /// # Errors
    /// [`VerifyError::Size`] or [`VerifyError::Checksum`].
    pub fn finish(self, planned: &PlannedFile, staged: PathBuf) -> Result<VerifiedFile, VerifyError> {
        if let Some(expected) = planned.size
            && expected != self.length
        {
            return Err(VerifyError::Size { path: planned.path.clone(), expected, got: self.length });
        }
        let size = self.length;
        let sha256 = self.digest();
        let checked = match planned.expected {
            Some(expected) if expected.sha256 != sha256 => {
                let (path, expected) = (planned.path.clone(), expected.sha256);
                return Err(VerifyError::Checksum { path, expected, got: sha256 });
            }
            Some(expected) => expected.rung,
            None => Integrity::Recorded,
        };
        let entry = FileEntry { path: planned.path.clone(), size, sha256, checked };
        Ok(VerifiedFile { entry, staged })
    }

    fn digest(self) -> Sha256Digest {
        Sha256Digest::from_bytes(self.hasher.finalize().into())
    }
}

/// A staged file whose content was compared with what it must be. Only [`Verifier::finish`] makes one.
#[derive(Debug)]
pub struct VerifiedFile {
    entry: FileEntry,
    staged: PathBuf,
}

impl VerifiedFile {
    /// What the receipt will say of it.
    pub fn entry(&self) -> &FileEntry {
        &self.entry
    }

    /// Where the verified copy is.
    pub fn staged(&self) -> &Path {
        &self.staged
    }
}

/// A model of which every file is verified, and the whole as well. Only [`seal`] makes one.
#[derive(Debug)]
pub struct VerifiedModel {
    files: Vec<VerifiedFile>,
    digest: ModelDigest,
}

impl VerifiedModel {
    /// The files, sorted by path.
    pub fn files(&self) -> &[VerifiedFile] {
        &self.files
    }

    /// The digest over all files.
    pub fn digest(&self) -> ModelDigest {
        self.digest
    }

    /// The weakest rung that any file reached.
    pub fn integrity(&self) -> Integrity {
        self.files.iter().map(|file| file.entry.checked).min().unwrap_or(Integrity::Recorded)
    }
}

/// Compares the model as a whole with the digest that it must have. Against a pin, every file counts as pinned.
///
/// # Errors
/// [`VerifyError::Model`].
pub fn seal(mut files: Vec<VerifiedFile>, plan: &Plan) -> Result<VerifiedModel, VerifyError> {
    files.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
    let got = ModelDigest::of(files.iter().map(|file| (&file.entry.path, file.entry.sha256)));
    if let Some(expected) = plan.digest
        && expected != got
    {
        return Err(VerifyError::Model { expected, got });
    }
    if plan.pinned {
        files.iter_mut().for_each(|file| file.entry.checked = Integrity::Pinned);
    }
    Ok(VerifiedModel { files, digest: got })
}

/// Hashes one file on disk.
///
/// # Errors
/// As reading does.
pub fn hash_file(path: &Path) -> io::Result<(u64, Sha256Digest)> {
    let mut verifier = Verifier::default();
    verifier.update_from(&mut File::open(path)?)?;
    Ok((verifier.length(), verifier.digest()))
}

/// Hashes again everything that a receipt lists.
///
/// # Errors
/// The first file that is missing, cannot be read or is not what the receipt says.
pub fn verify_directory(layout: &Layout, receipt: &Receipt) -> Result<(), VerifyError> {
    receipt.check_in_place(layout.model_dir())?;
    for file in &receipt.files {
        let path = file.path.below(layout.model_dir());
        let (_, sha256) = hash_file(&path).map_err(|source| VerifyError::Read { path, source })?;
        if sha256 != file.sha256 {
            let (path, expected) = (file.path.clone(), file.sha256);
            return Err(VerifyError::Checksum { path, expected, got: sha256 });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Expected, Source};

    fn planned(size: Option<u64>, content: Option<&[u8]>) -> PlannedFile {
        let path: SafePath = "m.bin".parse().unwrap();
        let source = Source { store: "s3://b".parse().unwrap(), path: path.clone(), identity: None };
        let expected =
            content.map(|content| Expected { sha256: Sha256Digest::of(content), rung: Integrity::Registry });
        PlannedFile { path, size, expected, source }
    }

    fn finish(planned: &PlannedFile, content: &[u8]) -> Result<VerifiedFile, VerifyError> {
        let mut verifier = Verifier::default();
        content.chunks(3).for_each(|chunk| verifier.update(chunk));
        verifier.finish(planned, "/staged".into())
    }

    #[test]
    fn a_file_is_verified_by_size_and_digest() {
        let verified = finish(&planned(Some(4), Some(b"good")), b"good").unwrap();
        assert_eq!(verified.entry().checked, Integrity::Registry);
        assert_eq!(finish(&planned(None, None), b"any").unwrap().entry().checked, Integrity::Recorded);
        let error = finish(&planned(Some(4), Some(b"good")), b"evil").unwrap_err().to_string();
        let (good, evil) = (Sha256Digest::of(b"good"), Sha256Digest::of(b"evil"));
        assert_eq!(error, format!("checksum mismatch on m.bin: expected sha256 {good}, got {evil}"));
        let short = finish(&planned(Some(4), None), b"goo").unwrap_err().to_string();
        assert_eq!(short, "size mismatch on m.bin: expected 4 bytes, got 3");
    }
}
