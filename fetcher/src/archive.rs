//! Archives: one object of a store that holds many files of a model.
//!
//! What is planned of one is how it is read; which files are in it is known when its bytes have passed. [`tar`] and
//! [`zip`] read one from its first byte to its last and give each member to a [`Sink`] as it comes by, so an archive is
//! never on the disk. A name is only text here, and a content only a stream: what may become a file of the model
//! is decided by who writes it, in [`transfer`](crate::transfer).

use std::io::{self, Read};

use clap::ValueEnum;
use handoff::{ByteSize, SafePath};
use serde::Serialize;

use crate::store::Class;
use crate::volume;

pub mod decode;
pub mod meter;
#[cfg(test)]
pub(crate) mod samples;
pub mod tar;
pub mod zip;

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

impl Format {
    /// The format that a file's name promises.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let endings = [
            (".tar", Self::Tar),
            (".tar.gz", Self::TarGzip),
            (".tgz", Self::TarGzip),
            (".tar.zst", Self::TarZstd),
            (".tzst", Self::TarZstd),
            (".zip", Self::Zip),
        ];
        endings.into_iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| format)
    }
}

/// What of an archive is of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unpack {
    /// How it is written.
    pub format: Format,
    /// The folder in it that holds the model, whose files are named without it; all of it if none is given. An archive
    /// of which only a folder counts is a layer of an image: see [`is_layer`](Self::is_layer).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<SafePath>,
}

impl Unpack {
    /// Whether it lies over those that are planned before it: its files replace theirs, and its whiteouts hide them.
    pub fn is_layer(&self) -> bool {
        self.below.is_some()
    }
}

/// Which archives are to be unpacked, of those that nobody but their name says are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Requested {
    /// None: an archive is a file of the model like any other.
    #[default]
    Never,
    /// The model, where it is one file and that is an archive, as KServe does it.
    Single,
    /// Each of them, into the folder that it is in.
    Always,
}

impl Requested {
    /// As a setting and a receipt have it; nothing where nothing was asked for.
    pub fn given(self) -> Option<String> {
        match self {
            Self::Never => None,
            Self::Single => Some("single".to_owned()),
            Self::Always => Some("always".to_owned()),
        }
    }

    /// Whether a file is unpacked that is one of so many.
    pub fn format(self, name: &str, files: usize) -> Option<Format> {
        let asked = match self {
            Self::Never => false,
            Self::Single => files == 1,
            Self::Always => true,
        };
        Format::of_name(name).filter(|_| asked)
    }
}

/// What a member of an archive is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// Another name for a member that came before.
    HardLink(String),
    /// A symbolic link.
    SymbolicLink(String),
    /// Anything else, and what that is.
    Other(&'static str),
}

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, as it is written there.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Bytes of its content.
    pub size: u64,
}

/// Takes the members of an archive, in order.
pub trait Sink {
    /// Takes a member. What it leaves of the content is passed over.
    ///
    /// # Errors
    /// Whatever is to end the reading.
    fn member(&mut self, member: Member, content: &mut dyn Read) -> Result<(), UnpackError>;
}

/// Why an archive cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It is not what its format says.
    #[error("it is damaged, or not of its format: {0}")]
    Damaged(String),
    /// It does what no archive of a model may.
    #[error("{name} {reason}")]
    Member {
        /// The member, escaped.
        name: String,
        /// What it is or does.
        reason: String,
        /// What the user can do about it.
        hint: Option<&'static str>,
    },
    /// It needs what is not supported.
    #[error("{reason}")]
    Unsupported {
        /// What it needs.
        reason: String,
        /// What the user can do about it.
        hint: &'static str,
    },
    /// It is larger, unpacked, than it may be.
    #[error("{0}")]
    Excessive(String, &'static str),
    /// A member could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The member.
        path: SafePath,
        /// What the system said.
        source: io::Error,
    },
    /// What is in it does not fit.
    #[error("not enough space for what is in it: expected {}, got {}", ByteSize(*needed), ByteSize(*free))]
    NoSpace {
        /// Its bytes.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// Its bytes ended before it did.
    #[error("it is cut short")]
    CutShort,
}

impl UnpackError {
    /// A complaint about a member.
    pub fn member(name: &str, reason: impl Into<String>) -> Self {
        let name = name.chars().take(120).collect::<String>();
        Self::Member { name: name.escape_debug().to_string(), reason: reason.into(), hint: None }
    }

    /// The failure of a decoder, or of what is below it.
    pub fn reading(error: io::Error) -> Self {
        let kind = error.kind();
        let text = error.to_string();
        match error.into_inner().map(<dyn std::error::Error + Send + Sync>::downcast::<Self>) {
            Some(Ok(ours)) => *ours,
            _ if kind == io::ErrorKind::UnexpectedEof => Self::CutShort,
            _ => Self::Damaged(text),
        }
    }

    /// How to meet this failure.
    pub fn class(&self) -> Class {
        match self {
            Self::Damaged(_) | Self::Member { .. } | Self::CutShort => Class::Integrity,
            Self::Unsupported { .. } | Self::Excessive(..) => Class::Fatal,
            Self::Write { .. } | Self::NoSpace { .. } => Class::Local,
        }
    }

    /// Whether the volume is full.
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Write { source, .. } => volume::is_full(source),
            Self::NoSpace { .. } => true,
            _ => false,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Damaged(_) | Self::CutShort => Some("pack the model again and publish it under a new name"),
            Self::Member { hint, .. } => *hint,
            Self::Unsupported { hint, .. } | Self::Excessive(_, hint) => Some(hint),
            Self::Write { .. } | Self::NoSpace { .. } => None,
        }
    }
}

impl From<UnpackError> for io::Error {
    fn from(error: UnpackError) -> Self {
        Self::other(error)
    }
}

/// Fills a buffer, or fails because there is no more.
pub(crate) fn read_exactly(from: &mut (impl Read + ?Sized), buffer: &mut [u8]) -> Result<(), UnpackError> {
    from.read_exact(buffer).map_err(UnpackError::reading)
}

/// Passes over so many bytes, which must be there.
pub(crate) fn pass(from: &mut (impl Read + ?Sized), bytes: u64) -> Result<(), UnpackError> {
    let passed = io::copy(&mut Read::take(from, bytes), &mut io::sink()).map_err(UnpackError::reading)?;
    if passed == bytes { Ok(()) } else { Err(UnpackError::CutShort) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_unpacked() {
        assert_eq!(Requested::Never.format("a.tar", 1), None);
        assert_eq!(Requested::Single.format("a.TGZ", 1), Some(Format::TarGzip));
        assert_eq!(Requested::Single.format("a.zip", 2), None);
        assert_eq!(Requested::Always.format("a.tar.zst", 2), Some(Format::TarZstd));
        assert_eq!(Requested::Always.format("a.bin", 2), None);
        for name in ["a.gz", "tar", "a.tar.bz2", "a.zip.part", "a.tar/b"] {
            assert_eq!(Format::of_name(name), None, "{name}");
        }
    }
}
