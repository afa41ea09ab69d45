//! The volume that is filled: its directories, its lock, its receipt and its free space.
//!
//! One fetcher at a time works on a volume. Before the first byte is staged the old receipt is set aside, so that
//! nobody takes a half-replaced model for a whole one; it stays in the staging area until the end, because it
//! says which old files are ours to remove.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use handoff::layout::{RECEIPT_NAME, STAGING_NAME, STATE_DIR_NAME};
use handoff::{Layout, Progress, ReadError, Receipt};

use crate::chain;
use crate::confined::Directory;
use crate::store::Class;
use crate::verify::{self, VerifyError};
use handoff::ByteSize;

/// Name, in the staging area, of the receipt that is being replaced.
const REPLACED_RECEIPT: &str = "replaced-receipt.json";
/// `TMPFS_MAGIC`; statfs(2).
const TMPFS: rustix::fs::FsWord = 0x0102_1994;

/// Why a volume cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A rename from one to the other is not possible.
    #[error("{} and {} are on different file systems, expected one", state.display(), model.display())]
    Apart {
        /// The state directory.
        state: PathBuf,
        /// The model directory.
        model: PathBuf,
    },
    /// Another fetcher holds the lock.
    #[error("another fetcher is at work on {}", path.display())]
    Busy {
        /// The state directory.
        path: PathBuf,
    },
    /// The volume is in memory, and the model is larger than what the container may use of that.
    #[error("{} is in memory: expected {}, got {} as the container's limit", path.display(), ByteSize(*needed), ByteSize(*limit))]
    NoMemory {
        /// The model directory.
        path: PathBuf,
        /// Bytes still to be written.
        needed: u64,
        /// Bytes that the container may use.
        limit: u64,
    },
    /// The model does not fit.
    #[error("not enough space on {}: expected {}, got {}", path.display(), ByteSize(*needed), ByteSize(*free))]
    NoSpace {
        /// The model directory.
        path: PathBuf,
        /// Bytes still to be written.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
}

impl VolumeError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Apart { .. } => Some("put MODEL_STATE_DIR on the model's volume"),
            Self::NoSpace { .. } => Some("raise the volume's size limit, or free space on the node"),
            Self::NoMemory { .. } => {
                Some("raise the container's memory limit, or leave `medium: Memory` out of the volume")
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::InvalidInput => Some(
                "something else wrote to this volume; delete the Pod to have an empty one, and mount it read-only elsewhere",
            ),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("the volume must be writable for this user: set fsGroup in the Pod's securityContext")
            }
            _ => None,
        }
    }
}

pub(crate) fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> VolumeError + 'a {
    move |source| VolumeError::Io { action, path: path.to_owned(), source }
}

/// The state directory: below the model's by its handle, elsewhere by its path.
fn open_state(model: &Directory, path: &Path) -> Result<Directory, VolumeError> {
    if path == model.path().join(STATE_DIR_NAME) {
        model.make_folder(STATE_DIR_NAME).map_err(failed("create", path))?;
        return model.folder(STATE_DIR_NAME).map_err(failed("open", path));
    }
    fs::create_dir_all(path).map_err(failed("create", path))?;
    Directory::open(path).map_err(failed("open", path))
}

/// A volume that nobody else works on while this lives.
pub struct Volume {
    layout: Layout,
    boot_id: String,
    model: Directory,
    /// Locked.
    state: Directory,
}

