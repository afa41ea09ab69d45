//! The bytes of one archive, in order: asked for by a task, taken by the thread that decodes them.
//!
//! The queue between the two is short, so a slow disk slows the source down and memory stays bounded.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::Unpacking;
use crate::archive::UnpackError;
use crate::plan::PlannedFile;
use crate::retry::Failed;
use crate::store::{Body, ByteRange, Identity, Store, StoreError};
use crate::transfer::{TransferError, can_go_on};
use crate::verify::{Verifier, VerifyError};

/// Pieces that wait to be decoded. The HTTP library gives pieces of up to some hundred KiB.
pub(super) const PIECES: usize = 8;

/// A piece, or the end.
pub(super) type Piece = Option<Bytes>;

/// The end of the queue that decodes.
pub(super) struct Feed {
    pieces: mpsc::Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

impl Feed {
    pub(super) fn new(pieces: mpsc::Receiver<Piece>) -> Self {
        Self { pieces, current: Bytes::new(), ended: false }
    }

    /// Every byte is taken, so every byte was of the archive.
    pub(super) fn must_be_at_its_end(&mut self) -> Result<(), UnpackError> {
        match self.fill_buf().map_err(UnpackError::reading)? {
            [] => Ok(()),
            _ => Err(UnpackError::Damaged("something follows its end".into())),
        }
    }
}

impl BufRead for Feed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Some(piece)) => self.current = piece,
                Some(None) => self.ended = true,
                // Whoever fed it knows why, and says so.
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        self.current.advance(amount.min(self.current.len()));
    }
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// How feeding ended that did not fail.
pub(super) enum Fed {
    /// Every byte was taken.
    Whole(Box<Verifier>),
    /// Nobody takes any more.
    Stopped,
    /// The source broke off and cannot be gone on with.
    StartsOver,
}

/// The end of the queue that asks.
pub(super) struct Feeder<'a> {
    file: &'a PlannedFile,
    store: Arc<dyn Store>,
    unpacking: &'a Unpacking,
    /// Which content it is, as the listing or the first answer says.
    identity: Option<Identity>,
    /// How far any attempt came: one that starts over and always breaks at the same place gets nowhere.
    furthest: u64,
    attempts: crate::retry::Attempts,
}

impl<'a> Feeder<'a> {
    pub(super) fn new(file: &'a PlannedFile, store: Arc<dyn Store>, unpacking: &'a Unpacking) -> Self {
        let (identity, attempts) = (file.source.identity.clone(), unpacking.budget.begin());
        Self { file, store, unpacking, identity, furthest: 0, attempts }
    }

    /// Feeds the archive from its first byte.
    pub(super) async fn feed(&mut self, pieces: mpsc::Sender<Piece>) -> Result<Fed, TransferError> {
        let mut verifier = Verifier::new(&self.file.expected, self.file.size);
        loop {
            let ended = tokio::select! {
                ended = self.request(&mut verifier, &pieces) => ended?,
                () = pieces.closed() => return Ok(Fed::Stopped),
            };
            let Some(error) = ended else {
                let taken = pieces.send(None).await.is_ok();
                return Ok(if taken { Fed::Whole(Box::new(verifier)) } else { Fed::Stopped });
            };
            let at = verifier.length();
            if at > self.furthest {
                self.furthest = at;
                self.attempts.progressed();
            }
            self.unpacking.tracker.retried();
            let failed = |source: Failed| TransferError::Source {
                path: self.file.path.clone(),
                range: ByteRange { start: at, end: self.file.size },
                source,
            };
            self.attempts.pause_after(error).await.map_err(failed)?;
            if !can_go_on(self.file) {
                self.unpacking.tracker.discarded(at, 0);
                return Ok(Fed::StartsOver);
            }
        }
    }

    /// One request for what is still to come. Gives why it broke off, if it did.
    async fn request(
        &mut self,
        verifier: &mut Verifier,
        pieces: &mpsc::Sender<Piece>,
    ) -> Result<Option<StoreError>, TransferError> {
        let at = verifier.length();
        if at > 0 && self.file.size == Some(at) {
            return Ok(None);
        }
        let path = &self.file.source.path;
        let range = ByteRange { start: at, end: self.file.size.filter(|_| at > 0) };
        let mut body = match self.store.read(path, self.identity.as_ref(), range).await {
            Ok(body) => body,
            Err(error) => return Ok(Some(error)),
        };
        if let Some(error) = self.check(&body, at)? {
            return Ok(Some(error));
        }
        // A source without ranges begins at its first byte.
        let mut before = at.saturating_sub(body.starts_at);
        while let Some(piece) = body.chunks.next().await {
            let mut piece = match piece {
                Ok(piece) => piece,
                Err(error) => return Ok(Some(error)),
            };
            let known = usize::try_from(before).unwrap_or(usize::MAX).min(piece.len());
            piece.advance(known);
            before = before.saturating_sub(u64::try_from(known).unwrap_or(u64::MAX));
            if piece.is_empty() {
                continue;
            }
            verifier.update(&piece);
            self.check_length(verifier.length())?;
            self.unpacking.tracker.received(piece.len());
            if pieces.send(Some(piece)).await.is_err() {
                // Nobody takes it: the caller sees the same, and says why.
                return std::future::pending().await;
            }
        }
        match self.file.size {
            Some(size) if verifier.length() < size => {
                let reason = format!("expected {size} bytes, got {} before the end", verifier.length());
                Ok(Some(StoreError::Unavailable {
                    what: self.name(),
                    reason,
                    retry_after: None,
                    source: None,
                }))
            }
            _ => Ok(None),
        }
    }

    /// Whether an answer is of what was asked for.
    fn check(&mut self, body: &Body, at: u64) -> Result<Option<StoreError>, TransferError> {
        match (&self.identity, &body.identity) {
            (Some(known), Some(got)) if known != got => {
                return Ok(Some(StoreError::Changed { what: self.name() }));
            }
            // Only of what can be gone on with; a source may not know better the next time.
            (None, got) if can_go_on(self.file) => self.identity.clone_from(got),
            _ => {}
        }
        if let (Some(expected), Some(got)) = (self.file.size, body.size)
            && expected != got
        {
            return Err(VerifyError::Size { path: self.file.path.clone(), expected, got }.into());
        }
        if body.starts_at > at {
            let reason = format!("expected bytes from {at} on, got them from {}", body.starts_at);
            return Ok(Some(StoreError::Malformed { what: self.name(), reason }));
        }
        Ok(None)
    }

    fn check_length(&self, got: u64) -> Result<(), TransferError> {
        let path = || self.file.path.clone();
        match self.file.size {
            Some(expected) if got > expected => Err(VerifyError::Size { path: path(), expected, got }.into()),
            None if got > self.unpacking.largest => {
                Err(TransferError::TooLarge { path: path(), limit: self.unpacking.largest })
            }
            _ => Ok(()),
        }
    }

    fn name(&self) -> String {
        format!("{} in {}", self.file.source.path, self.file.source.store)
    }
}
