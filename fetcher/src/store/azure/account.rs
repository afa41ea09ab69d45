//! An account of Azure's: where its blobs or files are, and who we are there.

use std::sync::Arc;

use object_store::azure::{
    AzureAuthorizer, AzureCredential, AzureCredentialProvider, MicrosoftAzure, MicrosoftAzureBuilder,
};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::{ClientOptions, RetryConfig};
use reqwest::Method;
use reqwest::header::HeaderMap;
use url::Url;

use super::login;
use crate::connection::Connection;
use crate::redact::Redacted;
use crate::store::StoreError;
use crate::store::cloud::{Connector, classify, deepest};
use crate::uri::azure::{AzureUri, Service};

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

pub(super) struct Account {
    name: String,
    /// The address of the container, or of the share.
    pub(super) container: Url,
    /// The same for people.
    pub(super) shown: String,
    credentials: AzureCredentialProvider,
}

impl Account {
    /// The account with the settings and credentials of the environment, and what `object_store` makes of it.
    pub(super) fn open(
        uri: &AzureUri,
        connection: &Connection,
    ) -> Result<(MicrosoftAzure, Self), StoreError> {
        let shown = AzureUri { signature: None, ..uri.at("") }.to_string();
        let refused = |reason: String| StoreError::Refused { what: shown.clone(), reason };
        let settings = &connection.azure;
        let named = settings.get("account_name").map(str::to_owned);
        let name = uri.host.as_ref().and_then(|host| host.split('.').next()).map(str::to_owned).or(named);
        let name =
            name.ok_or_else(|| refused("expected its account in AZURE_STORAGE_ACCOUNT_NAME".into()))?;
        let host = uri.host.clone().unwrap_or_else(|| format!("{name}.blob.core.windows.net"));
        let setting = match uri.service {
            Service::Blobs => "endpoint",
            Service::Files => "file_endpoint",
        };
        // Where the environment has an address for the very account that is asked for, as emulators need it.
        let is_ours = settings.get("account_name").is_none_or(|ours| ours == name);
        let endpoint = settings.get(setting).filter(|_| is_ours).map(str::to_owned);
        let endpoint = endpoint.unwrap_or_else(|| format!("https://{host}"));
        let service = endpoint.parse::<Url>().ok().filter(Url::has_host);
        let service = service.ok_or_else(|| refused("expected a URL as endpoint of its account".into()))?;

        let mut builder = MicrosoftAzureBuilder::new()
            .with_account(&name)
            .with_container_name(&uri.container)
            .with_endpoint(endpoint.trim_end_matches('/').to_owned())
            .with_http_connector(Connector(connection.signing_client.clone()))
            .with_client_options(ClientOptions::new().with_allow_http(true))
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
        let container = crate::http::join(&service, [uri.container.as_str()]);
        let credentials = Arc::clone(bucket.credentials());
        Ok((bucket, Self { name, container, shown, credentials }))
    }

    /// Who we are, for a request for `what`.
    pub(super) async fn credential(&self, what: &str) -> Result<Arc<AzureCredential>, StoreError> {
        self.credentials.get_credential().await.map_err(|error| classify(what.to_owned(), &error))
    }

    /// A request without a body, made by whom the credential names.
    pub(super) fn signed(
        &self,
        credential: &AzureCredential,
        method: Method,
        url: &Url,
        headers: HeaderMap,
    ) -> Result<HttpRequest, StoreError> {
        let what = || Redacted(url).to_string();
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method;
        let address = url.as_str().parse();
        *request.uri_mut() = address
            .map_err(|_| StoreError::Refused { what: what(), reason: "it is no address".to_owned() })?;
        *request.headers_mut() = headers;
        let signed = AzureAuthorizer::new(credential, &self.name).try_authorize(&mut request);
        signed.map_err(|error| classify(what(), &error))?;
        Ok(request)
    }
}
