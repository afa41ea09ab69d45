//! A web server as a store: a single file, or a folder whose files are named by a descriptor.
//!
//! HTTP has no listing, so a folder is what its `SHA256SUMS` says, or what a descriptor names. Reads go on at an offset with `Range`,
//! pinned by `If-Match` where the server gave a strong ETag; the answer's status and `Content-Range` are checked. A
//! server that answers a ranged request with the whole file is taken at its word: the body starts at 0. Writing is
//! `PUT` under conditions, with WebDAV's `MKCOL` for folders where the server wants them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, TryStreamExt as _};
use handoff::SafePath;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, IF_MATCH,
    IF_NONE_MATCH, RANGE,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use url::Url;

use super::{Body, ByteRange, Identity, Listing, RemoteFile, Store, StoreError, WritableStore, checksum};
use crate::connection::Connection;
use crate::credentials::HttpCredentials;
use crate::http::{join, send};
use crate::redact::Redacted;
use crate::uri::StoreUri;

mod listed;

/// A web server's folder or file.
pub struct HttpStore {
    root: Url,
    is_file: bool,
    client: reqwest::Client,
    credentials: HttpCredentials,
    /// Folders that were made, so that each is asked for once.
    made: Mutex<BTreeSet<String>>,
}

impl HttpStore {
    /// The folder at `root`, or the file, as long as it is only listed.
    pub fn folder(root: &Url, connection: &Connection) -> Self {
        let credentials = connection.http.clone();
        let client = match credentials.are_bound_to(root) {
            true => connection.bound_client.clone(),
            false => connection.client.clone(),
        };
        Self { root: root.clone(), is_file: false, client, credentials, made: Mutex::default() }
    }

    /// The file at `url`.
    pub fn file(url: &Url, connection: &Connection) -> Self {
        Self { is_file: true, ..Self::folder(url, connection) }
    }

    fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        self.credentials.apply(self.client.request(method, url.clone()), url)
    }

    fn below(&self, path: &SafePath) -> Url {
        join(&self.root, path.as_str().split('/'))
    }
}

impl Store for HttpStore {
    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        async move {
            if self.root.path().ends_with('/') {
                return listed::files(self).await.map(Listing::Folder);
            }
            let (_, path) =
                StoreUri::Http(self.root.clone()).split_file().map_err(|_| StoreError::Refused {
                    what: Redacted(&self.root).to_string(),
                    reason: "expected the URL of one file, or of a folder with a `/` at its end".into(),
                })?;
            // A GET whose body is dropped: a presigned URL is signed for GET, and not every server knows HEAD.
            let response =
                send(identity_encoded(self.request(Method::GET, &self.root)), &self.root, &[]).await?;
            let (_, size) = span(&Head::of(&response), &self.root, ByteRange::WHOLE)?;
            let headers = response.headers();
            let (identity, checksum) = (identity(headers), checksum::of_whole_object(headers));
            Ok(Listing::Single(RemoteFile { path, size, identity, checksum }))
        }
        .boxed()
    }

    fn read<'a>(
        &'a self,
        path: &'a SafePath,
        identity: Option<&'a Identity>,
        range: ByteRange,
    ) -> BoxFuture<'a, Result<Body, StoreError>> {
        let url = if self.is_file { self.root.clone() } else { self.below(path) };
        async move { get(self.request(Method::GET, &url), &url, identity, range).await }.boxed()
    }
}

fn identity_encoded(request: RequestBuilder) -> RequestBuilder {
    request.header(ACCEPT_ENCODING, "identity")
}

/// Only a strong ETag promises the same bytes.
pub(super) fn identity(headers: &HeaderMap) -> Option<Identity> {
    let etag = headers.get(ETAG)?.to_str().ok()?;
    etag.starts_with('"').then(|| Identity(etag.to_owned()))
}

/// Asks for a range of a file and checks that the answer is what was asked for.
pub(super) async fn get(
    request: RequestBuilder,
    url: &Url,
    expected: Option<&Identity>,
    range: ByteRange,
) -> Result<Body, StoreError> {
    get_if(request, url, expected, range, |_| Ok(())).await
}

