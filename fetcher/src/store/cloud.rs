//! What the stores of the `object_store` crate share.
//!
//! That crate's retries are switched off, and its HTTP is ours: one connector classes every status that the crate
//! does not give a meaning to, so that an error of a cloud reads like any other and there is one retry budget.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use handoff::SafePath;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

use object_store::path::Path as Key;
use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode,
    UpdateVersion, WriteMultipart,
};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, RANGE};
use tokio::io::AsyncReadExt as _;

use super::s3::pages;
use super::{Body, ByteRange, Identity, Listing, RemoteFile, StoreError};
use crate::chain::causes;
use crate::limits::Limits;

/// Size of one part of a multipart upload: S3 allows 10,000 parts, so this carries files up to 640 GB.
const PART_BYTES: usize = 64 * 1024 * 1024;
/// Files up to this size are uploaded in one request.
const SINGLE_PUT_BYTES: u64 = 16 * 1024 * 1024;

/// A prefix of a bucket, or of what else a cloud calls it.
pub(super) struct Bucket<T> {
    pub(super) bucket: Arc<T>,
    /// Its address, for messages.
    pub(super) name: String,
    pub(super) prefix: String,
}

impl<T: ObjectStore> Bucket<T> {
    pub(super) fn shown(&self, path: &str) -> String {
        [self.name.as_str(), self.prefix.as_str(), path]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("/")
    }

    pub(super) fn key(&self, path: &str) -> Result<Key, StoreError> {
        let text = [self.prefix.as_str(), path].join("/");
        Key::parse(text.trim_matches('/'))
            .map_err(|error| StoreError::Refused { what: self.shown(path), reason: error.to_string() })
    }

    /// A listed object as a file, or nothing for the empty objects that consoles make to stand for folders.
    fn remote(&self, object: &ObjectMeta, path: &str) -> Result<RemoteFile, StoreError> {
        let path = path.parse().map_err(|error: handoff::path::PathError| StoreError::Malformed {
            what: self.shown(""),
            reason: error.to_string(),
        })?;
        let identity = object.e_tag.as_deref().map(quoted);
        Ok(RemoteFile { path, size: Some(object.size), identity, checksum: None })
    }

    async fn list_prefix(&self) -> Result<Vec<RemoteFile>, StoreError> {
        let prefix = self.key("")?;
        let mut objects = self.bucket.list((!self.prefix.is_empty()).then_some(&prefix));
        let mut files = Vec::new();
        while let Some(object) = objects.next().await {
            let object = object.map_err(|error| classify(self.shown(""), &error))?;
            let Some(below) = object.location.prefix_match(&prefix) else {
                // Left out, it would be a file that the model lacks.
                let reason =
                    format!("it lists {}, which is not below it", object.location.as_ref().escape_debug());
                return Err(StoreError::Malformed { what: self.shown(""), reason });
            };
            let below = below.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
            if !below.is_empty() {
                files.push(self.remote(&object, &below)?);
            }
            if files.len() > Limits::DEFAULT.files {
                return Err(StoreError::TooLarge { what: self.shown(""), limit: Limits::DEFAULT.files });
            }
        }
        Ok(without_folder_markers(files))
    }

    pub(super) async fn list(&self) -> Result<Listing, StoreError> {
        let files = self.list_prefix().await?;
        let name = self.prefix.rsplit('/').next().unwrap_or_default();
        if !files.is_empty() || name.is_empty() {
            return Ok(Listing::Folder(files));
        }
        // Nothing below it: the address may be that of a single object.
        let object = self.bucket.head(&self.key("")?).await;
        let object = object.map_err(|error| classify(self.shown(""), &error))?;
        Ok(Listing::Single(self.remote(&object, name)?))
    }

