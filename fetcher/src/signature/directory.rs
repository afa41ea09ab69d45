//! A local directory against a signature: every file that is signed is there with its content, and no other is.
//!
//! First names are compared, which costs nothing, then every byte is read once. As the official tool does, links are
//! refused unless the signer followed them, and a file that the signer left out may be there or not. A link that leads
//! out of the directory is refused whatever the signer says: it vouched for content that it saw, not for whatever is at
//! that place on this machine.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use handoff::{FileEntry, Receipt, SafePath, Sha256Digest};

use super::{Method, SignedFile, SignedManifest};
use crate::limits::Limits;
use crate::store::Class;
use crate::verify::content_digest::ContentDigest;

mod content;

/// Names in one message.
const SHOWN_NAMES: usize = 3;

/// Why a directory is not what was signed.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Files that nobody signed.
    #[error("not signed, but there: {0}")]
    Extra(Names),
    /// Files that were signed.
    #[error("signed, but not there: {0}")]
    Missing(Names),
    /// A link where none may be.
    #[error("{path} is a link, and the signer allowed none")]
    Link {
        /// The link.
        path: String,
    },
    /// A link out of the directory.
    #[error("{path} is a link that leads out of the directory, or nowhere")]
    Escape {
        /// The link.
        path: String,
    },
    /// Neither file nor folder nor link.
    #[error("{path} is neither a file nor a folder")]
    Special {
        /// What bears this name.
        path: String,
    },
    /// A name that no signature of ours can hold.
    #[error("{reason}")]
    Name {
        /// Why.
        reason: String,
    },
    /// More than is looked at.
    #[error("{} holds more than {limit} {what}", path.display())]
    TooMany {
        /// The directory.
        path: PathBuf,
        /// Files or folders.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// Content is another.
    #[error("{path}{part} is not what was signed: expected {expected}, got {got}")]
    Digest {
        /// The file.
        path: SafePath,
        /// Which bytes of it.
        part: Part,
        /// What was signed.
        expected: ContentDigest,
        /// What is there.
        got: ContentDigest,
    },
    /// Content is shorter or longer.
    #[error("{path} is not what was signed: expected {expected} bytes, got {got}")]
    Size {
        /// The file.
        path: SafePath,
        /// What was signed.
        expected: u64,
        /// What is there.
        got: u64,
    },
    /// Content is another than when it was fetched.
    #[error("{path} is not what the receipt says: expected sha256 {expected}, got {got}")]
    Receipt {
        /// The file.
        path: SafePath,
        /// What the receipt says.
        expected: Sha256Digest,
        /// What is there.
        got: Sha256Digest,
    },
    /// Something could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DirectoryError {
    /// How to meet this failure.
    pub fn class(&self) -> Class {
        match self {
            Self::Read { .. } => Class::Local,
            _ => Class::Integrity,
        }
    }
}

/// Some names for a message, and how many more there are.
#[derive(Debug)]
pub struct Names(Vec<SafePath>);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().take(SHOWN_NAMES).enumerate() {
            write!(f, "{}{name}", if index == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(SHOWN_NAMES) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The bytes of a shard, for a message.
#[derive(Debug)]
pub struct Part(Option<Range<u64>>);

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(range) => write!(f, ", bytes {} to {},", range.start, range.end),
            None => Ok(()),
        }
    }
}

/// A directory to be checked.
#[derive(Clone, Copy, Debug)]
pub struct Directory<'a> {
    /// Where it is.
    pub root: &'a Path,
    /// The signature in use, which need not be in the directory.
    pub signature: &'a Path,
    /// The fetcher's own state, which is no part of the model.
    pub state: &'a Path,
}

