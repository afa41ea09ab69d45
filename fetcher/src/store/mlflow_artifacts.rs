//! Files behind an MLflow server (`mlflow-artifacts:` URIs).
//!
//! The server lists one folder at a time and gives each file's size. Where it says so in its `server-info`, it signs
//! addresses in the store behind it: a file is then read from there, in ranges, pinned by the ETag that the store gave
//! when the files were listed. Otherwise the server hands the bytes out itself, as one stream without a length or
//! ranges; a remote store behind it is first copied to its own disk. A broken read starts again from the first byte
//! then, and the size of the listing tells whether all came.
//!
//! Endpoints: `GET /api/2.0/mlflow-artifacts/artifacts?path=…` and `…/artifacts/<path>`, MLflow 1.24 and later;
//! `…/presigned/<path>` and `GET /api/3.0/mlflow/server-info`, MLflow 3.

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use handoff::SafePath;
use handoff::text::{self, shown};
use serde::Deserialize;
use tokio::sync::OnceCell;
use url::Url;

use super::presigned::{Addresses, Presigned, is_not_offered};
use super::{Body, ByteRange, Identity, Listing, RemoteFile, Store, StoreError};
use crate::connection::Connection;
use crate::credentials::MlflowCredentials;
use crate::http::{join, read_bounded, send};
use crate::limits::Limits;
use crate::redact::Redacted;

/// How many files are asked for their ETag at the same time.
const ASKED_AT_ONCE: usize = 8;

/// A folder, or a file as long as it is only listed, behind a server.
pub struct MlflowArtifacts {
    server: Url,
    /// The proxy's endpoint: `<server>/api/2.0/mlflow-artifacts/artifacts`.
    endpoint: Url,
    /// The folder below it, without slashes at its ends.
    folder: String,
    client: reqwest::Client,
    credentials: MlflowCredentials,
    /// For signed addresses: without credentials, and without following redirects.
    store_client: reqwest::Client,
    /// Whether the server signs addresses, once it was asked.
    signs: OnceCell<bool>,
    addresses: Addresses,
}

/// What the server says that it can do.
#[derive(Deserialize)]
struct ServerInfo {
    #[serde(default)]
    multipart_downloads_enabled: bool,
}

/// A folder or a file, by its path below our own folder.
pub(crate) enum Found {
    Folder(SafePath),
    File { path: SafePath, size: Option<u64> },
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    files: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    path: String,
    #[serde(default)]
    is_dir: bool,
    // The server writes 64-bit numbers as strings in some versions.
    #[serde(default, deserialize_with = "number_or_text")]
    file_size: Option<u64>,
}

