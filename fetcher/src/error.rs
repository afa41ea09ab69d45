//! The error of a whole run: which stage failed, what the exit code is, and what the user can do.

use handoff::{ExitCode, ReadError};

use crate::chain;
use crate::config::ConfigError;
use crate::evidence::EvidenceError;
use crate::http::ClientError;
use crate::plan::PlanError;
use crate::publish::PublishError;
use crate::resolve::ResolveError;
use crate::retry::Failed;
use crate::signature::directory::DirectoryError;
use crate::signature::{SignatureError, TrustError};
use crate::store::{Class, StoreError};
use crate::transfer::TransferError;
use crate::verify::VerifyError;
use crate::volume::VolumeError;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The HTTP client cannot be built.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The name cannot be resolved.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The source cannot be listed.
    #[error("cannot list {uri}")]
    List {
        /// The address.
        uri: String,
        /// Why.
        source: Failed,
    },
    /// What vouches for the files cannot be read or used.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// No plan can be made.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The volume cannot be worked on.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// A file cannot be brought in.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// Content is not what it must be.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The model cannot be put into place.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A directory has no usable receipt to be verified against.
    #[error("nothing to verify against")]
    Receipt(#[source] ReadError),
    /// A directory's receipt contradicts itself.
    #[error("the receipt of {directory} contradicts itself")]
    ReceiptTampered {
        /// The model directory.
        directory: String,
    },
    /// Whom to trust cannot be read.
    #[error("cannot read {file}")]
    TrustFile {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nobody can be trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// There is no signature where one must be.
    #[error("expected a signature at {file}, found none")]
    Unsigned {
        /// Where it was looked for.
        file: String,
    },
    /// A signature cannot be read.
    #[error("cannot read {file}")]
    SignatureFile {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A signature does not vouch for the model.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A directory is not what was signed.
    #[error(transparent)]
    SignedDirectory(#[from] DirectoryError),
    /// A local directory cannot be read.
    #[error("cannot read {directory}")]
    Directory {
        /// The directory.
        directory: String,
        /// Why.
        source: StoreError,
    },
    /// The version to publish exists.
    #[error("{version} exists already in {catalog}, and a version is never replaced")]
    VersionExists {
        /// Name and version.
        version: String,
        /// The catalog.
        catalog: String,
    },
    /// Another publish of the version, of other content, is under way or was cut off.
    #[error("another publish of {version} is under way or was cut off: {claim} exists")]
    Claimed {
        /// Name and version.
        version: String,
        /// The mark.
        claim: String,
    },
    /// The catalog's store does not do what a catalog needs.
    #[error("{catalog} cannot hold a catalog: it {problem}")]
    UnfitCatalog {
        /// The catalog.
        catalog: String,
        /// What it does or does not do.
        problem: &'static str,
    },
    /// Writing to the catalog failed.
    #[error("cannot {action} {catalog}")]
    Catalog {
        /// What was tried.
        action: &'static str,
        /// The catalog.
        catalog: String,
        /// Why.
        source: Failed,
    },
    /// A file changed while it was published.
    #[error("{path} changed while it was being published")]
    Unsteady {
        /// The file.
        path: String,
    },
    /// Standard output is gone.
    #[error("cannot write to standard output")]
    Output(#[source] std::io::Error),
    /// The run took longer than it may.
    #[error("not done within {} s", limit.as_secs())]
    Deadline {
        /// The time it may take.
        limit: std::time::Duration,
    },
    /// A signal asked the run to end.
    #[error("interrupted by {signal} {progress}")]
    Interrupted {
        /// The signal's name.
        signal: &'static str,
        /// How far the run had come.
        progress: String,
    },
}

impl Error {
    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_)
            | Self::Client(_)
            | Self::Trust(_)
            | Self::TrustFile { .. }
            | Self::VersionExists { .. }
            | Self::Claimed { .. }
            | Self::UnfitCatalog { .. } => ExitCode::Config,
            Self::Resolve(error) => of_class(error.class()),
            Self::Plan(error) => of_class(error.class()),
            Self::List { source, .. } | Self::Catalog { source, .. } => of_class(source.class()),
            Self::Directory { source, .. } => of_class(source.class()),
            Self::Evidence(error) => of_class(error.class()),
            Self::ReceiptTampered { .. } | Self::Unsteady { .. } => ExitCode::Integrity,
            Self::Transfer(error) if error.is_no_space() => ExitCode::NoSpace,
            Self::Transfer(error) => of_class(error.class()),
            Self::Volume(error) | Self::Publish(PublishError::Volume(error)) => match error.is_no_space() {
                true => ExitCode::NoSpace,
                false => of_volume(error),
            },
            Self::Publish(PublishError::Obstacle { .. }) | Self::Output(_) => ExitCode::LocalIo,
            Self::Verify(error) => of_class(error.class()),
            Self::Receipt(ReadError::Missing { .. }) => ExitCode::NotFound,
            Self::Receipt(_) => ExitCode::Integrity,
            Self::Signature(_) => ExitCode::Integrity,
            Self::SignedDirectory(error) => of_class(error.class()),
            Self::Unsigned { .. } => ExitCode::NotFound,
            Self::SignatureFile { .. } => ExitCode::LocalIo,
            Self::Deadline { .. } => ExitCode::Unavailable,
            Self::Interrupted { .. } => ExitCode::Interrupted,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Resolve(error) => error.hint(),
            Self::Plan(error) => error.hint(),
            Self::Evidence(error) => error.hint(),
            Self::Signature(error) => error.hint(),
            Self::Unsigned { .. } => {
                Some("sign the model, name the file with --signature, or trust nobody to do without")
            }
            Self::Volume(error) | Self::Publish(PublishError::Volume(error)) => error.hint(),
            Self::Transfer(error) => error.hint(),
            Self::List { source, .. } | Self::Catalog { source, .. } if source.class() == Class::Denied => {
                Some("check the store's credentials and what they may do there")
            }
            Self::List { uri, source } if source.class() == Class::NotFound => {
                Some(match uri.starts_with("http") && uri.ends_with('/') {
                    true => {
                        "a folder of a web server says by a SHA256SUMS what is in it; without one, name a single file"
                    }
                    false => {
                        "check the address: a folder is meant by its whole name, and upper and lower case differ"
                    }
                })
            }
            Self::List { source, .. } | Self::Catalog { source, .. } => source.hint(),
            Self::Deadline { .. } => {
                Some("a next start goes on from what is there; FETCHER_DEADLINE sets the time")
            }
            Self::VersionExists { .. } => Some("publish under a new version"),
            Self::Claimed { .. } => Some("wait for the other publish, or remove that file if it was cut off"),
            Self::Receipt(ReadError::Missing { .. }) => Some("run `fetcher pull` first, or name --state-dir"),
            _ => None,
        }
    }

    /// The error with its causes, each once, in one line.
    pub fn chain(&self) -> String {
        chain::line(self)
    }
}

fn of_class(class: Class) -> ExitCode {
    match class {
        Class::Retryable => ExitCode::Unavailable,
        Class::NotFound => ExitCode::NotFound,
        Class::Denied => ExitCode::Denied,
        Class::Integrity => ExitCode::Integrity,
        Class::Local => ExitCode::LocalIo,
        // The remote side refuses what our settings make us ask.
        Class::Fatal => ExitCode::Config,
    }
}

fn of_volume(error: &VolumeError) -> ExitCode {
    match error {
        VolumeError::Busy { .. } => ExitCode::Interrupted,
        other => of_class(other.class()),
    }
}
