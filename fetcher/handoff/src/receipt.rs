//! `receipt.json`: the fetcher's word that a model is in place and verified.
//!
//! It is written last. A reader that finds it may rely on every file it lists; a reader that does not find it
//! must take the directory for empty, whatever is in it.
//!
//! # Schema history
//! * 1: first. Later also `selection`, without which the whole model is there, and `unpacked`, which a reader may find missing.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest::{ModelDigest, Sha256Digest};
use crate::integrity::Integrity;
use crate::model::ModelId;
use crate::path::SafePath;
use crate::persist::{self, Durability, ReadError};
use crate::selection::Selection;

/// The newest schema that this build writes and reads.
pub const SCHEMA: u32 = 1;

/// What was fetched, from where, and how strongly it was verified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Version of this format; see the module's history.
    pub schema: u32,
    /// The model as the manifest names it.
    pub model: ModelId,
    /// What that name meant when it was resolved.
    pub resolved: Resolved,
    /// Which files of the model were asked for, if not all.
    #[serde(default, skip_serializing_if = "Selection::is_everything")]
    pub selection: Selection,
    /// The digest over all files that are here.
    pub digest: ModelDigest,
    /// Every file, sorted by path.
    pub files: Vec<FileEntry>,
    /// The weakest rung that any file reached.
    pub integrity: Integrity,
    /// Who signed the model, if a signature was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// Which archives were unpacked on request, as `FETCHER_UNPACK` has it; nothing where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpacked: Option<String>,
    /// Size of all files, in bytes.
    pub bytes: u64,
    /// How many of those bytes an earlier, interrupted run had left behind.
    pub resumed_bytes: u64,
    /// Wall-clock seconds from the start of the fetcher to this receipt.
    pub seconds: f64,
    /// Version of the fetcher that wrote this.
    pub fetcher: String,
    /// The kernel's boot id when this was written. Weights are not synced to disk one by one, so after a node
    /// crash the fetcher hashes them again before it trusts a receipt from another boot.
    pub boot_id: String,
    /// When this was written.
    pub completed_at: Timestamp,
}

/// What a model's name meant when it was resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The registry that was asked, without credentials; `uri` when the model was named by its URI.
    pub registry: String,
    /// The immutable version that the name stood for.
    pub version: String,
    /// Where the bytes came from, without credentials.
    pub uri: String,
}

/// One file of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Where it is, relative to the model directory.
    pub path: SafePath,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sha256Digest,
    /// What that SHA-256 was checked against.
    pub checked: Integrity,
}

impl Receipt {
    /// Reads a receipt.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        persist::read(path, SCHEMA)
    }

    /// Reads the text of a receipt; `path` is where it is from, for messages.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self, ReadError> {
        persist::parse(path, text, SCHEMA)
    }

    /// Writes the receipt, on disk before this returns.
    ///
    /// # Errors
    /// Fails as the file system does; an older receipt is then still there.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        persist::replace(path, self, Durability::Node)
    }

    /// Whether the digest is the one that the listed files have. A receipt that fails this was tampered with.
    pub fn is_consistent(&self) -> bool {
        self.digest == ModelDigest::of(self.files.iter().map(|file| (&file.path, file.sha256)))
    }

    /// Looks whether every listed file is below `model_dir`, as a regular file of its size. Content is not read.
    ///
    /// # Errors
    /// The first file that is not.
    pub fn check_in_place(&self, model_dir: &Path) -> Result<(), NotInPlace> {
        self.files.iter().try_for_each(|file| file.check_in_place(model_dir))
    }
}

/// Why a listed file is not where the receipt says. Display-ready.
#[derive(Debug, thiserror::Error)]
pub enum NotInPlace {
    /// It is not there.
    #[error("model file {path} is missing")]
    Missing {
        /// The file.
        path: SafePath,
    },
    /// A folder, a link or something stranger bears its name.
    #[error("model file {path} is not a regular file")]
    NotRegular {
        /// The file.
        path: SafePath,
    },
    /// It has another size.
    #[error("model file {path} has the wrong size: expected {expected} bytes, got {got}")]
    Size {
        /// The file.
        path: SafePath,
        /// Its size in the receipt.
        expected: u64,
        /// Its size on disk.
        got: u64,
    },
    /// It could not be looked at.
    #[error("cannot look at model file {path}")]
    Io {
        /// The file.
        path: SafePath,
        /// What the system said.
        source: io::Error,
    },
}

impl FileEntry {
    fn check_in_place(&self, model_dir: &Path) -> Result<(), NotInPlace> {
        let path = || self.path.clone();
        // Not `metadata`: a link could lead anywhere, and the fetcher makes none.
        let metadata = match self.path.below(model_dir).symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(NotInPlace::Missing { path: path() });
            }
            Err(source) => return Err(NotInPlace::Io { path: path(), source }),
        };
        if !metadata.is_file() {
            return Err(NotInPlace::NotRegular { path: path() });
        }
        if metadata.len() != self.size {
            return Err(NotInPlace::Size { path: path(), expected: self.size, got: metadata.len() });
        }
        Ok(())
    }
}
