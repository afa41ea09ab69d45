//! Everything that can end the program early, with its exit code and what to do about it.

use std::fmt::Write as _;
use std::io;

use handoff::ExitCode;

use crate::config::ConfigError;
use crate::install::InstallError;
use crate::one_line;
use crate::serve::ServeError;

/// Why the program ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Serving could not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The check could not start.
    #[error("cannot start the event loop")]
    Check(#[source] io::Error),
    /// There is no copy.
    #[error(transparent)]
    Install(#[from] InstallError),
}

impl Error {
    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::Config,
            Self::Install(error) if error.is_full() => ExitCode::NoSpace,
            Self::Serve(_) | Self::Check(_) | Self::Install(_) => ExitCode::LocalIo,
        }
    }

    /// The whole message: what went wrong, why, and what to do.
    pub fn explain(&self) -> String {
        let mut text = format!("error: {}\n", one_line::of_error(self));
        let hint = match self {
            Self::Config(error) => Some(error.hint()),
            Self::Serve(ServeError::Listen { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {
                Some("another process serves there; set HEALTH_LISTEN (--listen) to a free port")
            }
            Self::Install(error) => error.hint(),
            Self::Serve(_) | Self::Check(_) => None,
        };
        if let Some(hint) = hint {
            // Writing to a String cannot fail.
            let _ = write!(text, "\nhint: {hint}\n");
        }
        text
    }
}