/// What was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Signed files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Compares a directory with what was signed, and on the way with its receipt, if it has one.
///
/// # Errors
/// See [`DirectoryError`].
pub fn check(
    directory: Directory<'_>,
    signed: &SignedManifest,
    receipt: Option<&Receipt>,
) -> Result<Checked, DirectoryError> {
    let found = list(directory, signed)?;
    compare_names(&found, signed)?;
    let entries = receipt.iter().flat_map(|receipt| &receipt.files);
    let mut entries: BTreeMap<&SafePath, &FileEntry> = entries.map(|entry| (&entry.path, entry)).collect();
    let mut checked = Checked::default();
    for file in signed.files() {
        let entry = entries.remove(&file.path);
        checked.bytes = checked.bytes.saturating_add(content::check(directory.root, file, entry)?);
        checked.files += 1;
    }
    // What the signature does not cover, the receipt still does.
    for entry in entries.into_values() {
        let whole = SignedFile { path: entry.path.clone(), digests: Vec::new() };
        content::check(directory.root, &whole, Some(entry))?;
    }
    Ok(checked)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> DirectoryError + '_ {
    move |source| DirectoryError::Read { path: path.to_owned(), source }
}

/// Every file below the directory with its size, but for the signature and our own state.
fn list(
    directory: Directory<'_>,
    signed: &SignedManifest,
) -> Result<BTreeMap<SafePath, u64>, DirectoryError> {
    let Limits { files: most_files, folders: most_folders, .. } = Limits::DEFAULT;
    let too_many = |what, limit| DirectoryError::TooMany { path: directory.root.to_owned(), what, limit };
    let root = directory.root.canonicalize().map_err(failed(directory.root))?;
    // Either may not exist, and then no file is one.
    let (signature, state) = (directory.signature.canonicalize().ok(), directory.state.canonicalize().ok());
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    let mut seen = 0_usize;
    while let Some(folder) = folders.pop() {
        seen += 1;
        if seen > most_folders {
            return Err(too_many("folders", most_folders));
        }
        for entry in fs::read_dir(&folder).map_err(failed(&folder))? {
            let path = entry.map_err(failed(&folder))?.path();
            let ours = Some(&path) == signature.as_ref() || Some(&path) == state.as_ref();
            let kind = path.symlink_metadata().map_err(failed(&path))?;
            if ours && !kind.is_symlink() {
                continue;
            }
            let name = relative(&path, &root)?;
            let kind = match kind.is_symlink() {
                true => follow(&path, &root, &name, signed)?,
                false => kind,
            };
            if kind.is_file() {
                if found.len() >= most_files {
                    return Err(too_many("files", most_files));
                }
                found.insert(name, kind.len());
            } else if !kind.is_dir() {
                return Err(DirectoryError::Special { path: name.to_string() });
            } else if !path.is_symlink() {
                // A folder behind a link is inside the directory, so it is met by its own name.
                folders.push(path);
            }
        }
    }
    Ok(found)
}

fn relative(path: &Path, root: &Path) -> Result<SafePath, DirectoryError> {
    let name = path.strip_prefix(root).unwrap_or(path);
    let text = name.to_str().ok_or_else(|| DirectoryError::Name {
        reason: format!("the name {} is not UTF-8", name.to_string_lossy().escape_debug()),
    })?;
    text.parse().map_err(|error| DirectoryError::Name { reason: format!("{error}") })
}

/// What a link leads to, if it may.
fn follow(
    path: &Path,
    root: &Path,
    name: &SafePath,
    signed: &SignedManifest,
) -> Result<fs::Metadata, DirectoryError> {
    if !signed.allow_symlinks() {
        return Err(DirectoryError::Link { path: name.to_string() });
    }
    match path.canonicalize() {
        Ok(target) if target.starts_with(root) => target.symlink_metadata().map_err(failed(path)),
        _ => Err(DirectoryError::Escape { path: name.to_string() }),
    }
}

fn compare_names(found: &BTreeMap<SafePath, u64>, signed: &SignedManifest) -> Result<(), DirectoryError> {
    let sharded = signed.method() != Method::Files;
    let extra = found.iter().filter(|(path, size)| {
        // An empty file has no shard, so no signature by shards can tell of it.
        let unsignable = sharded && **size == 0;
        signed.file(path).is_none() && !unsignable && !signed.leaves_out(path)
    });
    let extra: Vec<_> = extra.map(|(path, _)| path.clone()).collect();
    if !extra.is_empty() {
        return Err(DirectoryError::Extra(Names(extra)));
    }
    let missing = signed.files().iter().filter(|file| !found.contains_key(&file.path));
    let missing: Vec<_> = missing.map(|file| file.path.clone()).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(DirectoryError::Missing(Names(missing))),
    }
}
