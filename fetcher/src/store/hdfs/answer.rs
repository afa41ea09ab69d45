//! What WebHDFS answers.
//! <https://hadoop.apache.org/docs/stable/hadoop-project-dist/hadoop-hdfs/WebHDFS.html#JSON_Schemas>

use handoff::SafePath;
use handoff::text::{cut, shown};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::http::classify;
use crate::scrub::scrub;
use crate::store::{Identity, RemoteFile, StoreError};
use crate::verify::content_digest::{Algorithm, ContentDigest, decode_hex};

/// Reads an answer about `what`.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T, StoreError> {
    serde_json::from_slice(body).map_err(|error| StoreError::Malformed {
        what: shown(&cut(what, 200)),
        reason: shown(&cut(&error.to_string(), 200)),
    })
}

/// What is known of a file or a folder.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileStatus {
    /// Its name in the folder that was listed; empty if it was asked for itself.
    pub(crate) path_suffix: String,
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    pub(crate) length: u64,
    pub(crate) block_size: u64,
    modification_time: i64,
    /// A number that no other file has had. `HttpFS` does not tell it.
    #[serde(default)]
    file_id: u64,
    /// Whether the blocks are encrypted.
    #[serde(default)]
    enc_bit: bool,
    /// Whether the blocks are spread with parity.
    #[serde(default)]
    ec_bit: bool,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
}

impl FileStatus {
    pub(crate) fn identity(&self) -> Identity {
        Identity(format!("{}-{}-{}", self.file_id, self.modification_time, self.length))
    }

    /// The file under a path. `what` is that for people.
    pub(crate) fn named(&self, path: &str, what: &str) -> Result<RemoteFile, StoreError> {
        let path: SafePath = path.parse().map_err(|error: handoff::path::PathError| {
            let reason = format!("its name cannot be a file's here: {error}");
            StoreError::Refused { what: shown(&cut(what, 200)), reason }
        })?;
        Ok(RemoteFile { path, size: Some(self.length), identity: Some(self.identity()), checksum: None })
    }

    /// Whether a checksum over the blocks is one over the content.
    pub(crate) fn has_checksum_of_content(&self) -> bool {
        !self.enc_bit && !self.ec_bit && self.length > 0
    }
}

/// What is known of what was asked for.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Status {
    pub(crate) file_status: FileStatus,
}

/// What is in a folder.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Folder {
    file_statuses: FileStatuses,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FileStatuses {
    file_status: Vec<FileStatus>,
}

impl Folder {
    pub(crate) fn files(self) -> Vec<FileStatus> {
        self.file_statuses.file_status
    }
}

/// Where the blocks of a file are.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Blocks {
    block_locations: BlockLocations,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BlockLocations {
    block_location: Vec<BlockLocation>,
}

#[derive(Deserialize)]
struct BlockLocation {
    offset: u64,
    length: u64,
}

impl Blocks {
    /// Whether they make up a file of that length, each as long as the first but for the last.
    pub(crate) fn are_even(&self, length: u64) -> bool {
        let blocks = &self.block_locations.block_location;
        let Some((first, last)) = blocks.first().zip(blocks.last()) else { return false };
        let follow = blocks.windows(2).all(|pair| match pair {
            [one, next] => one.length == first.length && next.offset == one.offset.saturating_add(one.length),
            _ => false,
        });
        follow && last.length <= first.length && last.offset.saturating_add(last.length) == length
    }
}

/// The checksum that HDFS has of a file.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Checksum {
    pub(crate) file_checksum: FileChecksum,
}

#[derive(Deserialize)]
pub(crate) struct FileChecksum {
    algorithm: String,
    bytes: String,
}

impl FileChecksum {
    /// The checksum, if it is of a kind that is known here. What follows it in `bytes` is padding.
    pub(crate) fn digest(&self) -> Option<ContentDigest> {
        let of_blocks = self.algorithm.starts_with("MD5-of-");
        let algorithm = match self.algorithm.as_str() {
            "COMPOSITE-CRC32C" => Algorithm::Crc32c,
            "COMPOSITE-CRC32" => Algorithm::Crc32,
            name if of_blocks && name.ends_with("CRC32C") => Algorithm::HdfsCrc32c,
            name if of_blocks && name.ends_with("CRC32") => Algorithm::HdfsCrc32,
            _ => return None,
        };
        ContentDigest::new(algorithm, decode_hex(&self.bytes)?.get(..algorithm.bytes())?)
    }
}

