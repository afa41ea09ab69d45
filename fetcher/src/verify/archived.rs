//! The files of an archive: each is hashed as it is written, and is verified when the archive is.
//!
//! Whatever vouches for an archive does so for its own bytes. That its members are what was packed follows from
//! that, so they reach its rung, and none of them is verified before all of its bytes are.

use handoff::{FileEntry, Integrity, SafePath, Sha256Digest};

use super::{VerifiedFile, Verifier, VerifyError};
use crate::confined::Place;
use crate::plan::PlannedFile;

/// A file of an archive, as it was written. Only [`Verifier::finish_member`] makes one.
#[derive(Debug)]
pub struct Member {
    path: SafePath,
    size: u64,
    sha256: Sha256Digest,
    staged: Place,
}

impl Member {
    /// Where it goes.
    pub fn path(&self) -> &SafePath {
        &self.path
    }

    /// Its bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where it is.
    pub fn staged(&self) -> &Place {
        &self.staged
    }
}

/// An archive of which every byte was compared with what it must be. Only [`Verifier::finish_archive`] makes one.
#[derive(Debug)]
pub struct VerifiedArchive {
    /// The archive itself, as it is planned; it is nowhere.
    pub(super) entry: (SafePath, Sha256Digest),
    rung: Integrity,
    /// What was in it.
    pub files: Vec<VerifiedFile>,
}

impl VerifiedArchive {
    /// Vouches for what came out of it.
    #[must_use]
    pub fn with(mut self, members: Vec<Member>) -> Self {
        let checked = self.rung;
        let file = |Member { path, size, sha256, staged }: Member| VerifiedFile {
            entry: FileEntry { path, size, sha256, checked },
            staged,
        };
        self.files = members.into_iter().map(file).collect();
        self
    }
}

impl Verifier {
    /// The bytes were those of a member.
    pub fn finish_member(self, path: SafePath, staged: Place) -> Member {
        let size = self.length();
        Member { path, size, sha256: self.digest(), staged }
    }

    /// The bytes were those of an archive: compares them with what the plan says.
    ///
    /// # Errors
    /// As [`Verifier::finish`].
    pub fn finish_archive(self, planned: &PlannedFile) -> Result<VerifiedArchive, VerifyError> {
        let (sha256, _) = self.compare(planned)?;
        Ok(VerifiedArchive { entry: (planned.path.clone(), sha256), rung: planned.rung(), files: Vec::new() })
    }
}
