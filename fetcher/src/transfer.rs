//! Brings the bytes of a plan onto the disk, verified.
//!
//! Files are fetched side by side, the largest first, each by one stream. A broken stream goes on where it
//! broke, as often as the retry budget allows; a source that cannot serve ranges starts over. Bytes go to a
//! staging file and through the hasher on their way (`sink`), so that a file is verified the moment its last
//! byte is written. What an earlier run staged is kept if the plan is the same ([`staging`]), and hashed again.
//! Memory is two buffers per connection, whatever the size of the model.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt as _;
use handoff::SafePath;
use tokio::task::JoinSet;

use crate::plan::{Plan, PlannedFile};
use crate::report::Tracker;
use crate::retry::{Budget, Failed};
use crate::store::{Class, Store, StoreError};
use crate::uri::StoreUri;
use crate::verify::{VerifiedFile, VerifyError};
use crate::volume;

mod sink;
pub mod staging;

use sink::Sink;
use staging::Staging;

/// Why a file could not be brought in.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The source did not give it.
    #[error("cannot fetch {path}")]
    Source {
        /// The file.
        path: SafePath,
        /// Why.
        source: Failed,
    },
    /// What came is not what it must be.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// It could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The staging file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A part of this program failed.
    #[error("a task of the transfer ended early: {reason}")]
    Task {
        /// What the runtime said.
        reason: String,
    },
}

impl TransferError {
    /// How to meet this failure; lack of space is told apart by [`is_no_space`](Self::is_no_space).
    pub fn class(&self) -> Class {
        match self {
            Self::Source { source, .. } => source.class(),
            Self::Verify(error) => error.class(),
            Self::Write { .. } => Class::Local,
            Self::Task { .. } => Class::Fatal,
        }
    }

    /// Whether the volume is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Write { source, .. } if volume::is_full(source))
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Source { source, .. } if source.class() == Class::Denied => {
                Some("check the store's credentials and that they may read this model")
            }
            Self::Source { source, .. } if source.class() == Class::Integrity => Some(
                "the source was overwritten while it was read; run again, and publish versions once only",
            ),
            Self::Verify(VerifyError::Checksum { .. } | VerifyError::Model { .. }) => Some(
                "the source does not hold what was published; publish the version again under a new name",
            ),
            Self::Source { source, .. } => source.hint(),
            _ if self.is_no_space() => Some("raise the volume's size limit, or free space on the node"),
            _ => None,
        }
    }
}

/// What a transfer works with.
pub struct Transfer {
    /// The stores of the plan.
    pub stores: HashMap<StoreUri, Arc<dyn Store>>,
    /// Files fetched at the same time.
    pub connections: usize,
    /// How often and how long to try.
    pub budget: Budget,
    /// Where progress is counted.
    pub tracker: Arc<Tracker>,
}

impl Transfer {
    /// Fetches every file of the plan.
    ///
    /// # Errors
    /// The first file that fails ends the others; what is staged stays for the next run.
    pub async fn run(self, plan: &Plan, staging: Staging) -> Result<Vec<VerifiedFile>, TransferError> {
        let mut waiting: Vec<(usize, PlannedFile)> = plan.files.iter().cloned().enumerate().collect();
        // Smallest first, because the next one is taken from the end.
        waiting.sort_by_key(|(_, file)| file.size);
        let (connections, shared) = (self.connections, Arc::new((self, staging)));
        let mut running = JoinSet::new();
        let mut verified = Vec::with_capacity(plan.files.len());
        loop {
            while running.len() < connections
                && let Some((index, file)) = waiting.pop()
            {
                let shared = Arc::clone(&shared);
                running.spawn(async move { shared.0.fetch(&file, shared.1.file(index)).await });
            }
            match running.join_next().await {
                None => return Ok(verified),
                Some(Ok(done)) => verified.push(done?),
                Some(Err(error)) => return Err(TransferError::Task { reason: error.to_string() }),
            }
        }
    }

