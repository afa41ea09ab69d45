//! `progress.json`: what the fetcher is doing now.
//!
//! # Schema history
//! * 1: first. Later also `connections`, which a reader may find missing.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::ModelId;
use crate::persist::{self, Durability, ReadError};

/// The newest schema that this build writes and reads.
pub const SCHEMA: u32 = 1;

/// The fetcher's phases, in order; `failed` may follow any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Nothing has begun.
    Waiting,
    /// Asking the registry what the name means.
    Resolving,
    /// Bytes are coming in, and are hashed as they come.
    Fetching,
    /// All bytes are here; the model as a whole is being checked.
    Verifying,
    /// Verified files are being moved into place.
    Publishing,
    /// The receipt is written.
    Fetched,
    /// The run ended without a receipt.
    Failed,
}

impl Phase {
    /// The phase's name in JSON, metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Resolving => "resolving",
            Self::Fetching => "fetching",
            Self::Verifying => "verifying",
            Self::Publishing => "publishing",
            Self::Fetched => "fetched",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A snapshot of a running, finished or failed fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Version of this format; see the module's history.
    pub schema: u32,
    /// The model as the manifest names it.
    pub model: ModelId,
    /// What is happening.
    pub phase: Phase,
    /// Bytes that are on disk; the hash is at most a few blocks behind.
    pub bytes: u64,
    /// Bytes there will be; absent while it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// Files that are verified.
    pub files: u64,
    /// Files there will be; 0 until the plan is made.
    pub total_files: u64,
    /// Recent throughput.
    pub bytes_per_second: u64,
    /// Seconds left at that throughput.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<u64>,
    /// How the connections are doing; present while there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<Connections>,
    /// Which start of the fetcher on this volume this is, from 1.
    pub attempt: u32,
    /// Why the run failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// When this was written.
    pub updated_at: Timestamp,
}

/// How the connections of a fetch are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// How many are at work.
    pub open: u32,
    /// Recent throughput of the slowest, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowest_bytes_per_second: Option<u64>,
    /// Requests that were made again in this run.
    pub retries: u32,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The exit code; see [`ExitCode`](crate::ExitCode).
    pub code: u8,
    /// One display-ready line, the same as the termination message.
    pub message: String,
}

impl Progress {
    /// Reads a snapshot.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        persist::read(path, SCHEMA)
    }

    /// Reads the text of a snapshot; `path` is where it is from, for messages.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self, ReadError> {
        persist::parse(path, text, SCHEMA)
    }

    /// Replaces the snapshot in one step for every reader.
    ///
    /// # Errors
    /// Fails as the file system does.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        persist::replace(path, self, Durability::Process)
    }

    /// Whole percents done, rounded down, when the total is known and not zero.
    pub fn percent(&self) -> Option<u64> {
        let total = self.total_bytes.filter(|&total| total > 0)?;
        let percent = u128::from(self.bytes.min(total)) * 100 / u128::from(total);
        u64::try_from(percent).ok()
    }
}
