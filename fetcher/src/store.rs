//! Stores: where bytes are.
//!
//! A [`Store`] is rooted at one address and speaks of files by their path below it. Everything above this
//! module (planning, transfer, registries) sees only the trait; the schemes are in the modules below. Reads
//! start at an offset and are pinned to the identity that a listing gave, so that a file which changes under a
//! transfer is noticed.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use handoff::SafePath;

use crate::connection::Connection;
use crate::uri::StoreUri;
#[cfg(feature = "azure")]
use crate::uri::azure::Service;
use crate::verify::content_digest::ContentDigest;

#[cfg(feature = "azure")]
pub mod azure;
pub(crate) mod checksum;
mod cloud;
mod error;
pub mod file;
#[cfg(feature = "gcs")]
pub mod gcs;
#[cfg(feature = "git")]
pub mod git;
#[cfg(feature = "hdfs")]
pub mod hdfs;
pub mod http;
pub mod hugging_face;
pub mod mlflow_artifacts;
#[cfg(feature = "oci")]
pub mod oci;
pub(crate) mod presigned;
pub mod s3;

pub use error::{Class, StoreError};

/// What tells one content of a file from another: an ETag, or what a file system has instead. Compared and
/// sent back, never interpreted as a digest.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Identity(pub String);

/// A file as a listing names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Path below the store's root.
    pub path: SafePath,
    /// Size in bytes, where the source says so.
    pub size: Option<u64>,
    /// Which content this is, where the source says so.
    pub identity: Option<Identity>,
    /// The store's checksum of the whole file, where the listing came with it.
    pub checksum: Option<ContentDigest>,
}

/// What a store has at its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// A folder, with every file below it.
    Folder(Vec<RemoteFile>),
    /// A single file. It is read through the store of the folder that it is in; see
    /// [`StoreUri::split_file`].
    Single(RemoteFile),
}

impl Listing {
    /// The files, however many.
    pub fn files(&self) -> &[RemoteFile] {
        match self {
            Self::Folder(files) => files,
            Self::Single(file) => std::slice::from_ref(file),
        }
    }
}

/// Which bytes of a file: from `start` up to, and without, `end`; to the file's end where that is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset after the last byte.
    pub end: Option<u64>,
}

impl ByteRange {
    /// The whole file.
    pub const WHOLE: Self = Self { start: 0, end: None };
}

impl fmt::Display for ByteRange {
    /// As HTTP writes it: the last byte belongs to the range.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            Some(end) => write!(f, "bytes={}-{}", self.start, end.saturating_sub(1)),
            None => write!(f, "bytes={}-", self.start),
        }
    }
}

/// A stream of a file's bytes.
pub struct Body {
    /// Offset of the first byte. Less than what was asked for when the source cannot serve ranges.
    pub starts_at: u64,
    /// Which content this is, where the source says so.
    pub identity: Option<Identity>,
    /// Size of the whole file in bytes, where the source says so.
    pub size: Option<u64>,
    /// Offset after the last byte, where the source says so. More than what was asked for when the source cannot
    /// serve ranges.
    pub ends_at: Option<u64>,
    /// The bytes, in order.
    pub chunks: BoxStream<'static, Result<Bytes, StoreError>>,
}

/// A source of files, rooted at one address.
pub trait Store: Send + Sync {
    /// What is at the root, bounded by [`Limits`](crate::limits::Limits).
    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>>;

    /// Reads a range of one file. With an `identity`, another content is an error.
    fn read<'a>(
        &'a self,
        path: &'a SafePath,
        identity: Option<&'a Identity>,
        range: ByteRange,
    ) -> BoxFuture<'a, Result<Body, StoreError>>;

    /// The checksum that the store keeps of a whole file, if it does. With an `identity`, another content is an error.
    fn checksum<'a>(
        &'a self,
        _path: &'a SafePath,
        _identity: Option<&'a Identity>,
    ) -> BoxFuture<'a, Result<Option<ContentDigest>, StoreError>> {
        std::future::ready(Ok(None)).boxed()
    }
}

