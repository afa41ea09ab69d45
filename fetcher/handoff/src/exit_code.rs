//! The exit codes of both binaries. They are contract: Argo CD checks, `restartPolicyRules` and people read them.
//!
//! The numbers are those of BSD's `sysexits.h` where it has a fitting one.

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// The model is in place and verified.
    Success,
    /// Bad configuration or arguments.
    Config,
    /// A checksum, size or signature is wrong.
    Integrity,
    /// The model, version or file does not exist.
    NotFound,
    /// A registry or store cannot be reached and the retry budget is spent.
    Unavailable,
    /// A bug: the program panicked.
    Internal,
    /// Not enough space on the volume.
    NoSpace,
    /// A local read or write failed.
    LocalIo,
    /// Interrupted by a signal; what was fetched is kept.
    Interrupted,
    /// Authentication or permission refused.
    Denied,
}

impl ExitCode {
    /// The process's exit status.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Config => 64,
            Self::Integrity => 65,
            Self::NotFound => 66,
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::NoSpace => 73,
            Self::LocalIo => 74,
            Self::Interrupted => 75,
            Self::Denied => 77,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}
