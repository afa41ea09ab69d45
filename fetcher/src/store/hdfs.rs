//! HDFS, by its web interface (WebHDFS), which a NameNode, `HttpFS` and a gateway such as Knox speak alike.
//!
//! The NameNode knows the files and sends a reader on to a DataNode that has the bytes; who we are is told to the NameNode
//! alone, and its answer lets us in there. Of several NameNodes one is active, and the others say that they are not.
//! A file is known by its number, its time and its length, which a read asks for first, as there is no conditional read.
//! <https://hadoop.apache.org/docs/stable/hadoop-project-dist/hadoop-hdfs/WebHDFS.html>

use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use handoff::SafePath;
use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use self::answer::{FileStatus, Kind, RemoteException};
use super::http::chunks;
use super::{Body, ByteRange, Identity, Listing, RemoteFile, Store, StoreError};
use crate::connection::Connection;
use crate::credentials::HdfsAccess;
use crate::http::{classify, join, read_bounded};
use crate::limits::Limits;
use crate::redact::Redacted;
use crate::uri::hdfs::HdfsUri;
use crate::verify::content_digest::ContentDigest;

pub(crate) mod answer;

/// A folder of HDFS, or a file as long as it is only listed.
pub struct HdfsStore {
    access: HdfsAccess,
    /// The folder, from the root of the file system, without slashes at its ends.
    folder: String,
    client: reqwest::Client,
}

impl HdfsStore {
    /// The folder, with the settings of the environment.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the settings are wrong.
    pub fn new(uri: &HdfsUri, connection: &Connection) -> Result<Self, StoreError> {
        let access = connection.hdfs.open(uri.name_node.as_ref())?;
        let root = if uri.is_relative { access.root.as_str() } else { "" };
        let folder = [root, uri.path.as_str()].join("/").trim_matches('/').to_owned();
        let client = client(&access, connection)?;
        Ok(Self { access, folder, client })
    }

    /// A path from the root, for people.
    fn shown(&self, path: &str) -> String {
        format!("hdfs:///{}", below(&self.folder, path))
    }

