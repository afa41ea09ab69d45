//! What the stores of the `object_store` crate share.
//!
//! That crate's retries are switched off, and its HTTP is ours: one connector classes every status that the crate
//! does not give a meaning to, so that an error of a cloud reads like any other and there is one retry budget.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

use super::s3::pages;
use super::{RemoteFile, StoreError};
use crate::chain::causes;

/// Leaves out empty objects that stand where other objects have a folder.
pub(super) fn without_folder_markers(files: Vec<RemoteFile>) -> Vec<RemoteFile> {
    let folders: std::collections::BTreeSet<String> =
        files.iter().flat_map(|file| file.path.ancestors().map(str::to_owned)).collect();
    files.into_iter().filter(|file| file.size != Some(0) || !folders.contains(file.path.as_str())).collect()
}

/// Gives the process's own HTTP client to `object_store`.
#[derive(Debug)]
pub(super) struct Connector(pub(super) reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Service(self.0.clone(), pages::Pages::default())))
    }
}

#[derive(Debug)]
struct Service(reqwest::Client, pages::Pages);

impl HttpService for Service {
    fn call<'life, 'async_trait>(
        &'life self,
        request: HttpRequest,
    ) -> BoxFuture<'async_trait, Result<HttpResponse, HttpError>>
    where
        'life: 'async_trait,
        Self: 'async_trait,
    {
        async move {
            let response = match pages::is_asked_for(&request) {
                true => self.1.ask(&self.0, request).await?,
                false => {
                    let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
                    let unreached =
                        |source: HttpError| HttpError::new(source.kind(), Unreached { host, source });
                    self.0.call(request).await.map_err(unreached)?
                }
            };
            let failure = match response.status() {
                status if status.is_success() => return Ok(response),
                // The object has become shorter than it was listed or described.
                reqwest::StatusCode::RANGE_NOT_SATISFIABLE => StoreError::Changed { what: String::new() },
                status => crate::http::classify(String::new(), status, response.headers()),
            };
            Err(HttpError::new(HttpErrorKind::Unknown, failure))
        }
        .boxed()
    }
}

/// An address that did not answer. The errors of others do not name it, or name all of the URL.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach {host}")]
struct Unreached {
    host: String,
    source: HttpError,
}

/// Gives a failure of `object_store` its class, looking through its layers for what our connector said.
pub(super) fn classify(what: String, error: &object_store::Error) -> StoreError {
    let mut layers = causes(error);
    if let Some(ours) = layers.clone().find_map(|layer| layer.downcast_ref::<StoreError>()) {
        return ours.renamed(what);
    }
    if let Some(untrusted) = StoreError::untrusted(&what, error) {
        return untrusted;
    }
    let unreached = layers.clone().find_map(|layer| layer.downcast_ref::<Unreached>());
    let reason = match unreached {
        Some(unreached) => format!("{unreached}: {}", deepest(error)),
        None => deepest(error),
    };
    match layers.any(<dyn std::error::Error>::is::<HttpError>) {
        true => StoreError::Unavailable { what, reason, retry_after: None, source: None },
        false => StoreError::Refused { what, reason },
    }
}

/// The innermost message of an error: the outer ones repeat it, with URLs.
pub(super) fn deepest(error: &object_store::Error) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string).chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64) -> RemoteFile {
        RemoteFile { path: path.parse().unwrap(), size: Some(size), identity: None, checksum: None }
    }

    #[test]
    fn folder_markers_are_left_out_and_empty_files_are_not() {
        let listed = vec![file("data", 0), file("data/a.bin", 1), file("data/__init__.py", 0), file("x", 0)];
        let kept: Vec<_> = without_folder_markers(listed).into_iter().map(|f| f.path.to_string()).collect();
        assert_eq!(kept, ["data/a.bin", "data/__init__.py", "x"]);
    }
}