/// The same, where a store says more of a file in its headers: why it is not the one, if so, is of the answer.
pub(super) async fn get_if(
    request: RequestBuilder,
    url: &Url,
    expected: Option<&Identity>,
    range: ByteRange,
    check: impl FnOnce(&HeaderMap) -> Result<(), String>,
) -> Result<Body, StoreError> {
    let mut request = identity_encoded(request);
    if range != ByteRange::WHOLE {
        request = request.header(RANGE, range.to_string());
    }
    if let Some(Identity(etag)) = expected {
        request = request.header(IF_MATCH, etag);
    }
    let response = send(request, url, &[StatusCode::RANGE_NOT_SATISFIABLE]).await?;
    check(response.headers())
        .map_err(|reason| StoreError::Malformed { what: Redacted(url).to_string(), reason })?;
    body(response, url, expected, range)
}

/// The bytes of an answer, if they are those that were asked for.
pub(super) fn body(
    response: Response,
    url: &Url,
    expected: Option<&Identity>,
    range: ByteRange,
) -> Result<Body, StoreError> {
    let what = || Redacted(url).to_string();
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        // The file has become shorter than it was listed or described.
        return Err(StoreError::Changed { what: what() });
    }
    let malformed = |reason: String| StoreError::Malformed { what: what(), reason };
    if let Some(encoding) = response.headers().get(CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err(malformed(format!("expected the bytes as they are, got content-encoding {encoding:?}")));
    }
    let identity = identity(response.headers());
    // A server that ignores If-Match, or knows none, is caught here.
    if expected.is_some() && identity.is_some() && identity.as_ref() != expected {
        return Err(StoreError::Changed { what: what() });
    }
    let (starts_at, size) = span(&Head::of(&response), url, range)?;
    let ends_at = response.content_length().map(|length| starts_at.saturating_add(length));
    Ok(Body { starts_at, identity, size, ends_at, chunks: chunks(response, what()) })
}

/// What comes before the bytes of an answer.
pub(crate) struct Head<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    /// How many bytes follow, where that is known.
    pub(crate) length: Option<u64>,
}

impl<'a> Head<'a> {
    pub(crate) fn of(response: &'a Response) -> Self {
        Self { status: response.status(), headers: response.headers(), length: response.content_length() }
    }
}

/// Where an answer begins in its file, and how large that is, where the answer says so.
pub(crate) fn span(head: &Head<'_>, url: &Url, asked: ByteRange) -> Result<(u64, Option<u64>), StoreError> {
    let what = || Redacted(url).to_string();
    let malformed = |reason: String| StoreError::Malformed { what: what(), reason };
    let Head { status, headers, length } = *head;
    if status == StatusCode::OK {
        return Ok((0, length));
    }
    if status != StatusCode::PARTIAL_CONTENT {
        // Success, but not with the file: it is to come later, or there is nothing in it.
        return Err(malformed(format!("expected the file, got {status}")));
    }
    let Some(got) = content_range(headers) else {
        return Err(malformed(format!("expected a range from {}, got none", asked.start)));
    };
    if got.first != asked.start {
        return Err(malformed(format!("expected a range from {}, got one from {}", asked.start, got.first)));
    }
    if asked == ByteRange::WHOLE && got.size != Some(got.end()) {
        return Err(malformed(format!("expected the whole file, got the range up to {}", got.last)));
    }
    // One of them is wrong, and so may be the bytes. Somebody on the way may do better the next time.
    if let Some(length) = length
        && got.first.checked_add(length) != Some(got.end())
    {
        let reason = format!("got {length} bytes under the content-range {}-{}", got.first, got.last);
        return Err(StoreError::Unavailable { what: what(), reason, retry_after: None, source: None });
    }
    Ok((got.first, got.size))
}

pub(super) fn chunks(
    response: Response,
    what: String,
) -> futures_util::stream::BoxStream<'static, Result<Bytes, StoreError>> {
    Box::pin(
        response
            .bytes_stream()
            .map_err(move |error| StoreError::transport(what.clone(), error.without_url())),
    )
}