    /// Asks the NameNode that is active. What it answers may be where to go on.
    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Result<(Response, &Url), StoreError> {
        let name_nodes = &self.access.name_nodes;
        let first = self.access.active.load(Ordering::Relaxed);
        let mut failed = None;
        for number in (first..).take(name_nodes.len()) {
            let Some(name_node) = name_nodes.get(number % name_nodes.len()) else { break };
            match self.ask_one(name_node, path, query).await {
                Ok(response) => {
                    self.access.active.store(number % name_nodes.len(), Ordering::Relaxed);
                    return Ok((response, name_node));
                }
                // The next one may be active.
                Err(error @ StoreError::Unavailable { .. }) => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        let what = self.shown(path);
        Err(failed.unwrap_or(StoreError::Refused { what, reason: "no NameNode is named".into() }))
    }

    async fn ask_one(
        &self,
        name_node: &Url,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Response, StoreError> {
        let path = below(&self.folder, path);
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let mut url = join(name_node, ["webhdfs", "v1"].into_iter().chain(segments));
        let identity = self.access.identity.iter().map(|(name, value)| (*name, value.as_str()));
        url.query_pairs_mut().extend_pairs(query.iter().copied().chain(identity));
        self.send(&url, name_node).await
    }

    /// Sends a request, with headers to the NameNode's host only.
    async fn send(&self, url: &Url, name_node: &Url) -> Result<Response, StoreError> {
        let request = self.client.get(url.clone());
        let request = match url.origin() == name_node.origin() {
            true => request.headers(self.access.headers.clone()),
            false => request,
        };
        let what = || Redacted(url).to_string();
        let response = request.send().await;
        let response = response.map_err(|error| StoreError::transport(what(), error.without_url()))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::TEMPORARY_REDIRECT {
            return Ok(response);
        }
        let headers = response.headers().clone();
        let said = read_bounded(response, url, Limits::DEFAULT.document_bytes).await.unwrap_or_default();
        Err(match RemoteException::read(&said) {
            Some(exception) => exception.classed(what(), status, &headers),
            None => classify(what(), status, &headers),
        })
    }

    /// Asks for what a DataNode has, which the NameNode names.
    async fn ask_data_node(&self, path: &str, query: &[(&str, &str)]) -> Result<Response, StoreError> {
        let (response, name_node) = self.ask(path, query).await?;
        if response.status() != StatusCode::TEMPORARY_REDIRECT {
            // A gateway hands out the bytes itself.
            return Ok(response);
        }
        let next = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let next = next.and_then(|location| response.url().join(location).ok());
        let Some(next) = next.filter(|url| matches!(url.scheme(), "http" | "https")) else {
            let reason = "it sends on to no address of a DataNode".to_owned();
            return Err(StoreError::Malformed { what: self.shown(path), reason });
        };
        let response = self.send(&next, name_node).await?;
        match response.status() {
            StatusCode::TEMPORARY_REDIRECT => {
                let reason = "its DataNode sends on to another one".to_owned();
                Err(StoreError::Malformed { what: self.shown(path), reason })
            }
            _ => Ok(response),
        }
    }

    async fn document<T: DeserializeOwned>(&self, response: Response, path: &str) -> Result<T, StoreError> {
        let url = response.url().clone();
        let body = read_bounded(response, &url, Limits::DEFAULT.document_bytes).await?;
        answer::read(&body, &self.shown(path))
    }

    async fn status(&self, path: &str) -> Result<FileStatus, StoreError> {
        let (response, _) = self.ask(path, &[("op", "GETFILESTATUS")]).await?;
        self.document::<answer::Status>(response, path).await.map(|answer| answer.file_status)
    }

    async fn folder(&self, path: &str) -> Result<Vec<FileStatus>, StoreError> {
        let (response, _) = self.ask(path, &[("op", "LISTSTATUS")]).await?;
        self.document::<answer::Folder>(response, path).await.map(answer::Folder::files)
    }

    /// The file, if it is the one that was listed.
    async fn still(&self, path: &SafePath, identity: &Identity) -> Result<FileStatus, StoreError> {
        let status = self.status(path.as_str()).await?;
        match status.identity() == *identity {
            true => Ok(status),
            false => Err(StoreError::Changed { what: self.shown(path.as_str()) }),
        }
    }

    async fn list_all(&self) -> Result<Vec<RemoteFile>, StoreError> {
        let too_large =
            |limit| StoreError::TooLarge { what: format!("the listing of {}", self.shown("")), limit };
        let mut files = Vec::new();
        let mut folders = vec![String::new()];
        let mut folders_seen = 0;
        while let Some(folder) = folders.pop() {
            folders_seen += 1;
            for status in self.folder(&folder).await? {
                let path = below(&folder, &status.path_suffix);
                match status.kind {
                    Kind::Directory => folders.push(path),
                    Kind::File => files.push(status.named(&path, &self.shown(&path))?),
                    Kind::Symlink => {
                        let reason = "it is a symbolic link, expected a file or a folder".to_owned();
                        return Err(StoreError::Refused { what: self.shown(&path), reason });
                    }
                }
            }
            if files.len() > Limits::DEFAULT.files {
                return Err(too_large(Limits::DEFAULT.files));
            }
            // Those that are still to be asked for count as well, or they could be without end.
            if folders_seen + folders.len() > Limits::DEFAULT.folders {
                return Err(too_large(Limits::DEFAULT.folders));
            }
        }
        Ok(files)
    }

    /// Whether a file's blocks are all of one size but for the last, as a checksum over them takes for granted. Only the
    /// NameNode knows, and an older one does not tell.
    async fn is_evenly_cut(&self, path: &str, status: &FileStatus) -> Result<bool, StoreError> {
        if status.length <= status.block_size {
            return Ok(true);
        }
        match self.ask(path, &[("op", "GETFILEBLOCKLOCATIONS")]).await {
            Ok((response, _)) => {
                let blocks = self.document::<answer::Blocks>(response, path).await?;
                Ok(blocks.are_even(status.length))
            }
            Err(StoreError::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A client that trusts whom the cluster's settings name as well, and shows their certificate.
fn client(access: &HdfsAccess, connection: &Connection) -> Result<reqwest::Client, StoreError> {
    if access.authorities.is_empty() && access.certificate.is_none() {
        return Ok(connection.signing_client.clone());
    }
    let refused = |error: &dyn std::error::Error| StoreError::Refused {
        what: "hdfs://".to_owned(),
        reason: format!("its certificates cannot be used: {error}"),
    };
    let mut roots = rustls::RootCertStore::clone(&connection.roots);
    for certificate in &access.authorities {
        roots.add(certificate.clone()).map_err(|error| refused(&error))?;
    }
    let tls = crate::http::checked_against(roots).map_err(|error| refused(&error))?;
    let tls = match &access.certificate {
        None => tls.with_no_client_auth(),
        Some((certificates, key)) => {
            let tls = tls.with_client_auth_cert(certificates.clone(), key.clone_key());
            tls.map_err(|error| refused(&error))?
        }
    };
    crate::http::client(tls, connection.stall, Policy::none()).map_err(|error| refused(&error))
}

/// A path below a folder; both may be empty.
fn below(folder: &str, path: &str) -> String {
    [folder, path].join("/").trim_matches('/').to_owned()
}

impl Store for HdfsStore {
    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        async move {
            let status = self.status("").await?;
            if status.kind == Kind::Directory {
                return self.list_all().await.map(Listing::Folder);
            }
            let name = self.folder.rsplit_once('/').map_or(self.folder.as_str(), |(_, name)| name);
            status.named(name, &self.shown("")).map(Listing::Single)
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
            let status = match identity {
                Some(identity) => Some(self.still(path, identity).await?),
                None => None,
            };
            let offset = range.start.to_string();
            let length = range.end.map(|end| end.saturating_sub(range.start).to_string());
            let length = length.as_deref().map(|length| ("length", length));
            let query: Vec<_> = [("op", "OPEN"), ("offset", &offset)].into_iter().chain(length).collect();
            let response = self.ask_data_node(path.as_str(), &query).await?;
            let ends_at = response.content_length().map(|length| range.start.saturating_add(length));
            Ok(Body {
                starts_at: range.start,
                identity: identity.cloned(),
                size: status.map(|status| status.length),
                ends_at,
                chunks: chunks(response, self.shown(path.as_str())),
            })
        }
        .boxed()
    }

    fn checksum<'a>(
        &'a self,
        path: &'a SafePath,
        identity: Option<&'a Identity>,
    ) -> BoxFuture<'a, Result<Option<ContentDigest>, StoreError>> {
        async move {
            let status = match identity {
                Some(identity) => self.still(path, identity).await?,
                None => self.status(path.as_str()).await?,
            };
            if !status.has_checksum_of_content() || !self.is_evenly_cut(path.as_str(), &status).await? {
                return Ok(None);
            }
            let response = match self.ask_data_node(path.as_str(), &[("op", "GETFILECHECKSUM")]).await {
                // Not every gateway knows the question.
                Err(StoreError::Refused { .. }) => return Ok(None),
                response => response?,
            };
            let answer: answer::Checksum = self.document(response, path.as_str()).await?;
            Ok(answer.file_checksum.digest())
        }
        .boxed()
    }
}
