//! Questions to an MLflow tracking server, and what its refusals mean.

use handoff::text::shown;
use reqwest::{RequestBuilder, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::connection::Connection;
use crate::http::{classify, join, read_bounded, send};
use crate::limits::Limits;
use crate::redact::Redacted;
use crate::resolve::ResolveError;
use crate::retry::{Budget, Failed};
use crate::scrub::scrub;
use crate::store::{self, StoreError};
use crate::uri::{RegistryUri, StoreUri};

/// A tracking server.
pub(super) struct Client<'a> {
    pub(super) server: &'a Url,
    connection: &'a Connection,
    budget: &'a Budget,
    /// Its address in messages.
    pub(super) shown: String,
}

impl<'a> Client<'a> {
    pub(super) fn new(server: &'a Url, connection: &'a Connection, budget: &'a Budget) -> Self {
        Self { server, connection, budget, shown: RegistryUri::Mlflow(server.clone()).to_string() }
    }

    /// Whether there are files at a place. What cannot be listed holds none that could be fetched.
    pub(super) async fn holds_files(&self, uri: &StoreUri) -> bool {
        let Ok(store) = store::open(uri, self.connection) else { return false };
        let listing = self.budget.run(|| store.list()).await;
        listing.is_ok_and(|listing| !listing.files().is_empty())
    }

    /// The error for a question that was not answered.
    pub(super) fn asking(&self) -> impl Fn(Failed) -> ResolveError + '_ {
        |source| ResolveError::Registry { registry: self.shown.clone(), source }
    }

    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Failed> {
        let mut url = self.endpoint(endpoint);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.budget.run(|| self.once(self.connection.mlflow_client.get(url.clone()), &url)).await
    }

    /// Asks a question that is too long for a query.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        question: &serde_json::Value,
    ) -> Result<T, Failed> {
        let url = self.endpoint(endpoint);
        let request = || {
            let request = self.connection.mlflow_client.post(url.clone());
            request.header(reqwest::header::CONTENT_TYPE, "application/json").body(question.to_string())
        };
        self.budget.run(|| self.once(request(), &url)).await
    }

    fn endpoint(&self, endpoint: &str) -> Url {
        join(self.server, ["api", "2.0", "mlflow"].into_iter().chain(endpoint.split('/')))
    }

    async fn once<T: DeserializeOwned>(&self, request: RequestBuilder, url: &Url) -> Result<T, StoreError> {
        let request = self.connection.mlflow.apply(request);
        // MLflow answers 400 with an error code where others answer 404.
        let said = [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR];
        let response = send(request, url, &said).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_bounded(response, url, Limits::DEFAULT.document_bytes).await?;
        let what = || Redacted(url).to_string();
        if status.is_success() {
            return read(what(), &body);
        }
        // What a server does not have, such as workspaces, is not there at the next attempt either.
        if status.is_server_error() && error_answer(&body).error_code != "FEATURE_DISABLED" {
            return Err(classify(what(), status, &headers));
        }
        Err(refusal(what(), status, &body))
    }
}

pub(crate) fn read<T: DeserializeOwned>(what: String, body: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(body)
        .map_err(|error| StoreError::Malformed { what, reason: shown(&error.to_string()) })
}

#[derive(Default, Deserialize)]
struct ErrorAnswer {
    #[serde(default)]
    error_code: String,
    #[serde(default)]
    message: String,
}

fn error_answer(body: &[u8]) -> ErrorAnswer {
    serde_json::from_slice(body).unwrap_or_default()
}

/// What a 400 or 404 means. A 404 that MLflow itself did not write comes from something else at that address.
pub(crate) fn refusal(what: String, status: StatusCode, body: &[u8]) -> StoreError {
    let answer = error_answer(body);
    match answer.error_code.as_str() {
        "RESOURCE_DOES_NOT_EXIST" | "NOT_FOUND" => StoreError::NotFound { what },
        // An alias that does not exist is an invalid parameter in MLflow's words.
        "INVALID_PARAMETER_VALUE" if answer.message.contains("alias") => StoreError::NotFound { what },
        "" => StoreError::Refused { what, reason: format!("{status}, and not in MLflow's words") },
        code => {
            // Before it is cut, or a part of a secret would not be known for one.
            let message: String = scrub(&answer.message).chars().take(200).collect();
            StoreError::Refused {
                what,
                reason: format!("{} ({})", message.escape_debug(), code.escape_debug()),
            }
        }
    }
}

/// A text in quotes for MLflow's filter language, which has no escapes.
pub(super) fn quote(text: &str) -> Option<String> {
    ['\'', '"'].into_iter().find(|mark| !text.contains(*mark)).map(|mark| format!("{mark}{text}{mark}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read_by_their_code() {
        let read = |body: &str| refusal("x".into(), StatusCode::BAD_REQUEST, body.as_bytes());
        let missing =
            r#"{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"Registered Model with name=x not found"}"#;
        assert!(matches!(read(missing), StoreError::NotFound { .. }));
        let alias =
            r#"{"error_code":"INVALID_PARAMETER_VALUE","message":"Registered model alias b not found."}"#;
        assert!(matches!(read(alias), StoreError::NotFound { .. }));
        let other = r#"{"error_code":"INVALID_PARAMETER_VALUE","message":"bad filter"}"#;
        assert!(matches!(read(other), StoreError::Refused { .. }));
        assert!(read("<html>").to_string().contains("not in MLflow's words"));
    }

    #[test]
    fn names_are_quoted_or_not_at_all() {
        assert_eq!(quote("a").as_deref(), Some("'a'"));
        assert_eq!(quote("it's").as_deref(), Some("\"it's\""));
        assert_eq!(quote("'\""), None);
    }
}
