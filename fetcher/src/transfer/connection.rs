//! One connection: takes a part from the board, asks for it, and lands its bytes.
//!
//! Pieces are gathered into a block; a full one is claimed, written at its place, and left to the hash. A broken
//! request goes on at the first byte that is missing, as often as the budget allows. What cannot be gone on with,
//! because nobody could tell whether the rest is of the same content, starts over.

use std::fs::File;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio::sync::Notify;

use super::block::Block;
use super::board::{Assignment, FileNumber, Next, PartNumber};
use super::staging::open_part;
use super::{Shared, Stores, TransferError, hashing};
use crate::plan::PlannedFile;
use crate::retry::Failed;
use crate::store::{Body, ByteRange, StoreError};
use crate::verify::VerifyError;

/// How long bytes may wait for a block to fill: progress and the journal are to tell of a slow connection, too.
const LINGER: Duration = Duration::from_millis(250);
/// How long a connection without work waits before it looks again, at most.
const IDLE: Duration = Duration::from_millis(100);

/// Where a connection can be reached while it waits for bytes.
#[derive(Debug, Default)]
pub(super) struct Seat {
    wake: Notify,
    cut: AtomicBool,
}

impl Seat {
    /// The part is done, by this connection or another.
    pub(super) fn done(&self) {
        self.wake.notify_one();
    }

    /// The connection is to give its request up and ask again.
    pub(super) fn cut(&self) {
        self.cut.store(true, Relaxed);
        self.wake.notify_one();
    }
}

/// A connection of one worker thread.
pub(super) struct Connection {
    /// Which one, of all; it works while the width is more than that.
    pub number: usize,
    pub shared: Arc<Shared>,
    /// The stores, as this thread opened them.
    pub stores: Arc<Stores>,
    /// Tells this thread's hashing that there is something to do.
    pub landed: Arc<Notify>,
}

/// How a request ended that did not fail for good.
enum Streamed {
    /// The part is done.
    Done,
    /// The request broke off.
    Broken(StoreError),
    /// The source gives whole files only, and somebody else is reading this one.
    GivenBack,
}

impl Connection {
    /// Works until there is nothing left to do.
    pub(super) async fn run(self) -> Result<(), TransferError> {
        let mut width = self.shared.width.subscribe();
        let mut last = None;
        loop {
            if width.wait_for(|width| self.number < *width).await.is_err() {
                return Ok(());
            }
            let next = self.shared.state().board.next(last);
            match next {
                Next::Part(assignment) => {
                    last = Some(assignment.file);
                    self.fetch(&assignment).await?;
                }
                Next::Race(assignment) => {
                    last = None;
                    self.race(&assignment).await?;
                }
                // A part may come back, and a file that turns out wrong may have to be fetched anew.
                Next::Wait => {
                    let _ = tokio::time::timeout(IDLE, self.shared.changed.notified()).await;
                }
            }
        }
    }

    /// Fetches a part, however often its requests break.
    async fn fetch(&self, assignment: &Assignment) -> Result<(), TransferError> {
        let (part, seat) = (assignment.part, self.shared.sit(assignment.part));
        let (file, handle) = self.open(assignment.file)?;
        let mut attempts = self.shared.budget.begin();
        // Further than ever, not just further than at the start of the request: a source that has to start over
        // and always breaks at the same place gets nowhere.
        let mut furthest = assignment.range.start;
        loop {
            let error = match self.stream(assignment, &file, &handle, &seat).await? {
                Streamed::Done | Streamed::GivenBack => return Ok(()),
                Streamed::Broken(error) => error,
            };
            let Some(rest) = self.shared.state().board.rest(part) else { return Ok(()) };
            if rest.start > furthest {
                furthest = rest.start;
                attempts.progressed();
            }
            self.shared.failed_once(&error);
            let gave_up = |source: Failed| TransferError::Source {
                path: file.path.clone(),
                range: ByteRange { start: rest.start, end: (rest.end < u64::MAX).then_some(rest.end) },
                source,
            };
            tokio::select! {
                paused = attempts.pause_after(error) => paused.map_err(gave_up)?,
                () = self.done(part, &seat) => return Ok(()),
            }
            if !can_go_on(&file) {
                self.start_over(assignment, &file, &handle)?;
            }
        }
    }

    /// Fetches what is left of a part that another connection is slow with. Whoever has the next bytes first
    /// delivers them; if this one breaks, the other is still there.
    async fn race(&self, assignment: &Assignment) -> Result<(), TransferError> {
        let seat = self.shared.sit(assignment.part);
        let (file, handle) = self.open(assignment.file)?;
        tracing::debug!(path = %file.path, range = ?assignment.range, "racing a slow connection");
        if let Streamed::Broken(error) = self.stream(assignment, &file, &handle, &seat).await? {
            tracing::debug!(path = %file.path, "the race was lost: {error}");
        }
        Ok(())
    }

