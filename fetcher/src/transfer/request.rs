//! One request for what is missing of a part: asks, and lands what comes.
//!
//! Pieces are gathered into a block; a full one is claimed, written at its place, and left to the hash. The request
//! ends when the part is done, by whichever connection, when it breaks, or when it has been too slow for too long.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::block::Block;
use super::board::Assignment;
use super::seat::Seat;
use super::staging_file::StagingFile;
use super::{Shared, TransferError, can_go_on, hashing};
use crate::plan::PlannedFile;
use crate::store::{Body, ByteRange, Store, StoreError};
use crate::verify::VerifyError;
use futures_util::{FutureExt as _, StreamExt as _};

/// How long bytes may wait for a block to fill: progress and the journal are to tell of a slow connection, too.
const LINGER: Duration = Duration::from_millis(250);

/// A part, and what it takes to bring it in.
pub(super) struct Target {
    pub assignment: Assignment,
    pub file: PlannedFile,
    pub handle: Arc<StagingFile>,
    pub store: Arc<dyn Store>,
    pub seat: Arc<Seat>,
}

impl Target {
    /// Forgets what came in of a file that cannot be gone on with.
    pub(super) fn start_over(&self, shared: &Shared) -> Result<(), TransferError> {
        let number = self.assignment.file;
        let mut state = shared.state();
        state.board.restart(self.assignment.part);
        state.dropped.remove(&number);
        let discarded = state.ledger.restart(number);
        drop(state);
        shared.tracker.discarded(discarded, 0);
        // Of a file of unknown size, less may come the next time.
        if self.file.size.is_none() {
            self.handle.set_len(0).map_err(|source| self.not_written(source))?;
        }
        Ok(())
    }

    fn not_written(&self, source: std::io::Error) -> TransferError {
        TransferError::Write { path: self.file.path.clone(), source }
    }

    fn unavailable(&self, reason: String) -> StoreError {
        StoreError::Unavailable { what: self.name(), reason, retry_after: None, source: None }
    }

    fn name(&self) -> String {
        format!("{} in {}", self.file.source.path, self.file.source.store)
    }
}

/// How a request ended that did not fail for good.
pub(super) enum Ended {
    /// The part is done.
    Done,
    /// The request broke off.
    Broken(StoreError),
    /// The source gives whole files only, and somebody else is reading this one.
    GivenBack,
}

/// A request under way.
pub(super) struct Request<'a> {
    shared: &'a Shared,
    thread: usize,
    target: &'a Target,
    /// What was gathered, and where in the file it begins.
    block: Block,
    position: u64,
    /// Where the part ends.
    end: u64,
}

impl<'a> Request<'a> {
    pub(super) fn new(shared: &'a Shared, thread: usize, target: &'a Target) -> Self {
        Self { shared, thread, target, block: Block::default(), position: 0, end: 0 }
    }

    /// Asks and lands.
    pub(super) async fn run(mut self) -> Result<Ended, TransferError> {
        let part = self.target.assignment.part;
        let Some(rest) = self.shared.rest(part) else { return Ok(Ended::Done) };
        let asked = Instant::now();
        let mut body = match self.ask(&rest).await {
            Ok(body) => body,
            Err(ended) => return Ok(ended),
        };
        if let Some(ended) = self.check(&body, rest.start)? {
            return Ok(ended);
        }
        (self.position, self.end) = (body.starts_at, rest.end);
        let mut linger = pin!(tokio::time::sleep(LINGER));
        let mut answered = false;
        loop {
            let piece = tokio::select! {
                biased;
                piece = body.chunks.next() => piece,
                ended = self.interrupted() => {
                    self.land().await?;
                    return Ok(ended);
                }
                () = &mut linger, if !self.block.is_empty() => {
                    if self.land().await? {
                        return Ok(Ended::Done);
                    }
                    continue;
                }
            };
            let piece = match piece {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => return self.finish(Some(error)).await,
                None => return self.finish(None).await,
            };
            if !std::mem::replace(&mut answered, true) {
                self.shared.state().board.first_byte(part, asked.elapsed());
            }
            if self.block.is_empty() {
                linger.as_mut().reset(tokio::time::Instant::now() + LINGER);
            }
            self.block.push(piece);
            if self.is_time_to_land(body.ends_at)? && self.land().await? {
                if body.ends_at == Some(self.position) {
                    leave(&mut body).await;
                }
                return Ok(Ended::Done);
            }
        }
    }

    async fn ask(&self, rest: &Range<u64>) -> Result<Body, Ended> {
        let Target { assignment, file, store, seat, .. } = self.target;
        let whole = rest.start == 0 && file.size.is_none_or(|size| rest.end == size);
        let range = if whole {
            ByteRange::WHOLE
        } else {
            ByteRange { start: rest.start, end: Some(rest.end).filter(|end| *end < u64::MAX) }
        };
        seat.sit_down();
        let identity = {
            let mut state = self.shared.state();
            state.board.asked(assignment.part);
            state.ledger.identity(assignment.file).cloned()
        };
        tokio::select! {
            read = store.read(&file.source.path, identity.as_ref(), range) => read.map_err(Ended::Broken),
            ended = self.interrupted() => Err(ended),
        }
    }

