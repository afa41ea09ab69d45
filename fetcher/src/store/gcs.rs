//! Google Cloud Storage, by its JSON interface.
//!
//! An object's content is known by its generation: a read names the one that was listed, so it gets those bytes or
//! none, whatever was uploaded since. An object that is stored compressed is taken as it is stored, since its size and
//! checksums are those of what is stored.

use std::path::Path;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use handoff::SafePath;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, RANGE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use url::Url;

use super::cloud::without_folder_markers;
use super::http::{Head, chunks, span};
use super::{Body, ByteRange, Identity, Listing, RemoteFile, Store, StoreError, WritableStore};
use crate::connection::Connection;
use crate::http::{classify, read_bounded};
use crate::limits::Limits;
use crate::verify::content_digest::ContentDigest;
use object::{Object, Page};

mod federation;
mod login;
pub(crate) mod object;

/// Says which content an answer holds.
const GENERATION: &str = "x-goog-generation";
/// Says how an object is stored, whatever it was made on the way.
const STORED_ENCODING: &str = "x-goog-stored-content-encoding";
/// What is asked of an object.
const FIELDS: &str = "name,size,generation,crc32c,md5Hash";

/// A prefix of a bucket.
pub struct GcsStore {
    endpoint: Url,
    bucket: String,
    prefix: String,
    login: login::Login,
    client: reqwest::Client,
}

impl GcsStore {
    /// The prefix of a bucket, with the settings and credentials of the environment.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the settings are wrong.
    pub fn new(bucket: &str, prefix: &str, connection: &Connection) -> Result<Self, StoreError> {
        let name = format!("gs://{bucket}");
        let refused = |reason: String| StoreError::Refused { what: name.clone(), reason };
        Ok(Self {
            endpoint: connection.google.endpoint().map_err(refused)?,
            login: login::Login::new(bucket, connection)?,
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            client: connection.signing_client.clone(),
        })
    }

    fn shown(&self, path: &str) -> String {
        let parts = [self.bucket.as_str(), self.prefix.as_str(), path];
        let shown: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("gs://{}", shown.join("/"))
    }

    /// The name of an object: one string, in which a `/` means nothing to the service.
    fn name(&self, path: &str) -> String {
        [self.prefix.as_str(), path].join("/").trim_matches('/').to_owned()
    }

