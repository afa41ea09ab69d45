//! Where a file's bytes go: into a staging file and through the hasher, in order.
//!
//! Bytes are gathered into a buffer. A full buffer is written and hashed on the blocking pool while the next one
//! fills, so that the network, the disk and the hash overlap. The hash runs over exactly what was written.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use tokio::task::JoinHandle;

use crate::verify::Verifier;

/// Size of a buffer. Below 256 KiB the cost per write shows; above 1 MiB the bytes leave the processor's cache
/// before they are hashed.
const BUFFER_BYTES: usize = 512 * 1024;

/// A staging file with the hash over what is in it.
pub(super) struct Sink {
    path: PathBuf,
    /// Bytes taken in so far, written or not.
    length: u64,
    filling: Vec<u8>,
    disk: Disk,
}

enum Disk {
    /// Nothing is under way.
    Idle(Box<Staged>, Vec<u8>),
    /// A buffer is being written and hashed.
    Writing(JoinHandle<(Box<Staged>, Vec<u8>, io::Result<()>)>),
    /// A write failed or was cut off.
    Broken,
}

struct Staged {
    file: File,
    verifier: Verifier,
}

impl Sink {
    /// Opens the staging file. With `keep`, what is in it stays, is hashed again, and counts; more than
    /// `at_most` bytes cannot be right and do not.
    pub(super) async fn open(path: PathBuf, keep: bool, at_most: Option<u64>) -> io::Result<Self> {
        let staged = {
            let path = path.clone();
            blocking(move || {
                let options = OpenOptions::new().read(true).write(true).create(true).truncate(!keep).clone();
                let mut file = options.open(&path)?;
                let mut verifier = Verifier::default();
                if at_most.is_none_or(|most| file.metadata().is_ok_and(|found| found.len() <= most)) {
                    verifier.update_from(&mut file)?;
                } else {
                    file.set_len(0)?;
                }
                Ok(Staged { file, verifier })
            })
            .await?
        };
        let length = staged.verifier.length();
        let disk = Disk::Idle(Box::new(staged), Vec::with_capacity(BUFFER_BYTES));
        Ok(Self { path, length, filling: Vec::with_capacity(BUFFER_BYTES), disk })
    }

    /// The staging file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes taken in so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Takes the next bytes.
    pub(super) async fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = BUFFER_BYTES - self.filling.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.filling.extend_from_slice(now);
            self.length = self.length.saturating_add(u64::try_from(now.len()).unwrap_or(u64::MAX));
            bytes = later;
            if self.filling.len() == BUFFER_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Forgets everything and begins at the first byte.
    pub(super) async fn restart(&mut self) -> io::Result<()> {
        let (mut staged, spare) = self.idle().await?;
        self.filling.clear();
        self.length = 0;
        let staged = blocking(move || {
            staged.file.set_len(0)?;
            staged.file.seek(SeekFrom::Start(0))?;
            staged.verifier = Verifier::default();
            Ok(staged)
        })
        .await?;
        self.disk = Disk::Idle(staged, spare);
        Ok(())
    }

    /// Writes what is left and gives the verifier, which has seen every byte of the file.
    pub(super) async fn finish(mut self) -> io::Result<Verifier> {
        self.flush().await?;
        let (staged, _) = self.idle().await?;
        Ok(staged.verifier)
    }

    /// Hands the filled buffer to the blocking pool, after the one before it is done.
    async fn flush(&mut self) -> io::Result<()> {
        let (mut staged, spare) = self.idle().await?;
        let full = std::mem::replace(&mut self.filling, spare);
        self.disk = Disk::Writing(tokio::task::spawn_blocking(move || {
            let written = staged.file.write_all(&full);
            if written.is_ok() {
                staged.verifier.update(&full);
            }
            let mut emptied = full;
            emptied.clear();
            (staged, emptied, written)
        }));
        Ok(())
    }

    /// Waits until nothing is under way.
    async fn idle(&mut self) -> io::Result<(Box<Staged>, Vec<u8>)> {
        match std::mem::replace(&mut self.disk, Disk::Broken) {
            Disk::Idle(staged, spare) => Ok((staged, spare)),
            Disk::Writing(under_way) => {
                let (staged, spare, written) = under_way.await.map_err(io::Error::other)?;
                written.map(|()| (staged, spare))
            }
            Disk::Broken => Err(io::Error::other("an earlier write failed")),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use handoff::Sha256Digest;

    async fn digest_of(sink: Sink) -> (u64, Sha256Digest) {
        let path = sink.path().to_owned();
        sink.finish().await.unwrap();
        crate::verify::hash_file(&path).unwrap()
    }

    #[tokio::test]
    async fn what_is_written_is_what_came_in_whatever_its_chunks() {
        let folder = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..3 * BUFFER_BYTES + 17).map(|i| u8::try_from(i % 251).unwrap()).collect();
        for chunk in [1000, BUFFER_BYTES, BUFFER_BYTES + 1, content.len()] {
            let mut sink = Sink::open(folder.path().join(chunk.to_string()), false, None).await.unwrap();
            for chunk in content.chunks(chunk) {
                sink.append(chunk).await.unwrap();
            }
            assert_eq!(digest_of(sink).await.1, Sha256Digest::of(&content), "chunks of {chunk}");
        }
    }

    #[tokio::test]
    async fn a_kept_file_is_hashed_again_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        std::fs::write(&path, b"hello ").unwrap();
        let mut sink = Sink::open(path.clone(), true, Some(11)).await.unwrap();
        assert_eq!(sink.length(), 6);
        sink.append(b"world").await.unwrap();
        assert_eq!(digest_of(sink).await, (11, Sha256Digest::of(b"hello world")));
        let over = Sink::open(path.clone(), true, Some(5)).await.unwrap();
        assert_eq!(over.length(), 0, "more than the plan says cannot be a part of it");
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[tokio::test]
    async fn a_restart_forgets_what_came_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = Sink::open(folder.path().join("part"), false, None).await.unwrap();
        sink.append(&vec![1; BUFFER_BYTES + 5]).await.unwrap();
        sink.restart().await.unwrap();
        sink.append(b"anew").await.unwrap();
        assert_eq!(digest_of(sink).await, (4, Sha256Digest::of(b"anew")));
    }
}