    fn open(&self, number: FileNumber) -> Result<(PlannedFile, Arc<File>), TransferError> {
        let nothing = || TransferError::Task { reason: format!("there is no file {number}") };
        let (planned, path, handle) = {
            let state = self.shared.state();
            let planned = state.ledger.planned(number).cloned().ok_or_else(nothing)?;
            let (path, handle) = state.ledger.staged(number).ok_or_else(nothing)?;
            (planned, path.to_owned(), handle)
        };
        if let Some(handle) = handle {
            return Ok((planned, handle));
        }
        let opened = open_part(&path, planned.size).map_err(|source| {
            let path = planned.path.clone();
            TransferError::Write { path, source }
        })?;
        let handle = Arc::new(opened);
        self.shared.state().ledger.opened(number, &handle);
        Ok((planned, handle))
    }

    /// One request.
    async fn stream(
        &self,
        assignment: &Assignment,
        file: &PlannedFile,
        handle: &File,
        seat: &Seat,
    ) -> Result<Streamed, TransferError> {
        let part = assignment.part;
        let (rest, identity) = {
            let state = self.shared.state();
            let Some(rest) = state.board.rest(part) else { return Ok(Streamed::Done) };
            (rest, state.ledger.identity(assignment.file).cloned())
        };
        let whole = rest.start == 0 && file.size.is_none_or(|size| rest.end == size);
        let range = if whole {
            ByteRange::WHOLE
        } else {
            ByteRange { start: rest.start, end: Some(rest.end).filter(|end| *end < u64::MAX) }
        };
        let store = self.stores.get(&file.source.store).ok_or_else(|| TransferError::Task {
            reason: format!("no store is open for {}", file.source.store),
        })?;
        seat.cut.store(false, Relaxed);
        self.shared.state().board.asked(part);
        let asked = Instant::now();
        let mut body = tokio::select! {
            read = store.read(&file.source.path, identity.as_ref(), range) => match read {
                Ok(body) => body,
                Err(error) => return Ok(Streamed::Broken(error)),
            },
            streamed = self.interrupted(part, seat, file) => return Ok(streamed),
        };
        if let Some(streamed) = self.check(assignment, file, handle, &body, rest.start)? {
            return Ok(streamed);
        }
        let (mut position, mut end, mut block) = (body.starts_at, rest.end, Block::default());
        let mut linger = pin!(tokio::time::sleep(LINGER));
        loop {
            let piece = tokio::select! {
                biased;
                piece = body.chunks.next() => piece,
                streamed = self.interrupted(part, seat, file) => {
                    self.land(assignment, file, handle, &mut position, &mut block).await?;
                    return Ok(streamed);
                }
                () = &mut linger, if !block.is_empty() => {
                    if self.land(assignment, file, handle, &mut position, &mut block).await? {
                        return Ok(Streamed::Done);
                    }
                    continue;
                }
            };
            let piece = match piece {
                Some(Ok(piece)) => piece,
                ended => {
                    let done = self.land(assignment, file, handle, &mut position, &mut block).await?;
                    return Ok(match ended {
                        _ if done => Streamed::Done,
                        Some(Err(error)) => Streamed::Broken(error),
                        _ if file.size.is_none() => {
                            self.ended(assignment);
                            Streamed::Done
                        }
                        _ => Streamed::Broken(ended_early(file, position)),
                    });
                }
            };
            if block.is_empty() {
                linger.as_mut().reset(tokio::time::Instant::now() + LINGER);
                if position == body.starts_at {
                    self.shared.state().board.first_byte(part, asked.elapsed());
                }
            }
            block.push(piece);
            let landing = position + u64::try_from(block.len()).unwrap_or(u64::MAX);
            if let Some(expected) = file.size
                && landing > expected
            {
                return Err(VerifyError::Size { path: file.path.clone(), expected, got: landing }.into());
            }
            // A source without ranges goes on past the part's end, and may as well be listened to.
            if landing >= end
                && body.ends_at.is_some_and(|last| last > end)
                && let Some(extended) = self.shared.state().board.extend(part)
            {
                end = extended;
            }
            if (landing >= end || block.is_full(self.shared.memory.block_bytes))
                && self.land(assignment, file, handle, &mut position, &mut block).await?
            {
                return Ok(Streamed::Done);
            }
        }
    }

