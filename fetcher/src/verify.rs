//! The only place where a [`VerifiedFile`] is made, and so the only way to a final name.
//!
//! A [`Verifier`] is fed the bytes of one file in order, while they are hot; what it has seen is what is on
//! disk. When the last byte is in, it compares. When every file is verified, [`seal`] compares the model as a
//! whole. `publish` takes nothing else.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use handoff::{FileEntry, Integrity, Layout, ModelDigest, NotInPlace, Receipt, SafePath, Sha256Digest};

use crate::confined::{Access, Directory, Place};
use crate::plan::{Expected, Plan, PlannedFile, WholeDigest};
use crate::store::Class;

pub mod archived;
pub mod content_digest;
mod expectations;
pub mod lanes;

use archived::VerifiedArchive;
use content_digest::ContentDigest;
use expectations::Expectations;
use lanes::{LANES, Sha256};

/// Bytes read at a time when a file is hashed from disk.
const READ_BYTES: usize = 1024 * 1024;

/// Why content is not what it must be.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file's content is not the expected one.
    #[error("checksum mismatch on {path}{part}: expected {}, got {}", Spaced(expected), got.digits())]
    Checksum {
        /// The file.
        path: SafePath,
        /// Which bytes of it.
        part: Part,
        /// What it must be.
        expected: ContentDigest,
        /// What it is.
        got: ContentDigest,
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

/// The bytes of a file that a digest is over: a shard of it, or all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part(Option<Range<u64>>);

impl From<Option<Range<u64>>> for Part {
    fn from(range: Option<Range<u64>>) -> Self {
        Self(range)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(range) => write!(f, ", bytes {}-{}", range.start, range.end.saturating_sub(1)),
            None => Ok(()),
        }
    }
}

/// A digest as people read it in a sentence.
struct Spaced<'a>(&'a ContentDigest);

impl fmt::Display for Spaced<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.algorithm().name(), self.0.digits())
    }
}

/// Hashes one file as its bytes come in.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    hasher: Sha256,
    /// What else there is to compare; most files have nothing.
    others: Option<Expectations>,
}

impl Verifier {
    /// A verifier for a file of which all this is expected, and its size, where that is known.
    pub fn new(expected: &[Expected], size: Option<u64>) -> Self {
        let plain = |expected: &Expected| expected.range.is_none() && expected.digest.sha256().is_some();
        let others = (!expected.iter().all(plain)).then(|| Expectations::new(expected, size));
        Self { hasher: Sha256::new(), others }
    }

    /// Takes the next bytes of the file.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.update_others(bytes);
    }

    fn update_others(&mut self, bytes: &[u8]) {
        if let Some(others) = &mut self.others {
            others.update(bytes);
        }
    }

    /// How many bytes it was fed.
    pub fn length(&self) -> u64 {
        self.hasher.length()
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
    pub fn finish(self, planned: &PlannedFile, staged: Place) -> Result<VerifiedFile, VerifyError> {
        let (sha256, size) = self.compare(planned)?;
        let entry = FileEntry { path: planned.path.clone(), size, sha256, checked: planned.rung() };
        Ok(VerifiedFile { entry, staged })
    }

    fn compare(self, planned: &PlannedFile) -> Result<(Sha256Digest, u64), VerifyError> {
        let size = self.length();
        if let Some(expected) = planned.size
            && expected != size
        {
            return Err(VerifyError::Size { path: planned.path.clone(), expected, got: size });
        }
        let (sha256, others) = self.into_parts();
        for expected in planned.expected.iter().filter(|expected| expected.range.is_none()) {
            if expected.digest.sha256().is_some() {
                expectations::compare(planned, expected, sha256.into())?;
            }
        }
        others.unwrap_or_default().finish(planned)?;
        Ok((sha256, size))
    }

    fn into_parts(self) -> (Sha256Digest, Option<Expectations>) {
        (Sha256Digest::from_bytes(self.hasher.finish()), self.others)
    }

    /// The SHA-256 of what it was fed.
    pub fn digest(self) -> Sha256Digest {
        Sha256Digest::from_bytes(self.hasher.finish())
    }
}

/// The next bytes of one file, in pieces, and its verifier.
pub type Lane<'a> = (&'a mut Verifier, &'a [Bytes]);

/// Takes the next `length` bytes of several files in step, which is faster than one after another. Each has at
/// least so many.
pub fn update_together(files: &mut [Lane<'_>], length: usize) {
    // The piece that each file is at, and how much of it is taken.
    let mut at = vec![(0_usize, 0_usize); files.len()];
    let mut left = length;
    while left > 0 {
        let rest = |pieces: &'_ [Bytes], (piece, taken): (usize, usize)| {
            pieces.get(piece).map_or(0, |piece| piece.len() - taken)
        };
        // As much as every file has in one piece.
        let rests = files.iter().zip(&at).map(|((_, pieces), at)| rest(pieces, *at));
        let step = rests.min().unwrap_or(0).min(left);
        if step == 0 {
            return;
        }
        let mut jobs = Vec::with_capacity(LANES);
        for ((verifier, pieces), at) in files.iter_mut().zip(&mut at) {
            let Some(bytes) = pieces.get(at.0).and_then(|piece| piece.get(at.1..at.1 + step)) else {
                continue;
            };
            verifier.update_others(bytes);
            jobs.push((&mut verifier.hasher, bytes));
            at.1 += step;
            if rest(pieces, *at) == 0 {
                *at = (at.0 + 1, 0);
            }
        }
        lanes::update_together(&mut jobs);
        left -= step;
    }
}