/// What an answer with a part of a file says of it.
#[derive(Debug, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    last: u64,
    /// Size of the file, where the server says so.
    size: Option<u64>,
}

impl ContentRange {
    /// Offset after the last byte.
    fn end(&self) -> u64 {
        self.last.saturating_add(1)
    }
}

/// Reads `Content-Range: bytes first-last/size`; the size may be `*`.
fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let value = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (range, size) = value.split_once('/').unwrap_or((value, "*"));
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let size = size.trim().parse().ok();
    // A range that ends before it begins, or beyond the file, is none (RFC 9110, 14.4).
    (first <= last && size.is_none_or(|size| last < size)).then_some(ContentRange { first, last, size })
}

impl HttpStore {
    /// Makes the folders above a file, as WebDAV wants it: some servers answer a `PUT` into a folder that is not
    /// there with a conflict, some with an error of their own. One without WebDAV refuses, and needs none.
    async fn make_folders(&self, path: &SafePath) -> Result<(), StoreError> {
        let mkcol = Method::from_bytes(b"MKCOL").map_err(|error| StoreError::Refused {
            what: Redacted(&self.root).to_string(),
            reason: error.to_string(),
        })?;
        let below: Vec<_> = path.ancestors().map(|folder| join(&self.root, folder.split('/'))).collect();
        for url in std::iter::once(self.root.clone()).chain(below.into_iter().rev()) {
            if self.made().contains(url.as_str()) {
                continue;
            }
            // 405 is the answer for a folder that is there.
            let fine = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED];
            send(self.request(mkcol.clone(), &url), &url, &fine).await?;
            self.made().insert(url.into());
        }
        Ok(())
    }

    fn made(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WritableStore for HttpStore {
    fn create<'a>(&'a self, path: &'a SafePath, content: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        let url = self.below(path);
        async move {
            self.make_folders(path).await?;
            let request = self.request(Method::PUT, &url).header(IF_NONE_MATCH, "*").body(content);
            match send(request, &url, &[]).await {
                Err(StoreError::Changed { what }) => Err(StoreError::Exists { what }),
                other => other.map(drop),
            }
        }
        .boxed()
    }

    fn swap<'a>(
        &'a self,
        path: &'a SafePath,
        expected: &'a Identity,
        content: Bytes,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let url = self.below(path);
        async move {
            let request = self.request(Method::PUT, &url).header(IF_MATCH, &expected.0).body(content);
            send(request, &url, &[]).await.map(drop)
        }
        .boxed()
    }

    fn upload<'a>(&'a self, path: &'a SafePath, source: &'a Path) -> BoxFuture<'a, Result<(), StoreError>> {
        let url = self.below(path);
        async move {
            let local = |error| StoreError::Local { path: source.to_owned(), source: error };
            self.make_folders(path).await?;
            let file = tokio::fs::File::open(source).await.map_err(local)?;
            let length = file.metadata().await.map_err(local)?.len();
            let request = self.request(Method::PUT, &url).header(CONTENT_LENGTH, length).body(file);
            send(request, &url, &[]).await.map(drop)
        }
        .boxed()
    }

    fn remove<'a>(&'a self, path: &'a SafePath) -> BoxFuture<'a, Result<(), StoreError>> {
        let url = self.below(path);
        async move { send(self.request(Method::DELETE, &url), &url, &[StatusCode::NOT_FOUND]).await.map(drop) }
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_and_last_byte_and_the_size_of_a_range_are_read() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, value.parse().unwrap());
            content_range(&headers)
        };
        assert_eq!(read("bytes 5-9/10"), Some(ContentRange { first: 5, last: 9, size: Some(10) }));
        assert_eq!(read("bytes 5-9/*"), Some(ContentRange { first: 5, last: 9, size: None }));
        for bad in
            ["bytes */10", "5-9/10", "bytes x-9/10", "bytes 5", "bytes 5-/10", "bytes 9-5/10", "bytes 5-9/9"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