    /// The address of the bucket's objects, or of one of them, below `interface`.
    fn url(&self, interface: &[&str], object: Option<&str>, query: &[(&str, &str)]) -> Url {
        let path = ["storage", "v1", "b", self.bucket.as_str(), "o"];
        let mut url = crate::http::join(&self.endpoint, interface.iter().copied().chain(path).chain(object));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Sends a request as whoever we are. Only success statuses and `also` are returned.
    async fn send(
        &self,
        request: RequestBuilder,
        what: &str,
        also: Option<StatusCode>,
    ) -> Result<Response, StoreError> {
        let who = self.login.who().await?;
        let request = match &who {
            login::Who::Nobody | login::Who::Unknown(_) => request,
            login::Who::Somebody(credential) => request.bearer_auth(&credential.bearer),
        };
        let response = request.send().await;
        let response =
            response.map_err(|error| StoreError::transport(what.to_owned(), error.without_url()))?;
        let status = response.status();
        if status.is_success() || also == Some(status) {
            self.login.accepted(&who);
            return Ok(response);
        }
        Err(match (who, classify(what.to_owned(), status, response.headers())) {
            (login::Who::Unknown(reason), StoreError::Denied { what, status }) => {
                let reason = format!("it refuses requests without credentials ({status}), and {reason}");
                StoreError::Unavailable { what, reason, retry_after: None, source: None }
            }
            (_, error) => error,
        })
    }

    async fn document<T: serde::de::DeserializeOwned>(&self, url: &Url, what: &str) -> Result<T, StoreError> {
        let response = self.send(self.client.get(url.clone()), what, None).await?;
        let body = read_bounded(response, url, Limits::DEFAULT.document_bytes).await;
        let body = body.map_err(|error| error.renamed(what.to_owned()))?;
        object::read(&body).map_err(|reason| StoreError::Malformed { what: what.to_owned(), reason })
    }

    async fn object(&self, path: &str, identity: Option<&Identity>) -> Result<Object, StoreError> {
        let mut query = vec![("fields", FIELDS)];
        query.extend(identity.map(|Identity(generation)| ("generation", generation.as_str())));
        let url = self.url(&[], Some(&self.name(path)), &query);
        let object = self.document(&url, &self.shown(path)).await;
        object.map_err(|error| replaced(error, identity))
    }

    async fn list_prefix(&self) -> Result<Vec<RemoteFile>, StoreError> {
        let what = self.shown("");
        let malformed = |reason: String| StoreError::Malformed { what: what.clone(), reason };
        // Whole components only: `v1` is not `v10`.
        let prefix = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
        let fields = format!("nextPageToken,items({FIELDS})");
        let (mut files, mut before) = (Vec::new(), None::<String>);
        for _ in 0..Limits::DEFAULT.pages {
            let mut query = vec![("prefix", prefix.as_str()), ("fields", &fields), ("maxResults", "1000")];
            query.extend(before.as_deref().map(|token| ("pageToken", token)));
            let page: Page = self.document(&self.url(&[], None, &query), &what).await?;
            let (listed, next) = page.below(&prefix).map_err(malformed)?;
            files.extend(listed);
            if files.len() > Limits::DEFAULT.files {
                return Err(StoreError::TooLarge { what, limit: Limits::DEFAULT.files });
            }
            match next {
                None => return Ok(without_folder_markers(files)),
                next if next == before => {
                    return Err(malformed("the page after a page is that page again".to_owned()));
                }
                next => before = next,
            }
        }
        Err(malformed(format!("the listing has more than {} pages", Limits::DEFAULT.pages)))
    }
}

/// What was listed is not there any more: it was overwritten, or removed.
fn replaced(error: StoreError, identity: Option<&Identity>) -> StoreError {
    match error {
        StoreError::NotFound { what } if identity.is_some() => StoreError::Changed { what },
        error => error,
    }
}

fn generation(headers: &HeaderMap) -> Option<Identity> {
    headers.get(GENERATION)?.to_str().ok().map(|generation| Identity(generation.to_owned()))
}

impl Store for GcsStore {
    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        async move {
            let files = self.list_prefix().await?;
            let name = self.prefix.rsplit('/').next().unwrap_or_default();
            if !files.is_empty() || name.is_empty() {
                return Ok(Listing::Folder(files));
            }
            // Nothing below it: the address may be that of a single object.
            let object = self.object("", None).await?;
            let above = self.prefix.strip_suffix(name).unwrap_or_default();
            let file = object.below(above);
            let malformed = |reason| StoreError::Malformed { what: self.shown(""), reason };
            let file = file.and_then(|file| file.ok_or_else(|| "it has no name".to_owned()));
            Ok(Listing::Single(file.map_err(malformed)?))
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
            let what = self.shown(path.as_str());
            let mut query = vec![("alt", "media")];
            query.extend(identity.map(|Identity(generation)| ("generation", generation.as_str())));
            let url = self.url(&[], Some(&self.name(path.as_str())), &query);
            // Or a compressed object would be unpacked on the way.
            let mut request = self.client.get(url.clone()).header(ACCEPT_ENCODING, "gzip");
            if range != ByteRange::WHOLE {
                request = request.header(RANGE, range.to_string());
            }
            let response = self.send(request, &what, Some(StatusCode::RANGE_NOT_SATISFIABLE)).await;
            let response = response.map_err(|error| replaced(error, identity))?;
            if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
                return Err(StoreError::Changed { what });
            }
            let headers = response.headers();
            let (sent, stored) = (headers.get(CONTENT_ENCODING), headers.get(STORED_ENCODING));
            if let (Some(sent), Some(stored)) = (sent, stored)
                && sent != stored
            {
                let reason = format!("expected the bytes as they are stored, got content-encoding {sent:?}");
                return Err(StoreError::Malformed { what, reason });
            }
            let got = generation(headers);
            if identity.is_some() && got.is_some() && got.as_ref() != identity {
                return Err(StoreError::Changed { what });
            }
            let (starts_at, size) = span(&Head::of(&response), &url, range)?;
            let ends_at = response.content_length().map(|length| starts_at.saturating_add(length));
            Ok(Body { starts_at, identity: got, size, ends_at, chunks: chunks(response, what) })
        }
        .boxed()
    }

    fn checksum<'a>(
        &'a self,
        path: &'a SafePath,
        identity: Option<&'a Identity>,
    ) -> BoxFuture<'a, Result<Option<ContentDigest>, StoreError>> {
        async move { Ok(self.object(path.as_str(), identity).await?.checksum()) }.boxed()
    }
}

impl GcsStore {
    /// Writes an object, if its present content is of this generation: `0` where there is none.
    async fn put(
        &self,
        path: &SafePath,
        generation: Option<&str>,
        length: u64,
        content: reqwest::Body,
    ) -> Result<(), StoreError> {
        let name = self.name(path.as_str());
        let mut query = vec![("uploadType", "media"), ("name", name.as_str()), ("fields", "generation")];
        query.extend(generation.map(|generation| ("ifGenerationMatch", generation)));
        let request = self.client.post(self.url(&["upload"], None, &query));
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        let request = request.header(CONTENT_LENGTH, length).body(content);
        self.send(request, &self.shown(path.as_str()), None).await.map(drop)
    }

    async fn put_small(&self, path: &SafePath, generation: &str, content: Bytes) -> Result<(), StoreError> {
        let length = content.len().try_into().unwrap_or(u64::MAX);
        self.put(path, Some(generation), length, content.into()).await
    }
}

impl WritableStore for GcsStore {
    fn create<'a>(&'a self, path: &'a SafePath, content: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            self.put_small(path, "0", content).await.map_err(|error| match error {
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
        async move { self.put_small(path, &expected.0, content).await }.boxed()
    }

    fn upload<'a>(&'a self, path: &'a SafePath, source: &'a Path) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let local = |error| StoreError::Local { path: source.to_owned(), source: error };
            let file = tokio::fs::File::open(source).await.map_err(local)?;
            let length = file.metadata().await.map_err(local)?.len();
            self.put(path, None, length, file.into()).await
        }
        .boxed()
    }

    fn remove<'a>(&'a self, path: &'a SafePath) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let url = self.url(&[], Some(&self.name(path.as_str())), &[]);
            let request = self.client.request(Method::DELETE, url);
            self.send(request, &self.shown(path.as_str()), Some(StatusCode::NOT_FOUND)).await.map(drop)
        }
        .boxed()
    }
}
