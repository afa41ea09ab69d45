//! Files of one commit of a repository of the Hugging Face Hub.
//!
//! The hub gives small files itself and sends to a content network for large ones, without the token, since that is
//! another host. A commit never changes, and the resolver knows every file's digest, so that nothing else has to tell one
//! content from another. The hub itself says of which commit a file is; a mirror that takes another is told by that at
//! once. Endpoint: `GET /<repository>/resolve/<commit>/<path>`.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use handoff::SafePath;
use reqwest::header::HeaderMap;
use url::Url;

use super::{Body, ByteRange, Identity, Listing, Store, StoreError};
use crate::connection::Connection;
use crate::http::join;

/// Says of which commit a file is.
const COMMIT: &str = "x-repo-commit";

/// A commit.
pub struct HuggingFaceStore {
    root: Url,
    commit: String,
    shown: String,
    client: reqwest::Client,
    token: Option<String>,
}

impl HuggingFaceStore {
    /// The commit of a repository.
    pub fn new(hub: &Url, repository: &str, commit: &str, connection: &Connection) -> Self {
        Self {
            root: join(hub, repository.split('/').chain(["resolve", commit])),
            commit: commit.to_owned(),
            shown: format!("hf://{repository}"),
            client: connection.client.clone(),
            token: connection.hugging_face.clone(),
        }
    }
}

/// The hub shows everybody which files a gated model has, and refuses the files.
fn gated(error: StoreError) -> StoreError {
    match error {
        StoreError::Denied { what, status } => {
            let status =
                format!("{status}; a gated model needs its licence accepted, and HF_TOKEN of who did");
            StoreError::Denied { what, status }
        }
        other => other,
    }
}

impl Store for HuggingFaceStore {
    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        let reason = "its files are named by the hub's tree".to_owned();
        std::future::ready(Err(StoreError::Refused { what: self.shown.clone(), reason })).boxed()
    }

    fn read<'a>(
        &'a self,
        path: &'a SafePath,
        _identity: Option<&'a Identity>,
        range: ByteRange,
    ) -> BoxFuture<'a, Result<Body, StoreError>> {
        let url = join(&self.root, path.as_str().split('/'));
        async move {
            let mut request = self.client.get(url.clone());
            if let Some(token) = &self.token {
                request = request.bearer_auth(token);
            }
            let is_of_it = |headers: &HeaderMap| match headers.get(COMMIT) {
                Some(got) if got != self.commit.as_str() => {
                    Err(format!("expected a file of the commit {}, got one of {got:?}", self.commit))
                }
                _ => Ok(()),
            };
            let body = super::http::get_if(request, &url, None, range, is_of_it).await.map_err(gated)?;
            // Whichever host answers may have an ETag of its own.
            Ok(Body { identity: None, ..body })
        }
        .boxed()
    }
}
