//! Moves the frontiers: hashes what has landed, the files of several connections in step.
//!
//! Every worker thread has one such task beside its connections. It waits a moment for as many files as can be
//! hashed in step, because together they cost less than one after another; when the connections have nothing more to
//! give, it takes what there is.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::board::FileNumber;
use super::ledger::{Job, OnDisk, Outcome};
use super::staging_file::StagingFile;
use super::{Shared, TransferError, page_cache};
use crate::verify::lanes::LANES;
use crate::verify::{self, Lane};

/// How often the task lets the connections go first while there are fewer files to hash than could go in step.
const PATIENCE: u32 = 4;

/// Hashes until every file is at its end.
pub(super) async fn run(shared: Arc<Shared>, thread: usize) -> Result<(), TransferError> {
    loop {
        let mut patience = 0;
        loop {
            let (ready, in_step, complete) = {
                let state = shared.state();
                (state.ledger.ready(), state.in_step(), state.ledger.is_complete())
            };
            if complete {
                shared.finished.notify_one();
                return Ok(());
            }
            if ready == 0 {
                break;
            }
            if ready < in_step && patience < PATIENCE {
                patience += 1;
            } else {
                patience = 0;
                hash_some(&shared)?;
            }
            // Gives the connections of this thread their turn, and looks for what has come in.
            tokio::task::yield_now().await;
        }
        shared.has_landed(thread).await;
    }
}

/// Helps with the hashing until less waits for it, for a connection that brings more than is hashed.
pub(super) async fn relieve(shared: &Shared, file: FileNumber) -> Result<(), TransferError> {
    loop {
        let relieved = shared.hashed.notified();
        if !shared.state().is_crowded(file, shared.memory.held_bytes) {
            return Ok(());
        }
        if !hash_some(shared)? {
            // Another thread has what there is to hash.
            relieved.await;
        }
    }
}

/// Hashes the next bytes of some files. Says whether there were any.
pub(super) fn hash_some(shared: &Shared) -> Result<bool, TransferError> {
    let mut jobs = shared.state().ledger.take_jobs(LANES);
    if jobs.is_empty() {
        return Ok(false);
    }
    for job in &mut jobs {
        read_back(shared, job)?;
    }
    // In step, and no further than the first of them has bytes: the others wait for it, so that all go on together.
    let length = jobs.iter().map(|job| job.block.len()).min().unwrap_or_default();
    let mut lanes: Vec<Lane<'_>> =
        jobs.iter_mut().map(|job| (job.verifier.as_mut(), job.block.pieces())).collect();
    verify::update_together(&mut lanes, length);
    for mut job in jobs {
        let hashed = job.verifier.length();
        let left = job.block.len() - length;
        job.block.keep(length, left);
        let (file, outcome) = shared.state().ledger.hashed(job);
        if !shared.memory.keeps_page_cache {
            page_cache::drop_behind(shared, file, hashed);
        }
        if let Some(outcome) = outcome {
            conclude(shared, file, outcome)?;
        }
    }
    shared.hashed.notify_waiters();
    Ok(true)
}

/// Reads from the disk what is not in memory any more.
fn read_back(shared: &Shared, job: &mut Job) -> Result<(), TransferError> {
    let Some(OnDisk { staged, size, handle, range }) = job.on_disk.take() else { return Ok(()) };
    let failed = |source| TransferError::ReadBack { path: staged.path(), source };
    let file = match handle {
        Some(file) => file,
        // What an earlier run left, or an empty file: nobody asks for that, but it has to be there.
        None => {
            let opened = StagingFile::open(&staged, size).map_err(failed)?;
            shared.state().ledger.opened(job.file, opened)
        }
    };
    let mut buffer = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut buffer, range.start).map_err(failed)?;
    job.block.push(buffer.into());
    Ok(())
}

fn conclude(shared: &Shared, file: FileNumber, outcome: Outcome) -> Result<(), TransferError> {
    match outcome {
        Outcome::Verified => shared.tracker.file_done(),
        Outcome::Anew { bytes, kept } => {
            let mut state = shared.state();
            if let Some(planned) = state.ledger.planned(file) {
                // What was kept may have been lost in a crash of the node. The source gets one clean chance.
                tracing::warn!(path = %planned.path, "what an earlier run left is not right, fetching anew");
            }
            shared.tracker.discarded(bytes, kept);
            state.dropped.remove(&file);
            state.board.forget(file);
            drop(state);
            shared.changed.notify_waiters();
        }
        Outcome::Wrong(error) => {
            if let Some((staged, _)) = shared.state().ledger.staged(file) {
                let _ = staged.remove();
            }
            return Err(error.into());
        }
    }
    Ok(())
}
