//! S3 and what speaks its protocol, through the `object_store` crate.
//!
//! That crate signs requests and knows where AWS credentials come from; its HTTP is ours, see
//! `cloud`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use handoff::SafePath;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredential};
use object_store::path::Path as Key;
use object_store::signer::{SignedUrlOptions, Signer as _};
use object_store::{ClientOptions, RetryConfig, StaticCredentialProvider};
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue, IF_MATCH};

use url::Url;

use super::cloud::{Bucket, Connector, classify, deepest};
use super::{Body, ByteRange, Identity, Listing, Store, StoreError, WritableStore, checksum};
use crate::connection::Connection;
use crate::uri::S3Server;
use crate::verify::content_digest::ContentDigest;

pub(crate) mod pages;

/// Has S3 send the checksums that it keeps.
const CHECKSUM_MODE: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-amz-checksum-mode"), HeaderValue::from_static("ENABLED"));
/// How long a signed address is good for: it is used at once, and clocks differ.
const SIGNED_FOR: Duration = Duration::from_secs(900);

/// A prefix of a bucket.
pub struct S3Store {
    bucket: Bucket<AmazonS3>,
    client: reqwest::Client,
    is_anonymous: bool,
}

impl S3Store {
    /// The prefix of a bucket, with the settings and credentials of the environment; on the server `at`, if one is named.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the settings contradict themselves.
    pub fn new(
        bucket: &str,
        prefix: &str,
        at: Option<&S3Server>,
        connection: &Connection,
    ) -> Result<Self, StoreError> {
        let name = format!("s3://{bucket}");
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_http_connector(Connector(connection.signing_client.clone()))
            .with_client_options(ClientOptions::new().with_allow_http(true))
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
        for (key, value) in connection.s3.settings() {
            builder = builder.with_config(*key, value);
        }
        if let Some(S3Server { endpoint, region }) = at {
            builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
            if let Some(region) = region {
                builder = builder.with_region(region);
            }
        }
        if let Some(endpoint) = with_bucket_in_host(&builder, bucket) {
            builder = builder.with_endpoint(endpoint);
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
        let bucket = Bucket { bucket: Arc::new(bucket), name, prefix: prefix.to_owned() };
        Ok(Self { bucket, client, is_anonymous })
    }
}

/// The address of a server that wants the bucket in its host name, where the environment has only the server's.
fn with_bucket_in_host(builder: &AmazonS3Builder, bucket: &str) -> Option<String> {
    let is_wanted = builder.get_config_value(&AmazonS3ConfigKey::VirtualHostedStyleRequest)?;
    let mut url: Url = builder.get_config_value(&AmazonS3ConfigKey::Endpoint)?.parse().ok()?;
    let host = url.host_str()?;
    if !is_wanted.eq_ignore_ascii_case("true") || host.starts_with(&format!("{bucket}.")) {
        return None;
    }
    let host = format!("{bucket}.{host}");
    url.set_host(Some(&host)).ok()?;
    Some(url.as_str().trim_end_matches('/').to_owned())
}

fn nobody() -> AwsCredential {
    AwsCredential { key_id: String::new(), secret_key: String::new(), token: None }
}

impl Store for S3Store {
    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        self.bucket.list().boxed()
    }

    fn read<'a>(
        &'a self,
        path: &'a SafePath,
        identity: Option<&'a Identity>,
        range: ByteRange,
    ) -> BoxFuture<'a, Result<Body, StoreError>> {
        self.bucket.read(path, identity, range).boxed()
    }

    fn checksum<'a>(
        &'a self,
        path: &'a SafePath,
        identity: Option<&'a Identity>,
    ) -> BoxFuture<'a, Result<Option<ContentDigest>, StoreError>> {
        async move {
            let key = self.bucket.key(path.as_str())?;
            self.head_with_checksum(&key, &self.bucket.shown(path.as_str()), identity).await
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
        let signed = self.bucket.bucket.signed_url_opts(Method::HEAD, key, SIGNED_FOR, &options).await;
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
        self.bucket.create(path, content).boxed()
    }

    fn swap<'a>(
        &'a self,
        path: &'a SafePath,
        expected: &'a Identity,
        content: Bytes,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.bucket.swap(path, expected, content).boxed()
    }

    fn upload<'a>(&'a self, path: &'a SafePath, source: &'a Path) -> BoxFuture<'a, Result<(), StoreError>> {
        self.bucket.upload(path, source).boxed()
    }

    fn remove<'a>(&'a self, path: &'a SafePath) -> BoxFuture<'a, Result<(), StoreError>> {
        self.bucket.remove(path).boxed()
    }
}