    pub(super) async fn read(
        &self,
        path: &SafePath,
        identity: Option<&Identity>,
        range: ByteRange,
    ) -> Result<Body, StoreError> {
        let options = GetOptions {
            if_match: identity.map(|Identity(etag)| etag.clone()),
            range: match range.end {
                Some(end) => Some(GetRange::Bounded(range.start..end)),
                None => (range.start > 0).then_some(GetRange::Offset(range.start)),
            },
            ..GetOptions::default()
        };
        let what = self.shown(path.as_str());
        let answer = self
            .bucket
            .get_opts(&self.key(path.as_str())?, options)
            .await
            .map_err(|error| classify(what.clone(), &error))?;
        // A weak ETag, as proxies make them, does not promise the same bytes.
        let strong = answer.meta.e_tag.clone().filter(|etag| !etag.starts_with("W/"));
        let identity = strong.as_deref().map(quoted);
        let (starts_at, ends_at) = (answer.range.start, Some(answer.range.end));
        let size = Some(answer.meta.size);
        let chunks = answer.into_stream().map_err(move |error| classify(what.clone(), &error)).boxed();
        Ok(Body { starts_at, identity, size, ends_at, chunks })
    }

    pub(super) async fn create(&self, path: &SafePath, content: Bytes) -> Result<(), StoreError> {
        let what = self.shown(path.as_str());
        let key = self.key(path.as_str())?;
        let put = self.bucket.put_opts(&key, content.into(), PutMode::Create.into()).await;
        // The condition is that there is no object.
        put.map(drop).map_err(|error| match classify(what, &error) {
            StoreError::Changed { what } => StoreError::Exists { what },
            other => other,
        })
    }

    pub(super) async fn swap(
        &self,
        path: &SafePath,
        expected: &Identity,
        content: Bytes,
    ) -> Result<(), StoreError> {
        let what = self.shown(path.as_str());
        let key = self.key(path.as_str())?;
        let version = UpdateVersion { e_tag: Some(expected.0.clone()), version: None };
        let put = self.bucket.put_opts(&key, content.into(), PutMode::Update(version).into()).await;
        put.map(drop).map_err(|error| classify(what, &error))
    }

    pub(super) async fn upload(&self, path: &SafePath, source: &Path) -> Result<(), StoreError> {
        let what = self.shown(path.as_str());
        let key = self.key(path.as_str())?;
        let local = |error| StoreError::Local { path: source.to_owned(), source: error };
        let remote = |error| classify(what.clone(), &error);
        let mut file = tokio::fs::File::open(source).await.map_err(local)?;
        let size = file.metadata().await.map_err(local)?.len();
        if size <= SINGLE_PUT_BYTES {
            let mut content = Vec::new();
            file.take(SINGLE_PUT_BYTES).read_to_end(&mut content).await.map_err(local)?;
            return self.bucket.put(&key, content.into()).await.map(drop).map_err(remote);
        }
        let upload = self.bucket.put_multipart(&key).await.map_err(remote)?;
        let mut parts = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut chunk = vec![0; 1024 * 1024];
        loop {
            let length = file.read(&mut chunk).await.map_err(local)?;
            let Some(read) = chunk.get(..length).filter(|read| !read.is_empty()) else { break };
            parts.wait_for_capacity(2).await.map_err(remote)?;
            parts.write(read);
        }
        parts.finish().await.map(drop).map_err(remote)
    }

    pub(super) async fn remove(&self, path: &SafePath) -> Result<(), StoreError> {
        let deleted = self.bucket.delete(&self.key(path.as_str())?).await;
        match deleted.map_err(|error| classify(self.shown(path.as_str()), &error)) {
            Err(StoreError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }
}

/// An ETag as a header has it: Azure leaves out the quotes in its listings.
pub(super) fn quoted(etag: &str) -> Identity {
    match etag.starts_with('"') || etag.starts_with("W/") {
        true => Identity(etag.to_owned()),
        false => Identity(format!("\"{etag}\"")),
    }
}

/// Leaves out empty objects that stand where other objects have a folder.
pub(super) fn without_folder_markers(files: Vec<RemoteFile>) -> Vec<RemoteFile> {
    let folders: std::collections::BTreeSet<String> =
        files.iter().flat_map(|file| file.path.ancestors().map(str::to_owned)).collect();
    files.into_iter().filter(|file| file.size != Some(0) || !folders.contains(file.path.as_str())).collect()
}

/// Gives the process's own HTTP client to `object_store`.
#[derive(Debug)]
pub(super) struct Connector(pub(super) reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service(self.0.clone(), pages::Pages::default())))
    }
}

