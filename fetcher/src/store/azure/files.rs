//! A file share of Azure's, by the interface that it has for programs; a Pod may also mount one, which is a `file://` then.
//!
//! A share has real folders, which are listed one by one. A file is known by its ETag; as its reads take no condition, the
//! ETag of each answer is compared with that of the listing. Nobody may read without saying who they are.
//! <https://learn.microsoft.com/en-us/rest/api/storageservices/file-service-rest-api>

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use handoff::SafePath;
use object_store::azure::AzureCredential;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, RANGE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use url::Url;

use self::listing::Page;
use super::Account;
use crate::connection::Connection;
use crate::http::{join, read_bounded, send};
use crate::limits::Limits;
use crate::store::http::{body, identity};
use crate::store::{Body, ByteRange, Identity, Listing, RemoteFile, Store, StoreError, checksum};
use crate::uri::azure::AzureUri;
use crate::verify::content_digest::ContentDigest;

pub(crate) mod listing;

/// Says what kind of failure an answer is.
const ERROR_CODE: &str = "x-ms-error-code";
/// Has the service take a name as it is, which else would lose the dots at its end.
const AS_IT_IS: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-ms-allow-trailing-dot"), HeaderValue::from_static("true"));
/// Without this no token lets anybody in: it reads whatever the permissions of each file say.
const INTENT: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-ms-file-request-intent"), HeaderValue::from_static("backup"));
/// Has a listing be true to what programs have open at the moment.
const EXTENDED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-ms-file-extended-info"), HeaderValue::from_static("true"));

/// A folder of a share, or a file as long as it is only listed.
pub struct FileShare {
    account: Account,
    /// The folder without slashes at its ends; empty for the whole share.
    folder: String,
    client: reqwest::Client,
}

impl FileShare {
    /// The folder of a share, with the settings and credentials of the environment.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the settings contradict themselves.
    pub fn new(uri: &AzureUri, connection: &Connection) -> Result<Self, StoreError> {
        let (_, account) = Account::open(uri, connection)?;
        Ok(Self { account, folder: uri.prefix.clone(), client: connection.signing_client.clone() })
    }

    fn shown(&self, path: &str) -> String {
        let parts = [self.account.shown.as_str(), self.folder.as_str(), path];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
    }

    fn url(&self, path: &str) -> Url {
        let segments = self.folder.split('/').chain(path.split('/'));
        join(&self.account.container, segments.filter(|segment| !segment.is_empty()))
    }