impl Volume {
    /// Makes the directories and takes the lock.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub fn open(layout: Layout) -> Result<Self, VolumeError> {
        let (model_dir, state_dir) = (layout.model_dir(), layout.state_dir());
        fs::create_dir_all(model_dir).map_err(failed("create", model_dir))?;
        let model = Directory::open(model_dir).map_err(failed("open", model_dir))?;
        let state = open_state(&model, state_dir)?;
        let device = |directory: &Directory| directory.device().map_err(failed("look at", directory.path()));
        if device(&state)? != device(&model)? {
            let (state, model) = (state_dir.to_owned(), model_dir.to_owned());
            return Err(VolumeError::Apart { state, model });
        }
        match state.try_lock() {
            Ok(true) => {}
            Ok(false) => return Err(VolumeError::Busy { path: state_dir.to_owned() }),
            Err(error) => return Err(failed("lock", state_dir)(error)),
        }
        // Without it (no /proc), every receipt counts as one from another boot, which is the safe side.
        let boot_id = handoff::boot::id();
        Ok(Self { layout, boot_id, model, state })
    }

    /// Where things are.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The model's directory.
    pub fn model(&self) -> &Directory {
        &self.model
    }

    /// The staging area, made if it is not there.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub fn staging(&self) -> Result<Directory, VolumeError> {
        let path = self.layout.staging();
        let opened = self.state.make_folder(STAGING_NAME).and_then(|()| self.state.folder(STAGING_NAME));
        opened.map_err(failed("open", &path))
    }

    /// The kernel's name for this boot.
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// Which start of a fetcher on this volume this is, from 1.
    pub fn attempt(&self) -> u32 {
        match Progress::read(&self.layout.progress()) {
            Ok(before) if before.phase != handoff::Phase::Fetched => before.attempt.saturating_add(1),
            _ => 1,
        }
    }

    /// The receipt, if there is one and it does not contradict itself.
    pub fn receipt(&self) -> Option<Receipt> {
        match Receipt::read(&self.layout.receipt()) {
            Ok(receipt) if receipt.is_consistent() => return Some(receipt),
            Ok(_) => tracing::warn!("fetching anew: the receipt contradicts itself"),
            Err(ReadError::Missing { .. }) => {}
            Err(error) => tracing::warn!("fetching anew: {}", chain::line(&error)),
        }
        None
    }

    /// Whether the files are what a receipt says. Sizes are looked at; content is hashed again only when the
    /// node was restarted since, because weights are not synced to disk one by one.
    ///
    /// # Errors
    /// The first file that is not.
    pub fn check_files(&self, receipt: &Receipt) -> Result<(), VerifyError> {
        match !self.boot_id.is_empty() && receipt.boot_id == self.boot_id {
            true => Ok(receipt.check_in_place(self.layout.model_dir())?),
            false => verify::verify_directory(&self.layout, receipt),
        }
    }

    /// The model's directory, if no receipt vouches for what is in it.
    pub fn unclaimed(&self) -> Option<&Directory> {
        matches!(self.state.kind(RECEIPT_NAME), Ok(None)).then_some(&self.model)
    }

    /// Removes the staging area, if there is one.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub fn clear_staging(&self) -> Result<(), VolumeError> {
        let path = self.layout.staging();
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("clear", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Sets the receipt aside: from here to the new receipt, the volume holds no model.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub fn invalidate(&self) -> Result<(), VolumeError> {
        let (staging, receipt) = (self.staging()?, self.layout.receipt());
        match self.state.rename(RECEIPT_NAME, &staging, REPLACED_RECEIPT) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("set aside", &receipt)(error))
            }
            _ => Ok(()),
        }
    }

    /// The receipt that was set aside, if it can be read.
    pub fn replaced_receipt(&self) -> Option<Receipt> {
        Receipt::read(&self.layout.staging().join(REPLACED_RECEIPT)).ok()
    }

    /// Fails unless files of these sizes fit, of which `allocated` bytes are taken up already. Counted are whole
    /// blocks, and only what is free for this user: file systems keep some back for root. What is written to a
    /// volume in memory counts towards the container's `memory_limit`.
    ///
    /// # Errors
    /// [`VolumeError::NoSpace`] and [`VolumeError::NoMemory`].
    pub fn check_space(
        &self,
        sizes: impl Iterator<Item = u64>,
        allocated: u64,
        memory_limit: Option<u64>,
    ) -> Result<(), VolumeError> {
        let path = self.layout.model_dir();
        let found =
            rustix::fs::statvfs(path).map_err(|error| failed("ask for the space of", path)(error.into()))?;
        let block = found.f_frsize.max(1);
        let needed =
            sizes.map(|size| size.div_ceil(block).saturating_mul(block)).fold(0, u64::saturating_add);
        let needed = needed.saturating_sub(allocated);
        let free = found.f_bavail.saturating_mul(block);
        if needed > free {
            return Err(VolumeError::NoSpace { path: path.to_owned(), needed, free });
        }
        match memory_limit {
            Some(limit) if needed > limit && is_in_memory(self.model.handle()) => {
                Err(VolumeError::NoMemory { path: path.to_owned(), needed, limit })
            }
            _ => Ok(()),
        }
    }
}

impl VolumeError {
    /// How to meet this failure; lack of space is told apart by [`is_no_space`](Self::is_no_space).
    pub fn class(&self) -> Class {
        match self {
            Self::Apart { .. } => Class::Fatal,
            Self::Busy { .. } => Class::Retryable,
            Self::Io { .. } | Self::NoSpace { .. } | Self::NoMemory { .. } => Class::Local,
        }
    }

    /// Whether the volume is full.
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::NoSpace { .. } | Self::NoMemory { .. } => true,
            Self::Io { source, .. } => is_full(source),
            _ => false,
        }
    }
}

/// Whether a file or folder is on a file system in memory, such as an `emptyDir` of `medium: Memory`.
pub(crate) fn is_in_memory(handle: impl AsFd) -> bool {
    rustix::fs::fstatfs(handle).is_ok_and(|found| found.f_type == TMPFS)
}

/// Whether an error says that a volume or a quota is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than any volume has.
    const HUGE: u64 = 1 << 60;

    #[test]
    fn whole_blocks_have_to_fit_but_for_those_that_are_taken_up_already() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume::open(Layout::new(folder.path(), None)).unwrap();
        let block = rustix::fs::statvfs(folder.path()).unwrap().f_frsize;
        let lacks =
            |sizes: &[u64], allocated| match volume.check_space(sizes.iter().copied(), allocated, None) {
                Ok(()) => None,
                Err(VolumeError::NoSpace { needed, .. }) => Some(needed),
                Err(other) => panic!("{other}"),
            };
        assert_eq!(lacks(&[HUGE], 0), Some(HUGE));
        assert_eq!(lacks(&[1, HUGE, 0, block, block + 1], 0), Some(HUGE + 4 * block));
        assert_eq!(lacks(&[HUGE, 1], HUGE / 2), Some(HUGE / 2 + block));
        assert_eq!(lacks(&[HUGE, 1], HUGE), None);
        assert_eq!(lacks(&[1], HUGE), None, "more than is needed");
        assert_eq!(lacks(&[u64::MAX, u64::MAX], 0), Some(u64::MAX));
        assert_eq!(lacks(&[], 0), None);
    }
}
