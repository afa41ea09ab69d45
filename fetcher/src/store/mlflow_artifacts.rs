//! Files behind an MLflow server's artifact proxy (`mlflow-artifacts:` URIs).
//!
//! The proxy lists one folder at a time and gives each file's size. It serves no ranges, and a remote store
//! behind it is first copied to the server's own disk, so a broken read starts again from the first byte.
//! Endpoints: `GET /api/2.0/mlflow-artifacts/artifacts?path=…` and `…/artifacts/<path>`, MLflow 1.24 and later.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use handoff::SafePath;
use handoff::text::{self, shown};
use serde::Deserialize;
use url::Url;

use super::{Body, ByteRange, Identity, Listing, RemoteFile, Store, StoreError};
use crate::connection::Connection;
use crate::credentials::MlflowCredentials;
use crate::http::{join, read_bounded, send};
use crate::limits::Limits;
use crate::redact::Redacted;

/// A folder of the artifact proxy.
pub struct MlflowArtifacts {
    /// The proxy's endpoint: `<server>/api/2.0/mlflow-artifacts/artifacts`.
    endpoint: Url,
    /// The folder below it, without slashes at its ends.
    folder: String,
    client: reqwest::Client,
    credentials: MlflowCredentials,
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
            endpoint: join(server, ["api", "2.0", "mlflow-artifacts", "artifacts"]),
            folder: path.to_owned(),
            client: connection.client.clone(),
            credentials: connection.mlflow.clone(),
        }
    }

    /// Asks for what is in the folder `asked`, which is `folder` below our own.
    async fn list_folder(&self, asked: &str, folder: &str) -> Result<Vec<Found>, StoreError> {
        let mut url = self.endpoint.clone();
        url.query_pairs_mut().append_pair("path", asked);
        let response = send(self.credentials.apply(self.client.get(url.clone())), &url, &[]).await?;
        let answer = read_bounded(response, &url, Limits::DEFAULT.document_bytes).await?;
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
            Ok(Listing::Folder(files))
        }
        .boxed()
    }

    fn read<'a>(
        &'a self,
        path: &'a SafePath,
        _identity: Option<&'a Identity>,
        _range: ByteRange,
    ) -> BoxFuture<'a, Result<Body, StoreError>> {
        let folder = self.folder.split('/').filter(|segment| !segment.is_empty());
        let url = join(&self.endpoint, folder.chain(path.as_str().split('/')));
        async move {
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
