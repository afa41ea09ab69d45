//! Azure Blob Storage, with or without a hierarchical namespace, through the `object_store` crate.
//!
//! That crate signs requests and knows where Azure's credentials come from; its HTTP is ours, see
//! `cloud`. A blob's content is known by its ETag.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use handoff::SafePath;
use object_store::ClientOptions;
use object_store::azure::MicrosoftAzure;
use object_store::client::{HttpClient, HttpConnector as _, HttpResponse};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue, IF_MATCH};

use self::account::Account;
use super::cloud::{Bucket, Connector, classify, deepest};
use super::{Body, ByteRange, Identity, Listing, RemoteFile, Store, StoreError, WritableStore, checksum};
use crate::connection::Connection;
use crate::uri::azure::AzureUri;
use crate::verify::content_digest::ContentDigest;

mod account;
pub mod files;
mod login;

/// Marks an empty blob that stands for a folder.
const FOLDER: &str = "x-ms-meta-hdi_isfolder";
/// How many blobs are asked about at the same time.
const QUESTIONS: usize = 16;

/// A prefix of a container.
pub struct AzureStore {
    bucket: Bucket<MicrosoftAzure>,
    account: Account,
    client: HttpClient,
}

impl AzureStore {
    /// The prefix of a container, with the settings and credentials of the environment.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when there is no account, or the settings contradict themselves.
    pub fn new(uri: &AzureUri, connection: &Connection) -> Result<Self, StoreError> {
        let (bucket, account) = Account::open(uri, connection)?;
        let name = account.shown.clone();
        let client = Connector(connection.signing_client.clone()).connect(&ClientOptions::new());
        let client =
            client.map_err(|error| StoreError::Refused { what: name.clone(), reason: deepest(&error) })?;
        let bucket = Bucket { bucket: Arc::new(bucket), name, prefix: uri.prefix.clone() };
        Ok(Self { bucket, account, client })
    }

    /// Asks for a blob's headers: `object_store` keeps most of them to itself.
    async fn head(&self, path: &str, identity: Option<&Identity>) -> Result<HttpResponse, StoreError> {
        let what = self.bucket.shown(path);
        let key = self.bucket.key(path)?;
        let url = crate::http::join(&self.account.container, key.as_ref().split('/'));
        let mut headers = HeaderMap::new();
        if let Some(Identity(etag)) = identity {
            let etag = HeaderValue::from_str(etag);
            let refused = |error| StoreError::Refused { what: what.clone(), reason: format!("{error}") };
            headers.insert(IF_MATCH, etag.map_err(refused)?);
        }
        let credential = self.account.credential(&what).await?;
        let request = self.account.signed(&credential, Method::HEAD, &url, headers)?;
        let answer = self.client.execute(request).await;
        answer.map_err(|error| {
            classify(what, &object_store::Error::Generic { store: "Azure", source: Box::new(error) })
        })
    }

    /// Leaves out the empty blobs that say of themselves that they stand for folders.
    async fn without_marked_folders(&self, files: Vec<RemoteFile>) -> Result<Vec<RemoteFile>, StoreError> {
        let looked_at = files.into_iter().map(|file| async move {
            let is_marked = file.size == Some(0)
                && self.head(file.path.as_str(), None).await?.headers().contains_key(FOLDER);
            Ok((!is_marked).then_some(file))
        });
        let looked_at = stream::iter(looked_at).buffered(QUESTIONS);
        looked_at.try_filter_map(|file| std::future::ready(Ok(file))).try_collect().await
    }
}

impl Store for AzureStore {
    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        async move {
            match self.bucket.list().await? {
                Listing::Folder(files) => Ok(Listing::Folder(self.without_marked_folders(files).await?)),
                single => Ok(single),
            }
        }
        .boxed()
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
        async move { Ok(checksum::of_whole_object(self.head(path.as_str(), identity).await?.headers())) }
            .boxed()
    }
}

impl WritableStore for AzureStore {
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
