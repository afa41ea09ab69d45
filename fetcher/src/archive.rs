//! Archives: one object of a store that holds many files of a model.
//!
//! What is planned of one is how it is read; which files are in it is known when its bytes have passed.

use handoff::SafePath;
use serde::Serialize;

/// How an archive is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// POSIX and GNU tar.
    Tar,
    /// The same in gzip, RFC 1952.
    TarGzip,
    /// The same in Zstandard, RFC 8878.
    TarZstd,
    /// ZIP, with or without its 64-bit extensions.
    Zip,
}

/// What of an archive is of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unpack {
    /// How it is written.
    pub format: Format,
    /// The folder in it that holds the model, whose files are named without it; all of it if none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<SafePath>,
}