/// A store that a catalog can be published to.
pub trait WritableStore: Store {
    /// Writes a small file that must not exist yet.
    /// Fails with [`StoreError::Exists`] when it does.
    fn create<'a>(&'a self, path: &'a SafePath, content: Bytes) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Replaces a small file if it still is what `expected` says.
    /// Fails with [`StoreError::Changed`] when it is not.
    fn swap<'a>(
        &'a self,
        path: &'a SafePath,
        expected: &'a Identity,
        content: Bytes,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Copies a local file of any size to `path`.
    fn upload<'a>(&'a self, path: &'a SafePath, source: &'a Path) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Removes a small file; one that is not there is no error.
    fn remove<'a>(&'a self, path: &'a SafePath) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// Opens the store at `uri`. Touches neither the network nor the disk.
///
/// # Errors
/// [`StoreError::Refused`] when the environment's settings for this kind of store are wrong.
pub fn open(uri: &StoreUri, connection: &Connection) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match uri {
        StoreUri::HttpFile(url) => Arc::new(http::HttpStore::file(url, connection)),
        StoreUri::HuggingFace { hub, repository, commit } => {
            Arc::new(hugging_face::HuggingFaceStore::new(hub, repository, commit, connection))
        }
        StoreUri::MlflowArtifacts { server, path, is_another } => {
            let opened = mlflow_artifacts::MlflowArtifacts::new(server, path, connection);
            Arc::new(if *is_another { opened.as_nobody(connection) } else { opened })
        }
        #[cfg(feature = "git")]
        StoreUri::Git(uri) => Arc::new(git::GitStore::new(uri, connection)),
        #[cfg(feature = "hdfs")]
        StoreUri::Hdfs(uri) => Arc::new(hdfs::HdfsStore::new(uri, connection)?),
        #[cfg(feature = "azure")]
        StoreUri::Azure(uri) if uri.service == Service::Files => {
            Arc::new(azure::files::FileShare::new(uri, connection)?)
        }
        #[cfg(feature = "oci")]
        StoreUri::Oci(uri) => Arc::new(oci::OciStore::new(&uri.repository, connection)?),
        // Whatever can be written to can be read.
        _ => open_writable(uri, connection)?,
    })
}

/// What is said of a kind of store that this build has not.
#[cfg(not(all(feature = "gcs", feature = "azure")))]
fn left_out(uri: &StoreUri) -> StoreError {
    let reason = "this build of the fetcher was made without that kind of store".into();
    StoreError::Refused { what: uri.to_string(), reason }
}

/// Opens the store at `uri` for publishing.
///
/// # Errors
/// As [`open`]; also when this kind of store cannot be written to.
pub fn open_writable(uri: &StoreUri, connection: &Connection) -> Result<Arc<dyn WritableStore>, StoreError> {
    Ok(match uri {
        StoreUri::File(path) => Arc::new(file::FileStore::new(path)),
        StoreUri::S3 { bucket, prefix, at } => {
            Arc::new(s3::S3Store::new(bucket, prefix, at.as_ref(), connection)?)
        }
        #[cfg(feature = "gcs")]
        StoreUri::Gcs { bucket, prefix } => Arc::new(gcs::GcsStore::new(bucket, prefix, connection)?),
        #[cfg(feature = "azure")]
        StoreUri::Azure(uri) if uri.service == Service::Blobs => {
            Arc::new(azure::AzureStore::new(uri, connection)?)
        }
        #[cfg(not(feature = "azure"))]
        StoreUri::Azure(_) => return Err(left_out(uri)),
        #[cfg(not(feature = "gcs"))]
        StoreUri::Gcs { .. } => return Err(left_out(uri)),
        StoreUri::Http(url) => Arc::new(http::HttpStore::folder(url, connection)),
        // Those that hold no folder to write to.
        _ => {
            return Err(StoreError::Refused {
                what: uri.to_string(),
                reason: "it cannot hold a catalog".into(),
            });
        }
    })
}

/// Reads a whole small file, such as a descriptor, and which content it was.
///
/// # Errors
/// As [`Store::read`]; [`StoreError::TooLarge`] past `limit` bytes.
pub async fn read_small<S: Store + ?Sized>(
    store: &S,
    path: &SafePath,
    limit: usize,
) -> Result<(Vec<u8>, Option<Identity>), StoreError> {
    let mut body = store.read(path, None, ByteRange::WHOLE).await?;
    let mut content = Vec::new();
    while let Some(chunk) = body.chunks.next().await {
        let chunk = chunk?;
        if content.len() + chunk.len() > limit {
            return Err(StoreError::TooLarge { what: path.to_string(), limit });
        }
        content.extend_from_slice(&chunk);
    }
    Ok((content, body.identity))
}
