//! The files of a web server's folder, as the `SHA256SUMS` in it names them: HTTP itself has no listing.
//!
//! Each file is asked for its size and its ETag, so that it can be read in ranges and pinned. A server that does not know
//! `HEAD` says neither, and its files come in one piece each.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use handoff::SafePath;
use reqwest::{Method, StatusCode};

use super::{HttpStore, identity, identity_encoded};
use crate::http::send;
use crate::limits::Limits;
use crate::manifest::{SHA256SUMS, parse_sha256sums};
use crate::redact::Redacted;
use crate::store::{RemoteFile, StoreError, checksum, read_small};

/// How many files are asked for at the same time.
const QUESTIONS: usize = 16;

/// Every file that the folder's `SHA256SUMS` names, and that one itself.
pub(super) async fn files(store: &HttpStore) -> Result<Vec<RemoteFile>, StoreError> {
    let malformed =
        |reason: String| StoreError::Malformed { what: Redacted(&store.root).to_string(), reason };
    let sums: SafePath =
        SHA256SUMS.parse().map_err(|error: handoff::path::PathError| malformed(error.to_string()))?;
    let (content, _) = read_small(store, &sums, Limits::DEFAULT.document_bytes).await?;
    let named =
        parse_sha256sums(&content, &sums).map_err(|reason| malformed(format!("{SHA256SUMS}: {reason}")))?;
    let limit = Limits::DEFAULT.files;
    if named.len() >= limit {
        return Err(StoreError::TooLarge { what: Redacted(&store.root).to_string(), limit });
    }
    let paths = named.into_iter().map(|file| file.path).filter(|path| *path != sums).chain([sums.clone()]);
    stream::iter(paths.map(|path| file(store, path))).buffered(QUESTIONS).try_collect().await
}

async fn file(store: &HttpStore, path: SafePath) -> Result<RemoteFile, StoreError> {
    let url = store.below(&path);
    let request = identity_encoded(store.request(Method::HEAD, &url));
    let response =
        send(request, &url, &[StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED]).await?;
    if !response.status().is_success() {
        return Ok(RemoteFile { path, size: None, identity: None, checksum: None });
    }
    let headers = response.headers();
    let length =
        headers.get(reqwest::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    Ok(RemoteFile {
        path,
        size: length,
        identity: identity(headers),
        checksum: checksum::of_whole_object(headers),
    })
}