#[derive(Debug)]
struct Service(reqwest::Client, pages::Pages);

impl HttpService for Service {
    fn call<'life, 'async_trait>(
        &'life self,
        request: HttpRequest,
    ) -> BoxFuture<'async_trait, Result<HttpResponse, HttpError>>
    where
        'life: 'async_trait,
        Self: 'async_trait,
    {
        async move {
            let is_ranged = request.headers().contains_key(RANGE);
            let mut response = match pages::is_asked_for(&request) {
                true => self.1.ask(&self.0, request).await?,
                false => {
                    let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
                    let unreached =
                        |source: HttpError| HttpError::new(source.kind(), Unreached { host, source });
                    self.0.call(request).await.map_err(unreached)?
                }
            };
            // rclone says so of a part: whether it is the one that was asked for is looked at all the same.
            if is_ranged
                && response.status() == StatusCode::OK
                && response.headers().contains_key(CONTENT_RANGE)
            {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            }
            let failure = match response.status() {
                status if status.is_success() => return Ok(response),
                // The object has become shorter than it was listed or described.
                StatusCode::RANGE_NOT_SATISFIABLE => StoreError::Changed { what: String::new() },
                status => azure(&response)
                    .unwrap_or_else(|| crate::http::classify(String::new(), status, response.headers())),
            };
            Err(HttpError::new(HttpErrorKind::Unknown, failure))
        }
        .boxed()
    }
}

/// What Azure means where its status says something else.
fn azure(response: &HttpResponse) -> Option<StoreError> {
    let what = String::new();
    match response.headers().get("x-ms-error-code")?.to_str().ok()? {
        // That a condition does not hold, while a conflict may pass.
        "BlobAlreadyExists" => Some(StoreError::Changed { what }),
        code @ "PublicAccessNotPermitted" => {
            Some(StoreError::Denied { what, status: format!("{}, {code}", response.status()) })
        }
        _ => None,
    }
}

/// An address that did not answer. The errors of others do not name it, or name all of the URL.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach {host}")]
struct Unreached {
    host: String,
    source: HttpError,
}

/// Gives a failure of `object_store` its class, looking through its layers for what our connector said.
pub(super) fn classify(what: String, error: &object_store::Error) -> StoreError {
    let mut layers = causes(error);
    if let Some(ours) = layers.clone().find_map(|layer| layer.downcast_ref::<StoreError>()) {
        return ours.renamed(what);
    }
    if let Some(untrusted) = StoreError::untrusted(&what, error) {
        return untrusted;
    }
    let unreached = layers.clone().find_map(|layer| layer.downcast_ref::<Unreached>());
    let reason = match unreached {
        Some(unreached) => format!("{unreached}: {}", deepest(error)),
        None => deepest(error),
    };
    match layers.any(<dyn std::error::Error>::is::<HttpError>) {
        true => StoreError::Unavailable { what, reason, retry_after: None, source: None },
        false => StoreError::Refused { what, reason },
    }
}

/// The innermost message of an error: the outer ones repeat it, with URLs.
pub(super) fn deepest(error: &object_store::Error) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string).chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64) -> RemoteFile {
        RemoteFile { path: path.parse().unwrap(), size: Some(size), identity: None, checksum: None }
    }

    #[test]
    fn folder_markers_are_left_out_and_empty_files_are_not() {
        let listed = vec![file("data", 0), file("data/a.bin", 1), file("data/__init__.py", 0), file("x", 0)];
        let kept: Vec<_> = without_folder_markers(listed).into_iter().map(|f| f.path.to_string()).collect();
        assert_eq!(kept, ["data/a.bin", "data/__init__.py", "x"]);
    }
}
