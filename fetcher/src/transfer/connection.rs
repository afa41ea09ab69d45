//! One connection: takes a part from the board and has it brought in, however often its requests break.
//!
//! A broken request goes on at the first byte that is missing, as often as the budget allows. What cannot be gone on
//! with, because nobody could tell whether the rest is of the same content, starts over. A part that is far slower
//! than the others is raced: a second connection asks for what is left of it.

use std::sync::Arc;
use std::time::Duration;

use super::board::{Assignment, FileNumber, Next};
use super::request::{Ended, Request, Target};
use super::staging_file::StagingFile;
use super::{Shared, Stores, TransferError, can_go_on};
use crate::plan::PlannedFile;
use crate::retry::Failed;
use crate::store::ByteRange;

/// How long a connection without work waits before it looks again, at most.
const IDLE: Duration = Duration::from_millis(100);

/// A connection of one worker thread.
pub(super) struct Connection {
    /// Which one, of all; it works while the width is more than that.
    pub number: usize,
    pub shared: Arc<Shared>,
    /// The stores, as this thread opened them.
    pub stores: Arc<Stores>,
    /// The number of this thread.
    pub thread: usize,
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
                    self.fetch(assignment).await?;
                }
                Next::Race(assignment) => {
                    last = None;
                    self.race(assignment).await?;
                }
                // A part may come back, and a file that turns out wrong may have to be fetched anew.
                Next::Wait => {
                    let _ = tokio::time::timeout(IDLE, self.shared.changed.notified()).await;
                }
            }
        }
    }

    /// Fetches a part.
    async fn fetch(&self, assignment: Assignment) -> Result<(), TransferError> {
        let target = self.target(assignment)?;
        let (part, file) = (target.assignment.part, &target.file);
        let mut attempts = self.shared.budget.begin();
        // Further than ever, not just further than at the start of the request: a source that has to start over
        // and always breaks at the same place gets nowhere.
        let mut furthest = target.assignment.range.start;
        loop {
            let error = match Request::new(&self.shared, self.thread, &target).run().await? {
                Ended::Done | Ended::GivenBack => return Ok(()),
                Ended::Broken(error) => error,
            };
            let Some(rest) = self.shared.rest(part) else { return Ok(()) };
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
            self.shared.state().board.pauses(part);
            tokio::select! {
                paused = attempts.pause_after(error) => paused.map_err(gave_up)?,
                () = target.seat.part_done(&self.shared, part) => return Ok(()),
            }
            if !can_go_on(file) {
                target.start_over(&self.shared)?;
            }
        }
    }

    /// Fetches what is left of a part that another connection is slow with. Whoever has the next bytes first
    /// delivers them; if this one breaks, the other is still there.
    async fn race(&self, assignment: Assignment) -> Result<(), TransferError> {
        let target = self.target(assignment)?;
        tracing::debug!(path = %target.file.path, range = ?target.assignment.range, "racing a slow connection");
        if let Ended::Broken(error) = Request::new(&self.shared, self.thread, &target).run().await? {
            tracing::debug!(path = %target.file.path, "the race was lost: {error}");
        }
        Ok(())
    }

    fn target(&self, assignment: Assignment) -> Result<Target, TransferError> {
        let seat = self.shared.sit(assignment.part);
        let (file, handle) = self.open(assignment.file)?;
        let store = self.stores.get(&file.source.store).ok_or_else(|| TransferError::Task {
            reason: format!("no store is open for {}", file.source.store),
        })?;
        Ok(Target { store: Arc::clone(store), assignment, file, handle, seat })
    }

    fn open(&self, number: FileNumber) -> Result<(PlannedFile, Arc<StagingFile>), TransferError> {
        let nothing = || TransferError::Task { reason: format!("there is no file {number}") };
        let (planned, staged, handle) = {
            let state = self.shared.state();
            let planned = state.ledger.planned(number).cloned().ok_or_else(nothing)?;
            let (staged, handle) = state.ledger.staged(number).ok_or_else(nothing)?;
            (planned, staged.clone(), handle)
        };
        if let Some(handle) = handle {
            return Ok((planned, handle));
        }
        let opened = StagingFile::open(&staged, planned.size).map_err(|source| {
            let path = planned.path.clone();
            TransferError::Write { path, source }
        })?;
        let handle = self.shared.state().ledger.opened(number, opened);
        Ok((planned, handle))
    }
}
