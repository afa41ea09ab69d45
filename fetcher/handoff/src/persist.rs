//! Reading and replacing the small JSON files of the contract.
//!
//! A file is replaced by writing a neighbour and renaming it over, so a reader sees the old or the new one and
//! never a part. A reader looks at the schema number first: a file from a newer writer is named as such
//! instead of failing on whatever field changed.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::text::shown;

/// Largest file that a reader accepts. Ten thousand entries with long paths need some 6 MiB.
pub const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Why a file of the contract could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file does not exist.
    #[error("{} does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error("{} is larger than {MAX_FILE_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is truncated or is not what its schema says.
    #[error("{} is malformed: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// The file was written by a newer version.
    #[error("{} has schema {found}, expected at most {supported}", path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The schema it says it has.
        found: u32,
        /// The newest schema that this build reads.
        supported: u32,
    },
}

#[derive(Deserialize)]
struct Header {
    schema: u32,
}

/// Reads a versioned JSON file whose newest known schema is `supported`. Unknown fields are ignored.
///
/// # Errors
/// See [`ReadError`].
pub(crate) fn read<T: DeserializeOwned>(path: &Path, supported: u32) -> Result<T, ReadError> {
    parse(path, &read_bounded(path)?, supported)
}

/// Reads the text of such a file; `path` is for messages.
///
/// # Errors
/// [`ReadError::Malformed`] and [`ReadError::NewerSchema`].
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &[u8], supported: u32) -> Result<T, ReadError> {
    let malformed = |error: serde_json::Error| {
        // It repeats what is in the file, which anybody may have written.
        ReadError::Malformed { path: path.to_owned(), reason: shown(&error.to_string()) }
    };
    let Header { schema: found } = serde_json::from_slice(text).map_err(malformed)?;
    if found > supported {
        return Err(ReadError::NewerSchema { path: path.to_owned(), found, supported });
    }
    serde_json::from_slice(text).map_err(malformed)
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, ReadError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ReadError::Missing { path: path.to_owned() },
        _ => ReadError::Io { path: path.to_owned(), source },
    };
    // The writer makes neither; a link leads who knows where, and a pipe would be waited for.
    if !path.symlink_metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "expected a regular file")));
    }
    let mut text = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > MAX_FILE_BYTES) {
        return Err(ReadError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

/// Whether a replaced file must survive a crash of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A process crash loses nothing; a node crash may.
    Process,
    /// The content and its name are on the disk when the call returns.
    Node,
}

/// `value` as JSON: for people, unless only the terse form is one that a reader accepts.
fn printed(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let fits = |text: &Vec<u8>| u64::try_from(text.len()).is_ok_and(|length| length < MAX_FILE_BYTES);
    let mut text = serde_json::to_vec_pretty(value)?;
    if !fits(&text) {
        text = serde_json::to_vec(value)?;
    }
    if !fits(&text) {
        let reason = format!("it has {} bytes, expected less than {MAX_FILE_BYTES}", text.len());
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    text.push(b'\n');
    Ok(text)
}

/// Replaces `path` with `value` as JSON, in one step for every reader.
///
/// # Errors
/// Fails when the neighbour cannot be written or renamed, or no reader would accept what is in it; `path` is then as it was.
pub fn replace(path: &Path, value: &impl Serialize, durability: Durability) -> io::Result<()> {
    let text = printed(value)?;
    let mut neighbour = path.as_os_str().to_owned();
    neighbour.push(".new");
    let neighbour = PathBuf::from(neighbour);
    // What a crash left, or somebody planted: a link would have the text written to wherever it leads.
    match fs::remove_file(&neighbour) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(&neighbour)?;
    file.write_all(&text)?;
    if durability == Durability::Node {
        file.sync_all()?;
    }
    drop(file);
    fs::rename(&neighbour, path)?;
    if durability == Durability::Node
        && let Some(directory) = path.parent()
    {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}