    /// Asks as whoever we are. Only success statuses and `also` are returned.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        header: Option<(HeaderName, HeaderValue)>,
        also: &[StatusCode],
    ) -> Result<Response, StoreError> {
        let what = self.shown(path);
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let credential = self.account.credential(&what).await?;
        let mut headers: HeaderMap = [AS_IT_IS].into_iter().chain(header).collect();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        match &*credential {
            AzureCredential::SASToken(pairs) if pairs.is_empty() => {
                let status = "a file share lets nobody in without credentials, and there are none".to_owned();
                return Err(StoreError::Denied { what, status });
            }
            AzureCredential::BearerToken(_) => headers.extend([INTENT]),
            _ => {}
        }
        let (signed, _) = self.account.signed(&credential, method, &url, headers)?.into_parts();
        let address = signed.uri.to_string().parse();
        let address = address
            .map_err(|_| StoreError::Refused { what: what.clone(), reason: "it is no address".into() })?;
        let mut request = reqwest::Request::new(signed.method, address);
        *request.headers_mut() = signed.headers;
        let request = RequestBuilder::from_parts(self.client.clone(), request);
        send(request, &url, also).await.map_err(|error| error.renamed(what))
    }

    /// The headers of a file, if it is one.
    async fn head(&self, path: &str) -> Result<Option<HeaderMap>, StoreError> {
        match self.ask(Method::HEAD, path, &[], None, &[StatusCode::CONFLICT]).await {
            Ok(response) if response.status().is_success() => Ok(Some(response.headers().clone())),
            Ok(response) => match response.headers().get(ERROR_CODE) {
                Some(code) if code == "ResourceTypeMismatch" => Ok(None),
                _ => {
                    let (status, headers) = (response.status(), response.headers());
                    Err(crate::http::classify(self.shown(path), status, headers))
                }
            },
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn page(&self, folder: &str, marker: Option<&str>) -> Result<Page, StoreError> {
        let query = [("restype", "directory"), ("comp", "list"), ("include", "Etag")];
        let query: Vec<_> = query.into_iter().chain(marker.map(|marker| ("marker", marker))).collect();
        let response = self.ask(Method::GET, folder, &query, Some(EXTENDED), &[]).await?;
        let body = read_bounded(response, &self.url(folder), Limits::DEFAULT.document_bytes).await?;
        let malformed = |reason| StoreError::Malformed { what: self.shown(folder), reason };
        Page::read(&body, folder, marker).map_err(malformed)
    }

    async fn list_all(&self) -> Result<Vec<RemoteFile>, StoreError> {
        let too_large =
            |limit| StoreError::TooLarge { what: format!("the listing of {}", self.shown("")), limit };
        let mut files = Vec::new();
        // Folders, each with where its listing goes on.
        let mut open = vec![(String::new(), None::<String>)];
        let mut asked = 0;
        while let Some((folder, marker)) = open.pop() {
            asked += 1;
            let page = self.page(&folder, marker.as_deref()).await?;
            files.extend(page.files);
            open.extend(page.folders.into_iter().map(|folder| (folder.as_str().to_owned(), None)));
            open.extend(page.next.map(|next| (folder, Some(next))));
            if files.len() > Limits::DEFAULT.files {
                return Err(too_large(Limits::DEFAULT.files));
            }
            // What is still to be asked for counts as well, or it could be without end.
            if asked + open.len() > Limits::DEFAULT.folders {
                return Err(too_large(Limits::DEFAULT.folders));
            }
        }
        Ok(files)
    }
}

impl Store for FileShare {
    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        async move {
            // Asked first: a signature for one file allows nothing else.
            let single = match self.folder.is_empty() {
                true => None,
                false => self.head("").await?,
            };
            let Some(headers) = single else { return self.list_all().await.map(Listing::Folder) };
            let name = self.folder.rsplit('/').next().unwrap_or_default();
            let path = name.parse().map_err(|error: handoff::path::PathError| StoreError::Malformed {
                what: self.shown(""),
                reason: error.to_string(),
            })?;
            let size = headers.get(CONTENT_LENGTH).and_then(|size| size.to_str().ok()?.parse().ok());
            let checksum = checksum::of_whole_object(&headers);
            Ok(Listing::Single(RemoteFile { path, size, identity: identity(&headers), checksum }))
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
            let wanted = HeaderValue::from_str(&range.to_string());
            let wanted = wanted.ok().filter(|_| range != ByteRange::WHOLE).map(|wanted| (RANGE, wanted));
            let also = [StatusCode::RANGE_NOT_SATISFIABLE];
            let response = self.ask(Method::GET, path.as_str(), &[], wanted, &also).await?;
            let body = body(response, &self.url(path.as_str()), identity, range);
            body.map_err(|error| error.renamed(self.shown(path.as_str())))
        }
        .boxed()
    }

    fn checksum<'a>(
        &'a self,
        path: &'a SafePath,
        expected: Option<&'a Identity>,
    ) -> BoxFuture<'a, Result<Option<ContentDigest>, StoreError>> {
        async move {
            let what = || self.shown(path.as_str());
            let headers =
                self.head(path.as_str()).await?.ok_or_else(|| StoreError::NotFound { what: what() })?;
            let found = identity(&headers);
            if expected.is_some() && found.is_some() && found.as_ref() != expected {
                return Err(StoreError::Changed { what: what() });
            }
            Ok(checksum::of_whole_object(&headers))
        }
        .boxed()
    }
}