    async fn fetch(&self, file: &PlannedFile, staged: PathBuf) -> Result<VerifiedFile, TransferError> {
        let store = self.stores.get(&file.source.store).ok_or_else(|| TransferError::Task {
            reason: format!("no store is open for {}", file.source.store),
        })?;
        let write = |source| TransferError::Write { path: staged.clone(), source };
        let mut sink = Sink::open(staged.clone(), can_go_on(file), file.size).await.map_err(write)?;
        let kept = sink.length();
        self.tracker.resumed(kept);
        self.stream(file, store.as_ref(), &mut sink).await?;
        let mut outcome = sink.finish().await.map_err(write)?.finish(file, staged.clone());
        if kept > 0 && matches!(outcome, Err(VerifyError::Checksum { .. } | VerifyError::Size { .. })) {
            // What was kept may have been lost in a crash of the node. The source gets one clean chance.
            tracing::warn!(path = %file.path, "what an earlier run left is not right, fetching anew");
            let mut sink = Sink::open(staged.clone(), false, file.size).await.map_err(write)?;
            self.tracker.discarded(file.size.unwrap_or(kept), kept);
            self.stream(file, store.as_ref(), &mut sink).await?;
            outcome = sink.finish().await.map_err(write)?.finish(file, staged.clone());
        }
        if outcome.is_err() {
            // Known to be wrong: a next run must not go on from it.
            let _ = tokio::fs::remove_file(&staged).await;
        }
        let verified = outcome?;
        self.tracker.file_done();
        Ok(verified)
    }

    /// Fills the sink up to the file's size, or to the source's end where the size is not known.
    async fn stream(
        &self,
        file: &PlannedFile,
        store: &dyn Store,
        sink: &mut Sink,
    ) -> Result<(), TransferError> {
        let mut attempts = self.budget.begin();
        // Further than ever, not just further than at the start of the request: a source that has to start over
        // and always breaks at the same place gets nowhere.
        let mut furthest = sink.length();
        while file.size != Some(sink.length()) {
            match self.stream_once(file, store, sink).await? {
                Ok(()) => return Ok(()),
                Err(error) => {
                    if sink.length() > furthest {
                        furthest = sink.length();
                        attempts.progressed();
                    }
                    self.tracker.retried();
                    let gave_up = |source| TransferError::Source { path: file.path.clone(), source };
                    attempts.pause_after(error).await.map_err(gave_up)?;
                    if !can_go_on(file) {
                        self.start_over(sink).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// One request. The outer result is ours to fail, the inner one the source's.
    async fn stream_once(
        &self,
        file: &PlannedFile,
        store: &dyn Store,
        sink: &mut Sink,
    ) -> Result<Result<(), StoreError>, TransferError> {
        let source = &file.source;
        let mut body = match store.read(&source.path, source.identity.as_ref(), sink.length()).await {
            Ok(body) => body,
            Err(error) => return Ok(Err(error)),
        };
        if body.starts_at != sink.length() {
            self.start_over(sink).await?;
        }
        let path = sink.path().to_owned();
        let write = |source| TransferError::Write { path: path.clone(), source };
        while let Some(chunk) = body.chunks.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => return Ok(Err(error)),
            };
            sink.append(&chunk).await.map_err(write)?;
            self.tracker.received(chunk.len());
            if let Some(expected) = file.size
                && sink.length() > expected
            {
                let (path, got) = (file.path.clone(), sink.length());
                return Err(VerifyError::Size { path, expected, got }.into());
            }
        }
        let length = sink.length();
        Ok(match file.size {
            Some(expected) if length < expected => Err(StoreError::Unavailable {
                what: format!("{} in {}", source.path, source.store),
                reason: format!("expected {expected} bytes, got {length} before the end"),
                retry_after: None,
                source: None,
            }),
            _ => Ok(()),
        })
    }

    async fn start_over(&self, sink: &mut Sink) -> Result<(), TransferError> {
        self.tracker.discarded(sink.length(), 0);
        let path = sink.path().to_owned();
        sink.restart().await.map_err(|source| TransferError::Write { path, source })
    }
}

/// Whether a broken file can be gone on with at an offset. Without an identity or a digest, what is here may be of
/// another content than what is still to come; without a size, nobody knows whether anything is.
fn can_go_on(file: &PlannedFile) -> bool {
    file.size.is_some() && (file.source.identity.is_some() || file.expected.is_some())
}
