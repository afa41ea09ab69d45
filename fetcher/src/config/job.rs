//! What a run is to do, once its configuration was found to be sound.

use std::collections::BTreeMap;
use std::path::PathBuf;

use handoff::{Integrity, Layout, ModelDigest};

use crate::archive::Requested;
use crate::connection::Network;
use crate::filter::Filter;
use crate::name::{ModelName, VersionName};
use crate::reference::ModelRef;
use crate::report::OutputFormat;
use crate::uri::StoreUri;

/// Where the kubelet reads a container's last words.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// A run.
#[derive(Debug)]
pub enum Job {
    /// Fetch one model, or several in turn.
    Pull(Vec<Pull>),
    /// Print a plan.
    Resolve(Box<Resolve>),
    /// Check a directory against its receipt, and against its signature.
    Verify(Verify),
    /// Print digests of a directory.
    Digest(PathBuf),
    /// Add a version to a catalog.
    Publish(Box<Publish>),
}

impl Job {
    /// Where the outcome of this run goes, if it is one that a Pod waits for.
    pub fn termination_log(&self) -> Option<TerminationLog> {
        match self {
            Self::Pull(pulls) => pulls.first().map(|pull| pull.termination_log.clone()),
            Self::Resolve(job) => Some(job.termination_log.clone()),
            Self::Verify(_) | Self::Digest(_) | Self::Publish(_) => None,
        }
    }
}

/// A fetch.
#[derive(Debug)]
pub struct Pull {
    /// Which model, and what it must be.
    pub wanted: Wanted,
    /// Where to put it.
    pub layout: Layout,
    /// The most connections at the same time.
    pub connections: usize,
    /// Bytes that buffers may take up.
    pub memory: u64,
    /// Bytes per second below which a connection is cut.
    pub slowest: u64,
    /// How to reach registries and stores.
    pub network: Network,
    /// Where the outcome goes.
    pub termination_log: TerminationLog,
}

/// A directory to check.
#[derive(Debug)]
pub struct Verify {
    /// Where it is.
    pub layout: Layout,
    /// Whose signature it must have, and where that is.
    pub signed: Option<Signed>,
}

/// A signature that must be there.
#[derive(Debug)]
pub struct Signed {
    /// Who must have made it.
    pub trusted: TrustFiles,
    /// Its file.
    pub signature: PathBuf,
}

/// Files that hold whom a deployment trusts, at least one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustFiles {
    /// Public keys.
    pub key: Option<PathBuf>,
    /// Certificate authorities.
    pub certificate: Option<PathBuf>,
    /// Somebody who signs without a key.
    pub identity: Option<TrustedIdentity>,
}

/// Somebody whom a Sigstore vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIdentity {
    /// The Sigstore's authorities and logs.
    pub root: PathBuf,
    /// Who.
    pub identity: String,
    /// By whose word.
    pub issuer: String,
}

/// Which model, and what it must be.
#[derive(Debug)]
pub struct Wanted {
    /// Which model.
    pub reference: ModelRef,
    /// Which of its files are wanted.
    pub filter: Filter,
    /// The digest that those must have together.
    pub pinned: Option<ModelDigest>,
    /// The weakest rung that is accepted for a file.
    pub least: Integrity,
    /// Whose signature it must have.
    pub trusted: Option<TrustFiles>,
    /// The most bytes that it may have.
    pub largest: u64,
    /// Which archives are unpacked.
    pub unpack: Requested,
}

/// A plan to print.
#[derive(Debug)]
pub struct Resolve {
    /// Which model, and what it must be.
    pub wanted: Wanted,
    /// In which form.
    pub output: OutputFormat,
    /// How to reach registries and stores.
    pub network: Network,
    /// Where the outcome goes.
    pub termination_log: TerminationLog,
}

/// A version to add to a catalog.
#[derive(Debug)]
pub struct Publish {
    /// Where the files are.
    pub directory: PathBuf,
    /// The catalog.
    pub catalog: StoreUri,
    /// Name of the model.
    pub name: ModelName,
    /// Version to make.
    pub version: VersionName,
    /// Qualities for the descriptor.
    pub metrics: BTreeMap<String, f64>,
    /// Provenance for the descriptor.
    pub source: BTreeMap<String, String>,
    /// Aliases to point at the version.
    pub aliases: Vec<VersionName>,
    /// How to reach the catalog.
    pub network: Network,
}

/// Where the one-line outcome goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TerminationLog {
    /// [`TERMINATION_LOG`], if it is there: outside a Pod it is not, and must not be made.
    IfPresent(PathBuf),
    /// A file that was asked for by name.
    Always(PathBuf),
}