    /// Whether an answer is for what was asked.
    fn check(&self, body: &Body, start: u64) -> Result<Option<Ended>, TransferError> {
        let Target { assignment, file, .. } = self.target;
        let mut state = self.shared.state();
        if !state.ledger.identified(assignment.file, body.identity.clone()) {
            return Ok(Some(Ended::Broken(StoreError::Changed { what: self.target.name() })));
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
            return Ok(Some(Ended::GivenBack));
        }
        drop(state);
        if !can_go_on(file) {
            self.target.start_over(self.shared)?;
        }
        Ok(None)
    }

    /// Whether what was gathered is enough to be written. `last` is where the answer ends, if it says so.
    fn is_time_to_land(&mut self, last: Option<u64>) -> Result<bool, TransferError> {
        let file = &self.target.file;
        let landing = self.position + u64::try_from(self.block.len()).unwrap_or(u64::MAX);
        match file.size {
            Some(expected) if landing > expected => {
                return Err(VerifyError::Size { path: file.path.clone(), expected, got: landing }.into());
            }
            None if landing > self.shared.largest => {
                let (path, limit) = (file.path.clone(), self.shared.largest);
                return Err(TransferError::TooLarge { path, limit });
            }
            _ => {}
        }
        // A source without ranges goes on past the part's end, and may as well be listened to.
        if landing >= self.end
            && last.is_some_and(|last| last > self.end)
            && let Some(extended) = self.shared.state().board.extend(self.target.assignment.part)
        {
            self.end = extended;
        }
        Ok(landing >= self.end || self.block.is_full(self.shared.memory.block_bytes))
    }

    /// Claims and writes what was gathered. Says whether the part is done.
    async fn land(&mut self) -> Result<bool, TransferError> {
        let (number, part) = (self.target.assignment.file, self.target.assignment.part);
        let mut block = std::mem::take(&mut self.block);
        let (start, length) = (self.position, u64::try_from(block.len()).unwrap_or(u64::MAX));
        self.position += length;
        let (claimed, in_all) = {
            let mut state = self.shared.state();
            (state.board.claim(part, start, length), state.board.claimed())
        };
        let (before, wanted) = (claimed.start - start, claimed.end - claimed.start);
        if wanted > 0 {
            let in_memory = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
            block.keep(in_memory(before), in_memory(wanted));
            self.write(&block, claimed.start).await?;
            self.shared.tracker.received(block.len());
            let room = self.shared.memory.held_bytes;
            self.shared.state().ledger.landed(number, claimed.start, block, room);
            self.shared.keep_journal(in_all - wanted, in_all);
            hashing::relieve(self.shared, number).await?;
            // Last, since what was hashed here may have made more of it possible.
            self.shared.landed(self.thread);
        }
        let done = self.shared.rest(part).is_none();
        if done {
            self.shared.part_done(part);
        }
        Ok(done)
    }

    /// Writes when it is this connection's turn, and helps with the hashing until then.
    async fn write(&self, block: &Block, offset: u64) -> Result<(), TransferError> {
        loop {
            let freed = self.target.handle.freed();
            match self.target.handle.try_write(block, offset) {
                Some(written) => return written.map_err(|source| self.target.not_written(source)),
                None if hashing::hash_some(self.shared)? => {}
                None => freed.await,
            }
        }
    }

    /// The answer ended, or broke off.
    async fn finish(mut self, error: Option<StoreError>) -> Result<Ended, TransferError> {
        if self.land().await? {
            return Ok(Ended::Done);
        }
        if let Some(error) = error {
            return Ok(Ended::Broken(error));
        }
        let Some(size) = self.target.file.size else {
            self.file_ended();
            return Ok(Ended::Done);
        };
        let reason = format!("expected {size} bytes, got {} before the end", self.position);
        Ok(Ended::Broken(self.target.unavailable(reason)))
    }

    /// A file of unknown size is at its end.
    fn file_ended(&self) {
        let (number, part) = (self.target.assignment.file, self.target.assignment.part);
        let mut state = self.shared.state();
        if let Some(rest) = state.board.rest(part) {
            state.board.ended(part);
            state.ledger.ended(number, rest.start);
        }
        drop(state);
        self.shared.part_done(part);
        self.shared.landed(self.thread);
    }

    /// Waits until there is a reason to give the request up.
    async fn interrupted(&self) -> Ended {
        let (part, seat) = (self.target.assignment.part, &self.target.seat);
        loop {
            seat.woken().await;
            if self.shared.rest(part).is_none() {
                return Ended::Done;
            }
            if seat.is_cut() {
                return Ended::Broken(
                    self.target.unavailable("the connection was too slow for too long".into()),
                );
            }
        }
    }
}

/// Lets the network library see that an answer is at its end and keep its connection for the next request, which
/// would open another one if it came before that.
async fn leave(body: &mut Body) {
    let _ = body.chunks.next().now_or_never();
    tokio::task::yield_now().await;
}
