//! One staging file: opened with its space set aside, and written by one connection at a time.
//!
//! The kernel lets one thread at a time write to a file and has the others spin on its lock, on every file system
//! that buffers. Connections of the same file therefore take turns here, and whose turn it is not hashes meanwhile.

use std::fs::File;
use std::io;
use std::ops::Deref;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use tokio::sync::futures::Notified;
use tokio::sync::{Mutex, Notify};

use super::block::Block;
use crate::confined::{Access, Place};
use crate::volume::is_in_memory;

/// An open staging file.
#[derive(Debug)]
pub(super) struct StagingFile {
    file: File,
    turn: Mutex<()>,
    free: Notify,
}

impl StagingFile {
    /// Opens the file and has its blocks set aside, so that a volume without room says so now. What is in the file
    /// stays.
    ///
    /// # Errors
    /// As the file system does.
    pub(super) fn open(place: &Place, size: Option<u64>) -> io::Result<Self> {
        let file = place.file(Access::Write)?;
        set_aside(&file, size)?;
        Ok(Self { file, turn: Mutex::new(()), free: Notify::new() })
    }

    /// Writes a block at `offset`, unless another thread is writing.
    pub(super) fn try_write(&self, block: &Block, offset: u64) -> Option<io::Result<()>> {
        let turn = self.turn.try_lock().ok()?;
        let written = block.write_at(&self.file, offset);
        drop(turn);
        self.free.notify_one();
        Some(written)
    }

    /// Waits until the file may be free; made before [`try_write`](Self::try_write), so that no turn is missed.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.free.notified()
    }
}

impl Deref for StagingFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

/// Has the blocks of a file set aside. What is in it stays.
pub(super) fn set_aside(file: &File, size: Option<u64>) -> io::Result<()> {
    let Some(size) = size else { return file.set_len(0) };
    if file.metadata()?.len() > size {
        file.set_len(size)?;
    }
    // A file system in memory has nothing to lay out, and would spend the time of the first bytes on it.
    if size == 0 || is_in_memory(file) {
        return file.set_len(size);
    }
    match fallocate(file, FallocateFlags::empty(), 0, size) {
        // NFS, FUSE and others that cannot.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(size),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::confined::Directory;

    #[test]
    fn space_is_set_aside_when_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        fs::write(&path, vec![7; 2_000_000]).unwrap();
        let place = Place::new(&Directory::open(folder.path()).unwrap(), "part".into());
        StagingFile::open(&place, Some(1_000_000)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), vec![7; 1_000_000], "what is there stays");
        assert!(fs::metadata(&path).unwrap().blocks() * 512 >= 1_000_000);
        StagingFile::open(&place, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().blocks(), 0);
    }

    #[tokio::test]
    async fn who_comes_while_another_writes_is_told_when_it_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(&Directory::open(folder.path()).unwrap(), "part".into());
        let file = StagingFile::open(&place, Some(4)).unwrap();
        let mut block = Block::default();
        block.push("four".into());
        let writing = file.turn.try_lock().unwrap();
        assert!(file.try_write(&block, 0).is_none());
        drop(writing);
        let freed = file.freed();
        file.try_write(&block, 0).unwrap().unwrap();
        freed.await;
        assert_eq!(fs::read(folder.path().join("part")).unwrap(), b"four");
    }
}