fn number_or_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }
    match Option::<Either>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Either::Number(number)) => Ok(Some(number)),
        Some(Either::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

impl MlflowArtifacts {
    /// The folder `path` of the artifact proxy of `server`.
    pub fn new(server: &Url, path: &str, connection: &Connection) -> Self {
        Self {
            server: server.clone(),
            endpoint: join(server, ["api", "2.0", "mlflow-artifacts", "artifacts"]),
            folder: path.to_owned(),
            client: connection.mlflow_client.clone(),
            credentials: connection.mlflow.clone(),
            store_client: connection.signing_client.clone(),
            signs: OnceCell::new(),
            addresses: Addresses::default(),
        }
    }

    /// The same for a server that is not to know who asks.
    pub fn as_nobody(self, connection: &Connection) -> Self {
        Self { client: connection.client.clone(), credentials: MlflowCredentials::default(), ..self }
    }

    /// What the server answers to a question.
    async fn ask(&self, url: &Url) -> Result<Vec<u8>, StoreError> {
        let response = send(self.credentials.apply(self.client.get(url.clone())), url, &[]).await?;
        read_bounded(response, url, Limits::DEFAULT.document_bytes).await
    }

    /// Whether the server signs addresses.
    async fn signs(&self) -> Result<bool, StoreError> {
        let ask = || async {
            let url = join(&self.server, ["api", "3.0", "mlflow", "server-info"]);
            match self.ask(&url).await {
                // Of an answer in other words nothing is taken.
                Ok(answer) => Ok(serde_json::from_slice::<ServerInfo>(&answer)
                    .is_ok_and(|info| info.multipart_downloads_enabled)),
                // An older server, or something in front of it that lets only the rest through.
                Err(error) if is_not_offered(&error) => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.signs.get_or_try_init(ask).await.copied()
    }

    /// The path of a file in URLs.
    fn segments<'a>(&'a self, path: &'a SafePath) -> impl Iterator<Item = &'a str> {
        self.folder.split('/').filter(|segment| !segment.is_empty()).chain(path.as_str().split('/'))
    }

    /// An address in the store that is good for a while.
    async fn address(&self, path: &SafePath) -> Result<Presigned, StoreError> {
        if let Some(known) = self.addresses.get(path) {
            return Ok(known);
        }
        let endpoint = ["api", "2.0", "mlflow-artifacts", "presigned"];
        let url = join(&self.server, endpoint.into_iter().chain(self.segments(path)));
        let address = Presigned::read(&self.ask(&url).await?)
            .map_err(|reason| StoreError::Malformed { what: Redacted(&url).to_string(), reason })?;
        self.addresses.keep(path, &address);
        Ok(address)
    }

    /// Reads from the store. An address that it refuses may be over, so there is another one, once.
    async fn read_signed(
        &self,
        path: &SafePath,
        identity: Option<&Identity>,
        range: ByteRange,
    ) -> Result<Body, StoreError> {
        let address = self.address(path).await?;
        let read = |address: Presigned| async move {
            super::http::get(address.request(&self.store_client), &address.url, identity, range).await
        };
        match read(address).await {
            Err(StoreError::Denied { .. }) => {
                self.addresses.forget(path);
                read(self.address(path).await?).await
            }
            other => other,
        }
    }

    /// Which content a file has. Its address is signed for `GET` alone, so its first byte is asked for.
    async fn identified(&self, mut file: RemoteFile) -> Result<RemoteFile, StoreError> {
        if file.size != Some(0) {
            // The server leaves out the size of an empty file, which has no first byte.
            let first = file.size.map_or(ByteRange::WHOLE, |_| ByteRange { start: 0, end: Some(1) });
            let body = self.read_signed(&file.path, None, first).await?;
            (file.identity, file.size) = (body.identity, body.size.or(file.size));
        }
        Ok(file)
    }

    /// Every file below the folder.
    async fn list_all(&self) -> Result<Vec<RemoteFile>, StoreError> {
        let too_large =
            |limit| StoreError::TooLarge { what: format!("the listing of {}", self.folder), limit };
        let mut files = Vec::new();
        let mut folders = vec![String::new()];
        let mut folders_seen = 0;
        while let Some(folder) = folders.pop() {
            folders_seen += 1;
            let asked = [self.folder.as_str(), &folder].join("/");
            for found in self.list_folder(asked.trim_matches('/'), &folder).await? {
                match found {
                    Found::Folder(path) => folders.push(path.as_str().to_owned()),
                    Found::File { path, size } => {
                        files.push(RemoteFile { path, size, identity: None, checksum: None });
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
        }
        Ok(files)
    }

    /// The file that is where a folder was looked for, which a listing of it does not tell from an empty folder.
    async fn list_single(&self) -> Result<Option<(Self, RemoteFile)>, StoreError> {
        let (folder, name) = self.folder.rsplit_once('/').unwrap_or(("", &self.folder));
        let beside = match self.list_folder(folder, "").await {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            other => other?,
        };
        let file = beside.into_iter().find_map(|found| match found {
            Found::File { path, size } if path.as_str() == name => {
                Some(RemoteFile { path, size, identity: None, checksum: None })
            }
            _ => None,
        });
        Ok(file.map(|file| (self.at(folder), file)))
    }

    /// The same server at another folder.
    fn at(&self, folder: &str) -> Self {
        Self {
            server: self.server.clone(),
            endpoint: self.endpoint.clone(),
            folder: folder.to_owned(),
            client: self.client.clone(),
            credentials: self.credentials.clone(),
            store_client: self.store_client.clone(),
            signs: self.signs.clone(),
            addresses: Addresses::default(),
        }
    }

    /// Asks for what is in the folder `asked`, which is `folder` below our own.
    async fn list_folder(&self, asked: &str, folder: &str) -> Result<Vec<Found>, StoreError> {
        let mut url = self.endpoint.clone();
        url.query_pairs_mut().append_pair("path", asked);
        let answer = self.ask(&url).await?;
        found(&answer, folder).map_err(|reason| StoreError::Malformed {
            what: format!("{}?path={}", Redacted(&self.endpoint), text::cut(asked, 80)),
            reason,
        })
    }
}

/// What an answer says is in `folder`, which is empty for our own.
pub(crate) fn found(answer: &[u8], folder: &str) -> Result<Vec<Found>, String> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|error| shown(&error.to_string()))?;
    let found = |entry: Entry| {
        let path = if folder.is_empty() { entry.path } else { format!("{folder}/{}", entry.path) };
        let path: SafePath = path.parse().map_err(|error: handoff::path::PathError| error.to_string())?;
        Ok(if entry.is_dir { Found::Folder(path) } else { Found::File { path, size: entry.file_size } })
    };
    answer.files.into_iter().map(found).collect()
}

impl Store for MlflowArtifacts {
    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        async move {
            let files = self.list_all().await?;
            if files.is_empty()
                && !self.folder.is_empty()
                && let Some((folder, file)) = self.list_single().await?
            {
                let file = if folder.signs().await? { folder.identified(file).await? } else { file };
                return Ok(Listing::Single(file));
            }
            if !self.signs().await? {
                return Ok(Listing::Folder(files));
            }
            let each = stream::iter(files.into_iter().map(|file| self.identified(file)));
            let files = each.buffered(ASKED_AT_ONCE).try_collect().await?;
            Ok(Listing::Folder(files))
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
            // Only the store behind it knows one.
            if identity.is_some() || self.signs().await? {
                return self.read_signed(path, identity, range).await;
            }
            let url = join(&self.endpoint, self.segments(path));
            let request = self.credentials.apply(self.client.get(url.clone()));
            super::http::get(request, &url, None, ByteRange::WHOLE).await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_come_as_numbers_or_as_text() {
        let listing = r#"{"files":[{"path":"a","is_dir":false,"file_size":3},{"path":"b","file_size":"4"},
            {"path":"d","is_dir":true}]}"#;
        let sizes: Vec<_> = serde_json::from_str::<Answer>(listing)
            .unwrap()
            .files
            .iter()
            .map(|file| file.file_size)
            .collect();
        assert_eq!(sizes, [Some(3), Some(4), None]);
        assert!(serde_json::from_str::<Answer>("{}").unwrap().files.is_empty());
    }
}
