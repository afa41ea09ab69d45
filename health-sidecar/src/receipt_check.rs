//! Decides whether a receipt counts: it reads, it agrees with itself, it is for the expected model, and every
//! file it lists is in place.
//!
//! The files are looked at, not hashed: the fetcher hashed them before it wrote the receipt, and the volume
//! belongs to this Pod. A missing or cut file is what a wrongly mounted or emptied volume looks like.

use handoff::{
    FileEntry, Integrity, Layout, ModelDigest, ModelId, NotInPlace, ReadError, Receipt, Resolved, boot,
};
use jiff::Timestamp;
use serde::Serialize;

use crate::expected::Expected;
use crate::reason::ReasonCode;

/// How many of a receipt's files are kept to be shown.
pub const MAX_LISTED_FILES: usize = 20;

/// An accepted receipt without most of its list of files, which may be long and is not needed again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Accepted {
    /// The model as the manifest names it.
    pub model: ModelId,
    /// What that name meant when it was resolved.
    pub resolved: Resolved,
    /// The digest over all files.
    pub digest: ModelDigest,
    /// How strongly the weakest file was verified.
    pub integrity: Integrity,
    /// Who signed the model, if a signature was checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// How many files there are.
    pub files: usize,
    /// The first [`MAX_LISTED_FILES`] of them, sorted by path.
    pub first_files: Vec<FileEntry>,
    /// Their size in bytes.
    pub bytes: u64,
    /// How many of those bytes an interrupted run had left behind.
    pub resumed_bytes: u64,
    /// How long the fetch took.
    pub seconds: f64,
    /// When the receipt was written.
    pub completed_at: Timestamp,
}

/// Why a receipt does not count. Display-ready, file names escaped.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It does not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its digest is not that of its files.
    #[error("the receipt contradicts itself: its digest is not the one of the files it lists")]
    Inconsistent,
    /// It is for another model.
    #[error("receipt is for {0}")]
    OtherModel(String),
    /// A file is not in place.
    #[error(transparent)]
    NotInPlace(#[from] NotInPlace),
    /// It was written before the node was restarted, and what it vouches for may be lost.
    #[error("the receipt is from before the node was restarted: the fetcher has to check the files again")]
    OtherBoot,
}

impl Refusal {
    /// Which kind of reason it is.
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::Read(_) => ReasonCode::ReceiptUnreadable,
            Self::Inconsistent => ReasonCode::ReceiptInconsistent,
            Self::OtherModel(_) => ReasonCode::OtherModel,
            Self::NotInPlace(_) => ReasonCode::FileNotInPlace,
            Self::OtherBoot => ReasonCode::OtherBoot,
        }
    }
}

/// Reads and checks the receipt of `layout`. Blocks for as long as it takes to look at every file.
///
/// # Errors
/// See [`Refusal`].
pub fn check(layout: &Layout, expected: &Expected) -> Result<Accepted, Refusal> {
    let mut receipt = Receipt::read(&layout.receipt())?;
    if let Some(mismatch) = expected.mismatch(&receipt.model) {
        return Err(Refusal::OtherModel(mismatch));
    }
    if !receipt.is_consistent() {
        return Err(Refusal::Inconsistent);
    }
    receipt.check_in_place(layout.model_dir())?;
    // Where the kernel does not say, nobody can tell.
    let boots = [&receipt.boot_id, &boot::id()];
    if boots.iter().all(|id| !id.is_empty()) && boots[0] != boots[1] {
        return Err(Refusal::OtherBoot);
    }
    let files = receipt.files.len();
    receipt.files.truncate(MAX_LISTED_FILES);
    receipt.files.shrink_to_fit();
    Ok(Accepted {
        model: receipt.model,
        resolved: receipt.resolved,
        digest: receipt.digest,
        integrity: receipt.integrity,
        signer: receipt.signer,
        files,
        first_files: receipt.files,
        bytes: receipt.bytes,
        resumed_bytes: receipt.resumed_bytes,
        seconds: receipt.seconds,
        completed_at: receipt.completed_at,
    })
}