/// What went wrong, in the words of Hadoop.
#[derive(Debug, Deserialize)]
pub(crate) struct RemoteException {
    exception: String,
    #[serde(default)]
    message: String,
}

impl RemoteException {
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            remote_exception: RemoteException,
        }
        serde_json::from_slice::<Answer>(body).ok().map(|answer| answer.remote_exception)
    }

    /// The error that it stands for. Most say what is wrong by their status, and more in their message.
    pub(crate) fn classed(&self, what: String, status: StatusCode, headers: &HeaderMap) -> StoreError {
        let first_line = self.message.lines().next().unwrap_or_default();
        let said = shown(&cut(&scrub(&format!("{}: {first_line}", self.exception)), 300));
        // Another one is active, or will be when this one has started.
        if matches!(self.exception.as_str(), "StandbyException" | "RetriableException" | "SafeModeException")
        {
            return StoreError::Unavailable { what, reason: said, retry_after: None, source: None };
        }
        match classify(what, status, headers) {
            StoreError::Denied { what, status } => {
                StoreError::Denied { what, status: format!("{status}, {said}") }
            }
            StoreError::Refused { what, reason } => {
                StoreError::Refused { what, reason: format!("{reason}, {said}") }
            }
            StoreError::Unavailable { what, reason, retry_after, source } => {
                StoreError::Unavailable { what, reason: format!("{reason}, {said}"), retry_after, source }
            }
            error => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_even_if_all_but_the_last_are_of_one_length() {
        let even = |blocks: &[(u64, u64)], length| {
            let block_location =
                blocks.iter().map(|(offset, length)| BlockLocation { offset: *offset, length: *length });
            Blocks { block_locations: BlockLocations { block_location: block_location.collect() } }
                .are_even(length)
        };
        assert!(even(&[(0, 10), (10, 10), (20, 3)], 23) && even(&[(0, 10)], 10));
        assert!(!even(&[(0, 10), (10, 4), (14, 10)], 24), "one that was put together of two files");
        assert!(!even(&[(0, 10), (10, 12)], 22) && !even(&[(0, 10)], 20) && !even(&[(0, 10), (20, 10)], 30));
        assert!(!even(&[], 0));
    }

    #[test]
    fn checksums_of_known_kinds_are_read() {
        let read = |algorithm: &str, bytes: &str| {
            let checksum = FileChecksum { algorithm: algorithm.to_owned(), bytes: bytes.to_owned() };
            checksum.digest().map(|digest| digest.to_string())
        };
        let digits = "00000200000000000000000244098efa5394a3f68c8befebfc0b1519";
        let padded = format!("{digits}00000000");
        assert_eq!(read("MD5-of-2MD5-of-512CRC32C", &padded).unwrap(), format!("hdfs-md5-crc32c:{digits}"));
        assert_eq!(read("MD5-of-2MD5-of-512CRC32", &padded).unwrap(), format!("hdfs-md5-crc32:{digits}"));
        assert_eq!(read("COMPOSITE-CRC32C", "e3069283").unwrap(), "crc32c:e3069283");
        assert_eq!(read("SHA-512", &padded), None);
        assert_eq!(read("COMPOSITE-CRC32C", "e306"), None);
    }

    #[test]
    fn what_hadoop_says_is_classed_and_kept() {
        let classed = |exception: &str, status: u16| {
            let body =
                format!(r#"{{"RemoteException": {{"exception": "{exception}", "message": "who\nat"}}}}"#);
            let status = StatusCode::from_u16(status).unwrap();
            RemoteException::read(body.as_bytes()).unwrap().classed("x".into(), status, &HeaderMap::new())
        };
        assert!(matches!(classed("StandbyException", 403), StoreError::Unavailable { .. }));
        assert!(matches!(classed("FileNotFoundException", 404), StoreError::NotFound { .. }));
        let error = classed("AccessControlException", 403).to_string();
        assert_eq!(error, "access to x was refused (403 Forbidden, AccessControlException: who)");
        assert!(RemoteException::read(b"<html>").is_none());
    }
}
