//! S3 and what speaks its protocol, through the `object_store` crate.
//!
//! That crate signs requests and knows where AWS credentials come from; its HTTP is ours, see
//! [`cloud`](super::cloud).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use handoff::SafePath;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use object_store::path::Path as Key;
use object_store::signer::{SignedUrlOptions, Signer as _};
use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, RetryConfig,
    StaticCredentialProvider, UpdateVersion, WriteMultipart,
};
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue, IF_MATCH};
use tokio::io::AsyncReadExt as _;

use super::{Body, ByteRange, Identity, Listing, RemoteFile, Store, StoreError, WritableStore, checksum};
use super::cloud::{Connector, classify, deepest, without_folder_markers};
use crate::connection::Connection;
use crate::limits::Limits;
use crate::verify::content_digest::ContentDigest;

pub(crate) mod pages;

/// Size of one part of a multipart upload: S3 allows 10,000 parts, so this carries files up to 640 GB.
const PART_BYTES: usize = 64 * 1024 * 1024;
/// Files up to this size are uploaded in one request.
const SINGLE_PUT_BYTES: u64 = 16 * 1024 * 1024;

/// Has S3 send the checksums that it keeps.
const CHECKSUM_MODE: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-amz-checksum-mode"), HeaderValue::from_static("ENABLED"));
/// How long a signed address is good for: it is used at once, and clocks differ.
const SIGNED_FOR: Duration = Duration::from_secs(900);

/// A prefix of a bucket.
pub struct S3Store {
    bucket: Arc<AmazonS3>,
    /// `s3://bucket`, for messages.
    name: String,
    prefix: String,
    client: reqwest::Client,
    is_anonymous: bool,
}

impl S3Store {
    /// The prefix of a bucket, with the settings and credentials of the environment.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the settings contradict themselves.
    pub fn new(bucket: &str, prefix: &str, connection: &Connection) -> Result<Self, StoreError> {
        let name = format!("s3://{bucket}");
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_http_connector(Connector(connection.signing_client.clone()))
            .with_client_options(ClientOptions::new().with_allow_http(true))
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
        for (key, value) in connection.s3.settings() {
            builder = builder.with_config(*key, value);
        }
        let skips = builder.get_config_value(&AmazonS3ConfigKey::SkipSignature);
        let is_anonymous = skips.is_some_and(|skips| skips.eq_ignore_ascii_case("true"));
        if is_anonymous {
            // Or the instance's metadata service would be asked for what is not needed.
            builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(nobody())));
        } else if let Some(credentials) = connection.s3_credentials.get() {
            builder = builder.with_credentials(Arc::clone(credentials));
        }
        let bucket = builder
            .build()
            .map_err(|error| StoreError::Refused { what: name.clone(), reason: deepest(&error) })?;
        let _ = connection.s3_credentials.set(Arc::clone(bucket.credentials()));
        let client = connection.client.clone();
        Ok(Self { bucket: Arc::new(bucket), name, prefix: prefix.to_owned(), client, is_anonymous })
    }

    fn shown(&self, path: &str) -> String {
        [self.name.as_str(), self.prefix.as_str(), path]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("/")
    }

    fn key(&self, path: &str) -> Result<Key, StoreError> {
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
        let identity = object.e_tag.clone().map(Identity);
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
}

fn nobody() -> AwsCredential {
    AwsCredential { key_id: String::new(), secret_key: String::new(), token: None }
}

impl Store for S3Store {
    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        async move {
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
        .boxed()
    }

    fn read<'a>(
        &'a self,
        path: &'a SafePath,
        identity: Option<&'a Identity>,
        range: ByteRange,
    ) -> BoxFuture<'a, Result<Body, StoreError>> {
        async move {
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
            let identity = strong.map(Identity);
            let (starts_at, ends_at) = (answer.range.start, Some(answer.range.end));
            let size = Some(answer.meta.size);
            let chunks = answer.into_stream().map_err(move |error| classify(what.clone(), &error)).boxed();
            Ok(Body { starts_at, identity, size, ends_at, chunks })
        }
        .boxed()
    }

    fn checksum<'a>(
        &'a self,
        path: &'a SafePath,
        identity: Option<&'a Identity>,
    ) -> BoxFuture<'a, Result<Option<ContentDigest>, StoreError>> {
        async move {
            let key = self.key(path.as_str())?;
            self.head_with_checksum(&key, &self.shown(path.as_str()), identity).await
        }
        .boxed()
    }
}

impl S3Store {
    /// Asks for an object's headers with its checksum among them. `object_store` cannot ask for that, so it signs
    /// the address and the request is ours.
    async fn head_with_checksum(
        &self,
        key: &Key,
        what: &str,
        identity: Option<&Identity>,
    ) -> Result<Option<ContentDigest>, StoreError> {
        let (name, value) = CHECKSUM_MODE;
        let options = SignedUrlOptions::new().with_signed_header(name.clone(), value.clone());
        let signed = self.bucket.signed_url_opts(Method::HEAD, key, SIGNED_FOR, &options).await;
        let mut url = signed.map_err(|error| classify(what.to_owned(), &error))?;
        if self.is_anonymous {
            url.set_query(None);
        }
        let mut request = self.client.head(url).header(name, value);
        if let Some(Identity(etag)) = identity {
            request = request.header(IF_MATCH, etag);
        }
        let response = request.send().await;
        let response =
            response.map_err(|error| StoreError::transport(what.to_owned(), error.without_url()))?;
        if response.status().is_success() {
            return Ok(checksum::of_whole_object(response.headers()));
        }
        match crate::http::classify(what.to_owned(), response.status(), response.headers()) {
            // A server that does not know the question keeps no checksums.
            StoreError::Refused { .. } => Ok(None),
            error => Err(error),
        }
    }
}

impl WritableStore for S3Store {
    fn create<'a>(&'a self, path: &'a SafePath, content: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let what = self.shown(path.as_str());
            let key = self.key(path.as_str())?;
            let put = self.bucket.put_opts(&key, content.into(), PutMode::Create.into()).await;
            // The condition is that there is no object.
            put.map(drop).map_err(|error| match classify(what, &error) {
                StoreError::Changed { what } => StoreError::Exists { what },
                other => other,
            })
        }
        .boxed()
    }

    fn swap<'a>(
        &'a self,
        path: &'a SafePath,
        expected: &'a Identity,
        content: Bytes,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let what = self.shown(path.as_str());
            let key = self.key(path.as_str())?;
            let version = UpdateVersion { e_tag: Some(expected.0.clone()), version: None };
            let put = self.bucket.put_opts(&key, content.into(), PutMode::Update(version).into()).await;
            put.map(drop).map_err(|error| classify(what, &error))
        }
        .boxed()
    }

    fn upload<'a>(&'a self, path: &'a SafePath, source: &'a Path) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
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
        .boxed()
    }

    fn remove<'a>(&'a self, path: &'a SafePath) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let deleted = self.bucket.delete(&self.key(path.as_str())?).await;
            match deleted.map_err(|error| classify(self.shown(path.as_str()), &error)) {
                Err(StoreError::NotFound { .. }) => Ok(()),
                other => other,
            }
        }
        .boxed()
    }
}
