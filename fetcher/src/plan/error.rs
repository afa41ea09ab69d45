//! Why no plan can be made, and what to do about it.

use handoff::layout::STATE_DIR_NAME;
use handoff::{Integrity, ModelDigest, SafePath};

use crate::filter::Filter;
use crate::store::Class;

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// There is nothing to fetch.
    #[error("{uri} holds no files")]
    Empty {
        /// The address.
        uri: String,
    },
    /// There is nothing that is wanted.
    #[error("{uri} holds {files} files, and none that is wanted, expected {filter}")]
    NoneSelected {
        /// The address.
        uri: String,
        /// How many there are.
        files: usize,
        /// Which are wanted.
        filter: Filter,
    },
    /// A manifest names a file that is not there.
    #[error("{path} is in the manifest but not at {uri}")]
    Missing {
        /// The file.
        path: SafePath,
        /// The address.
        uri: String,
    },
    /// Two files would be at the same place, or one where another needs a folder.
    #[error("{path} collides with {other}, which is of the model too")]
    Collision {
        /// The file.
        path: SafePath,
        /// The other file or folder.
        other: String,
    },
    /// A file would be in our own state directory.
    #[error("{path} is inside `{STATE_DIR_NAME}`, which is not the model's")]
    Reserved {
        /// The file.
        path: SafePath,
    },
    /// Too many files.
    #[error("the model has {count} files, expected at most {limit}")]
    TooMany {
        /// How many.
        count: usize,
        /// The bound.
        limit: usize,
    },
    /// Too many long names, or too many short ones, for a receipt that can be read.
    #[error("the names of the model's files take {bytes} bytes of a receipt, expected at most {limit}")]
    TooLongNames {
        /// How many.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// Too many bytes.
    #[error("the model has {bytes} bytes, expected at most {limit}")]
    TooLarge {
        /// How many, as far as is known.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// The registry's digest is not the pinned one.
    #[error("digest mismatch: expected {expected} (pinned), got {got} from the registry")]
    Pin {
        /// The pinned digest.
        expected: ModelDigest,
        /// The registry's.
        got: ModelDigest,
    },
    /// A file's size is not the manifest's.
    #[error("size mismatch on {path}: expected {expected} bytes, got {got}")]
    Size {
        /// The file.
        path: SafePath,
        /// The manifest's.
        expected: u64,
        /// The store's.
        got: u64,
    },
    /// Two who vouch for a file do not say the same.
    #[error("digest mismatch on {path}: {one} against {other}")]
    Contradiction {
        /// The file.
        path: SafePath,
        /// What one says, and who that is.
        one: String,
        /// What the other says, and who that is.
        other: String,
    },
    /// A file that is not in the signature.
    #[error("{path} is not in the signature of the model")]
    Extra {
        /// The file.
        path: SafePath,
    },
    /// A file is not vouched for strongly enough.
    #[error("{path} can only be {rung}, expected at least {least}")]
    TooWeak {
        /// The file.
        path: SafePath,
        /// The strongest rung that it can reach.
        rung: Integrity,
        /// The weakest that is accepted.
        least: Integrity,
    },
}

impl PlanError {
    /// How to meet this failure.
    pub fn class(&self) -> Class {
        match self {
            Self::Empty { .. } | Self::NoneSelected { .. } | Self::Missing { .. } => Class::NotFound,
            Self::TooMany { .. } | Self::TooLongNames { .. } | Self::TooLarge { .. } => Class::Fatal,
            Self::Collision { .. }
            | Self::Reserved { .. }
            | Self::Pin { .. }
            | Self::Size { .. }
            | Self::Contradiction { .. }
            | Self::Extra { .. }
            | Self::TooWeak { .. } => Class::Integrity,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Empty { .. } => Some("check the address; a prefix matches whole path components only"),
            Self::NoneSelected { .. } => Some(
                "FETCHER_INCLUDE, FETCHER_EXCLUDE and FETCHER_PRESET, or KServe's STORAGE_ALLOW_PATTERNS and _IGNORE_PATTERNS, say what is wanted",
            ),
            Self::Pin { .. } => Some("MODEL_DIGEST belongs to another version of the model"),
            Self::TooLarge { .. } => Some("FETCHER_MAX_SIZE sets how large a model may be"),
            Self::Collision { .. } => Some(
                "publish the model with names that also differ where upper and lower case, or accents, do not count",
            ),
            Self::Extra { .. } => {
                Some("remove the file from the model, or sign the model again with it, or with it ignored")
            }
            Self::Contradiction { .. } => {
                Some("one of the two is from another version of the file; publish the version again")
            }
            Self::TooWeak { .. } => Some(
                "publish digests (model.yaml, a signature, SHA256SUMS), pin MODEL_DIGEST, or lower FETCHER_INTEGRITY",
            ),
            _ => None,
        }
    }
}