    /// Whether an answer is for what was asked.
    fn check(
        &self,
        assignment: &Assignment,
        file: &PlannedFile,
        handle: &File,
        body: &Body,
        start: u64,
    ) -> Result<Option<Streamed>, TransferError> {
        let mut state = self.shared.state();
        if !state.ledger.identified(assignment.file, body.identity.clone()) {
            let what = format!("{} in {}", file.source.path, file.source.store);
            return Ok(Some(Streamed::Broken(StoreError::Changed { what })));
        }
        if let (Some(expected), Some(got)) = (file.size, body.size)
            && expected != got
        {
            return Err(VerifyError::Size { path: file.path.clone(), expected, got }.into());
        }
        if body.starts_at == start {
            return Ok(None);
        }
        // The source knows no ranges: one connection reads the file, from its first byte.
        state.board.is_not_splittable(assignment.file);
        if state.board.is_shared(assignment.file) {
            state.board.give_back(assignment.part);
            return Ok(Some(Streamed::GivenBack));
        }
        drop(state);
        if !can_go_on(file) {
            self.start_over(assignment, file, handle)?;
        }
        Ok(None)
    }

    /// Waits until the part is done, by whichever connection.
    async fn done(&self, part: PartNumber, seat: &Seat) {
        while self.shared.state().board.rest(part).is_some() {
            seat.wake.notified().await;
        }
    }

    /// Waits until there is a reason to give a request up.
    async fn interrupted(&self, part: PartNumber, seat: &Seat, file: &PlannedFile) -> Streamed {
        loop {
            seat.wake.notified().await;
            if self.shared.state().board.rest(part).is_none() {
                return Streamed::Done;
            }
            if seat.cut.swap(false, Relaxed) {
                return Streamed::Broken(StoreError::Unavailable {
                    what: format!("{} in {}", file.source.path, file.source.store),
                    reason: "the connection was too slow for too long".into(),
                    retry_after: None,
                    source: None,
                });
            }
        }
    }

    /// Claims and writes what was gathered. Says whether the part is done.
    async fn land(
        &self,
        assignment: &Assignment,
        file: &PlannedFile,
        handle: &File,
        position: &mut u64,
        block: &mut Block,
    ) -> Result<bool, TransferError> {
        let mut block = std::mem::take(block);
        let (start, length) = (*position, u64::try_from(block.len()).unwrap_or(u64::MAX));
        *position += length;
        let claimed = self.shared.state().board.claim(assignment.part, start, length);
        let (before, wanted) = (claimed.start - start, claimed.end - claimed.start);
        if wanted > 0 {
            let in_memory = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
            block.keep(in_memory(before), in_memory(wanted));
            block.write_at(handle, claimed.start).map_err(|source| {
                let path = file.path.clone();
                TransferError::Write { path, source }
            })?;
            self.shared.tracker.received(block.len());
            let room = self.shared.memory.held_bytes;
            self.shared.state().ledger.landed(assignment.file, claimed.start, block, room);
            hashing::relieve(&self.shared, assignment.file).await?;
            // Last, since what was hashed here may have made more of it possible.
            self.landed.notify_one();
        }
        let done = self.shared.state().board.rest(assignment.part).is_none();
        if done {
            self.shared.part_done(assignment.part);
        }
        Ok(done)
    }

    /// A file of unknown size is at its end.
    fn ended(&self, assignment: &Assignment) {
        let mut state = self.shared.state();
        if let Some(rest) = state.board.rest(assignment.part) {
            state.board.ended(assignment.part);
            state.ledger.ended(assignment.file, rest.start);
        }
        drop(state);
        self.shared.part_done(assignment.part);
        self.landed.notify_one();
    }

    /// Forgets what came in of a file that cannot be gone on with.
    fn start_over(
        &self,
        assignment: &Assignment,
        file: &PlannedFile,
        handle: &File,
    ) -> Result<(), TransferError> {
        let mut state = self.shared.state();
        state.board.restart(assignment.part);
        state.dropped.remove(&assignment.file);
        let discarded = state.ledger.restart(assignment.file);
        drop(state);
        self.shared.tracker.discarded(discarded, 0);
        // Of a file of unknown size, less may come the next time.
        if file.size.is_none() {
            let failed = |source| TransferError::Write { path: file.path.clone(), source };
            handle.set_len(0).map_err(failed)?;
        }
        Ok(())
    }
}

fn ended_early(file: &PlannedFile, position: u64) -> StoreError {
    let expected = file.size.map_or_else(|| "more".to_owned(), |size| size.to_string());
    StoreError::Unavailable {
        what: format!("{} in {}", file.source.path, file.source.store),
        reason: format!("expected {expected} bytes, got {position} before the end"),
        retry_after: None,
        source: None,
    }
}

/// Whether a broken file can be gone on with at an offset, or read in several places at once. Without an identity
/// or a digest, what is here may be of another content than what is still to come; without a size, nobody knows
/// whether anything is.
pub(super) fn can_go_on(file: &PlannedFile) -> bool {
    file.size.is_some() && (file.source.identity.is_some() || file.expected.is_some())
}
