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
use object_store::azure::{AzureAuthorizer, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::{HttpClient, HttpConnector as _, HttpRequest, HttpRequestBody, HttpResponse};
use object_store::{ClientOptions, RetryConfig};
use reqwest::Method;
use reqwest::header::{HeaderValue, IF_MATCH};
use url::Url;

use super::cloud::{Bucket, Connector, classify, deepest};
use super::{Body, ByteRange, Identity, Listing, RemoteFile, Store, StoreError, WritableStore, checksum};
use crate::connection::Connection;
use crate::uri::azure::AzureUri;
use crate::verify::content_digest::ContentDigest;

mod login;

/// Marks an empty blob that stands for a folder.
const FOLDER: &str = "x-ms-meta-hdi_isfolder";
/// How many blobs are asked about at the same time.
const QUESTIONS: usize = 16;
/// The settings that are `object_store`'s to understand.
const SETTINGS: [&str; 8] = [
    "access_key",
    "sas_token",
    "client_id",
    "client_secret",
    "tenant_id",
    "federated_token_file",
    "authority_host",
    "msi_endpoint",
];

/// A prefix of a container.
pub struct AzureStore {
    bucket: Bucket<MicrosoftAzure>,
    /// The address of the container.
    container: Url,
    account: String,
    client: HttpClient,
}

impl AzureStore {
    /// The prefix of a container, with the settings and credentials of the environment.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when there is no account, or the settings contradict themselves.
    pub fn new(uri: &AzureUri, connection: &Connection) -> Result<Self, StoreError> {
        let name = AzureUri { signature: None, ..uri.at("") }.to_string();
        let refused = |reason: String| StoreError::Refused { what: name.clone(), reason };
        let settings = &connection.azure;
        let named = settings.get("account_name").map(str::to_owned);
        let account = uri.host.as_ref().and_then(|host| host.split('.').next()).map(str::to_owned).or(named);
        let account =
            account.ok_or_else(|| refused("expected its account in AZURE_STORAGE_ACCOUNT_NAME".into()))?;
        let host = uri.host.clone().unwrap_or_else(|| format!("{account}.blob.core.windows.net"));
        // Where the environment has an address for the very account that is asked for, as emulators need it.
        let is_ours = settings.get("account_name").is_none_or(|ours| ours == account);
        let endpoint = settings.get("endpoint").filter(|_| is_ours).map(str::to_owned);
        let endpoint = endpoint.unwrap_or_else(|| format!("https://{host}"));
        let service = endpoint.parse::<Url>().ok().filter(Url::has_host);
        let service = service.ok_or_else(|| refused("expected a URL as endpoint of its account".into()))?;

        let connector = || Connector(connection.signing_client.clone());
        let options = ClientOptions::new().with_allow_http(true);
        let mut builder = MicrosoftAzureBuilder::new()
            .with_account(&account)
            .with_container_name(&uri.container)
            .with_endpoint(endpoint.trim_end_matches('/').to_owned())
            .with_http_connector(connector())
            .with_client_options(options.clone())
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
        for name in SETTINGS {
            if let (Ok(key), Some(value)) = (name.parse(), settings.get(name)) {
                builder = builder.with_config(key, value);
            }
        }
        builder = match (&uri.signature, settings.provider.get()) {
            (Some(signature), _) => {
                let pairs = object_store::azure::split_sas(signature);
                let pairs = pairs.map_err(|_| refused("its query is no shared access signature".into()))?;
                builder.with_credentials(login::signature(pairs))
            }
            (None, _) if settings.is_anonymous() => builder.with_credentials(login::nobody()),
            (None, Some(known)) => builder.with_credentials(Arc::clone(known)),
            (None, None) => builder,
        };
        let mut bucket = builder.clone().build().map_err(|error| refused(deepest(&error)))?;
        if uri.signature.is_none() && !settings.is_anonymous() && settings.provider.get().is_none() {
            let found = Arc::clone(bucket.credentials());
            let found = if login::is_given(settings) { found } else { login::or_nobody(found) };
            let found = Arc::clone(settings.provider.get_or_init(|| found));
            bucket = builder.with_credentials(found).build().map_err(|error| refused(deepest(&error)))?;
        }
        let client = connector().connect(&options).map_err(|error| refused(deepest(&error)))?;
        let container = crate::http::join(&service, [uri.container.as_str()]);
        let bucket = Bucket { bucket: Arc::new(bucket), name, prefix: uri.prefix.clone() };
        Ok(Self { bucket, container, account, client })
    }

    /// Asks for a blob's headers: `object_store` keeps most of them to itself.
    async fn head(&self, path: &str, identity: Option<&Identity>) -> Result<HttpResponse, StoreError> {
        let what = self.bucket.shown(path);
        let refused = |reason: String| StoreError::Refused { what: what.clone(), reason };
        let failed = |error: object_store::Error| classify(what.clone(), &error);
        let key = self.bucket.key(path)?;
        let url = crate::http::join(&self.container, key.as_ref().split('/'));
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::HEAD;
        *request.uri_mut() = url.as_str().parse().map_err(|_| refused("it is no address".to_owned()))?;
        if let Some(Identity(etag)) = identity {
            let etag = HeaderValue::from_str(etag);
            request.headers_mut().insert(IF_MATCH, etag.map_err(|error| refused(error.to_string()))?);
        }
        let credential = self.bucket.bucket.credentials().get_credential().await.map_err(failed)?;
        AzureAuthorizer::new(&credential, &self.account).try_authorize(&mut request).map_err(failed)?;
        let answer = self.client.execute(request).await;
        answer
            .map_err(|error| failed(object_store::Error::Generic { store: "Azure", source: Box::new(error) }))
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