/// A staged file whose content was compared with what it must be. Only [`Verifier::finish`] makes one.
#[derive(Debug)]
pub struct VerifiedFile {
    entry: FileEntry,
    staged: Place,
}

impl VerifiedFile {
    /// What the receipt will say of it.
    pub fn entry(&self) -> &FileEntry {
        &self.entry
    }

    /// Where the verified copy is.
    pub fn staged(&self) -> &Place {
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

/// Compares the model as a whole with the digest that it must have, which vouches for every file of it. A pinned digest
/// is over the files as they will be in place; a registry's is over what the registry has, `archives` unopened.
///
/// # Errors
/// [`VerifyError::Model`].
pub fn seal(
    mut files: Vec<VerifiedFile>,
    archives: Vec<VerifiedArchive>,
    plan: &Plan,
) -> Result<VerifiedModel, VerifyError> {
    let plain = files.iter().map(|file| (&file.entry.path, file.entry.sha256));
    let stored = plain.chain(archives.iter().map(|archive| (&archive.entry.0, archive.entry.1)));
    let stored = ModelDigest::of(stored);
    files.extend(archives.into_iter().flat_map(|archive| archive.files));
    files.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
    let got = ModelDigest::of(files.iter().map(|file| (&file.entry.path, file.entry.sha256)));
    if let Some(WholeDigest { digest: expected, rung }) = plan.digest {
        let compared = if rung == Integrity::Pinned { got } else { stored };
        if expected != compared {
            return Err(VerifyError::Model { expected, got: compared });
        }
        files.iter_mut().for_each(|file| file.entry.checked = file.entry.checked.max(rung));
    }
    Ok(VerifiedModel { files, digest: got })
}

/// Hashes one file on disk.
///
/// # Errors
/// As reading does.
pub fn hash_file(path: &Path) -> io::Result<(u64, Sha256Digest)> {
    hash(&mut File::open(path)?)
}

fn hash(file: &mut File) -> io::Result<(u64, Sha256Digest)> {
    let mut verifier = Verifier::default();
    verifier.update_from(file)?;
    Ok((verifier.length(), verifier.into_parts().0))
}

/// Hashes again everything that a receipt lists.
///
/// # Errors
/// The first file that is missing, cannot be read or is not what the receipt says.
pub fn verify_directory(layout: &Layout, receipt: &Receipt) -> Result<(), VerifyError> {
    receipt.check_in_place(layout.model_dir())?;
    // The directory may be named by a link; what is in it may not.
    let unreadable = |source| VerifyError::Read { path: layout.model_dir().to_owned(), source };
    let directory = layout.model_dir().canonicalize().and_then(|path| Directory::open(&path));
    let directory = directory.map_err(unreadable)?;
    for file in &receipt.files {
        let opened = directory.file(file.path.as_str(), Access::Read);
        let hashed = opened.and_then(|mut opened| hash(&mut opened));
        let path = file.path.below(layout.model_dir());
        let (_, sha256) = hashed.map_err(|source| VerifyError::Read { path, source })?;
        if sha256 != file.sha256 {
            let (path, expected) = (file.path.clone(), file.sha256.into());
            return Err(VerifyError::Checksum { path, part: Part::default(), expected, got: sha256.into() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Source;

    fn planned(size: Option<u64>, content: Option<&[u8]>) -> PlannedFile {
        let path: SafePath = "m.bin".parse().unwrap();
        let source = Source { store: "s3://b".parse().unwrap(), path: path.clone(), identity: None };
        let expected = content.map(|content| Expected::whole(Sha256Digest::of(content), Integrity::Registry));
        PlannedFile { path, size, expected: expected.into_iter().collect(), source, unpack: None }
    }

    fn finish(planned: &PlannedFile, content: &[u8]) -> Result<VerifiedFile, VerifyError> {
        let mut verifier = Verifier::default();
        content.chunks(3).for_each(|chunk| verifier.update(chunk));
        let folder = Directory::open(Path::new("/")).unwrap();
        verifier.finish(planned, Place::new(&folder, "staged".into()))
    }

    #[test]
    fn files_that_are_taken_in_step_are_what_they_are_alone() {
        let contents: Vec<Vec<u8>> = (0..5_u8).map(|file| vec![file; 70_000]).collect();
        let pieces = |file: usize, length: usize| -> Vec<Bytes> {
            contents[file].chunks(length).map(Bytes::copy_from_slice).collect()
        };
        let pieces: Vec<_> = (0..5).map(|file| pieces(file, 1 + 7000 * (file + 1))).collect();
        let mut verifiers = vec![Verifier::default(); 5];
        let mut files: Vec<Lane<'_>> = verifiers
            .iter_mut()
            .zip(&pieces)
            .map(|(verifier, pieces)| (verifier, pieces.as_slice()))
            .collect();
        update_together(&mut files, 69_999);
        for (verifier, content) in verifiers.into_iter().zip(&contents) {
            assert_eq!(verifier.length(), 69_999);
            assert_eq!(verifier.into_parts().0, Sha256Digest::of(&content[..69_999]));
        }
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
