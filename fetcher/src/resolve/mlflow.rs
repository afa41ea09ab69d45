//! Resolves in an MLflow tracking server.
//!
//! A version is looked for, in this order, as a number, as an alias and as the value of a version tag
//! `version`; a reference that begins with `@` only as an alias. The answer's own `get-download-uri` says where
//! the bytes are. MLflow keeps no digests; who publishes can, in the version tags `digest` and `sha256sums`. Endpoints: MLflow's REST API 2.0, below `/api/2.0/mlflow`.

use handoff::SafePath;
use handoff::text::{is_harmful, shown};
use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::{DIGEST, Location, ResolveError, SUMS, found};
use crate::connection::Connection;
use crate::http::{join, read_bounded, send};
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::name::{ModelName, VersionName, VersionRef};
use crate::redact::Redacted;
use crate::retry::{Budget, Failed};
use crate::scrub::scrub;
use crate::store::StoreError;
use crate::uri::{RegistryUri, StoreUri, UriError, local};

/// Tag by whose value a version may be named.
const TAG: &str = "version";

pub(super) struct Registry<'a> {
    server: &'a Url,
    connection: &'a Connection,
    budget: &'a Budget,
    shown: String,
}

#[derive(Deserialize)]
pub(crate) struct VersionAnswer {
    pub(crate) model_version: ModelVersion,
}

#[derive(Deserialize)]
pub(crate) struct SearchAnswer {
    #[serde(default)]
    pub(crate) model_versions: Vec<ModelVersion>,
    #[serde(default)]
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct ModelVersion {
    version: String,
    /// `READY`, `PENDING_REGISTRATION` or `FAILED_REGISTRATION`; absent means ready.
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
pub(crate) struct UriAnswer {
    pub(crate) artifact_uri: String,
}

impl<'a> Registry<'a> {
    pub(super) fn new(server: &'a Url, connection: &'a Connection, budget: &'a Budget) -> Self {
        Self { server, connection, budget, shown: RegistryUri::Mlflow(server.clone()).to_string() }
    }

    pub(super) async fn resolve(
        &self,
        name: &ModelName,
        version: &VersionRef,
    ) -> Result<Location, ResolveError> {
        let found = match version {
            VersionRef::Alias(alias) => self.by_alias(name, alias).await?,
            VersionRef::Named(version) => self.by_any_name(name, version).await?,
        };
        let Some(found) = found else { return Err(self.unknown(name, version).await?) };
        // It gets into messages, the receipt and the next question.
        if let Err(error) = found.version.parse::<VersionName>() {
            let what = format!("a version of `{name}` in {}", self.shown);
            return Err(ResolveError::BadDescriptor { what, reason: error.to_string() });
        }
        if let Some(status) = found.status.as_deref().filter(|status| *status != "READY") {
            let (name, registry, status) = (name.clone(), self.shown.clone(), shown(status));
            return Err(ResolveError::NotReady { name, version: found.version, registry, status });
        }
        let query = [("name", name.as_str()), ("version", &found.version)];
        let answer: UriAnswer =
            self.ask("model-versions/get-download-uri", &query).await.map_err(self.asking())?;
        let uri = location(&answer.artifact_uri, self.server).map_err(|source| {
            ResolveError::BadLocation { name: name.clone(), registry: self.shown.clone(), source }
        })?;
        let manifest = vouched(&found).map_err(|reason| ResolveError::BadDescriptor {
            what: format!("a tag of version {} of `{name}` in {}", found.version, self.shown),
            reason,
        })?;
        Ok(Location { version: found.version, uri, manifest })
    }

    async fn by_any_name(
        &self,
        name: &ModelName,
        version: &VersionName,
    ) -> Result<Option<ModelVersion>, ResolveError> {
        if version.as_str().bytes().all(|byte| byte.is_ascii_digit()) {
            let query = [("name", name.as_str()), ("version", version.as_str())];
            let answer = found(self.ask::<VersionAnswer>("model-versions/get", &query).await);
            if let Some(answer) = answer.map_err(self.asking())? {
                return Ok(Some(answer.model_version));
            }
        }
        match self.by_alias(name, version).await? {
            None => self.by_tag(name, version).await,
            by_alias => Ok(by_alias),
        }
    }

    async fn by_alias(
        &self,
        name: &ModelName,
        alias: &VersionName,
    ) -> Result<Option<ModelVersion>, ResolveError> {
        let query = [("name", name.as_str()), ("alias", alias.as_str())];
        let answer = found(self.ask::<VersionAnswer>("registered-models/alias", &query).await);
        Ok(answer.map_err(self.asking())?.map(|answer| answer.model_version))
    }

    async fn by_tag(
        &self,
        name: &ModelName,
        version: &VersionName,
    ) -> Result<Option<ModelVersion>, ResolveError> {
        let Some(quoted) = quote(name.as_str()) else { return Ok(None) };
        // Filtered by name there and by tag here: servers differ in how they quote a tag's value.
        let filter = format!("name={quoted}");
        let mut carriers = Vec::new();
        let mut token = String::new();
        for _ in 0..Limits::DEFAULT.pages {
            let mut query = vec![("filter", filter.as_str()), ("max_results", "1000")];
            if !token.is_empty() {
                query.push(("page_token", &token));
            }
            let page = found(self.ask::<SearchAnswer>("model-versions/search", &query).await);
            let Some(page) = page.map_err(self.asking())? else { break };
            carriers.extend(page.model_versions.into_iter().filter(|candidate| {
                candidate.tags.iter().any(|tag| tag.key == TAG && tag.value == version.as_str())
            }));
            match page.next_page_token {
                Some(next) if !next.is_empty() => token = next,
                _ => break,
            }
        }
        if carriers.len() > 1 {
            let found: Vec<_> = carriers.iter().take(10).map(|carrier| shown(&carrier.version)).collect();
            return Err(ResolveError::Ambiguous {
                name: name.clone(),
                version: VersionRef::Named(version.clone()),
                registry: self.shown.clone(),
                found: found.join(", "),
            });
        }
        Ok(carriers.pop())
    }

    /// Tells an unknown model from an unknown version.
    async fn unknown(&self, name: &ModelName, version: &VersionRef) -> Result<ResolveError, ResolveError> {
        let query = [("name", name.as_str())];
        let model = found(self.ask::<serde::de::IgnoredAny>("registered-models/get", &query).await);
        let (name, registry) = (name.clone(), self.shown.clone());
        Ok(match model.map_err(self.asking())? {
            None => ResolveError::UnknownModel { name, registry },
            Some(_) => ResolveError::UnknownVersion {
                name,
                version: version.clone(),
                registry,
                hint: "looked for a version number, an alias and a version tag `version` of that value",
            },
        })
    }

    fn asking(&self) -> impl Fn(Failed) -> ResolveError + '_ {
        |source| ResolveError::Registry { registry: self.shown.clone(), source }
    }

    async fn ask<T: DeserializeOwned>(&self, endpoint: &str, query: &[(&str, &str)]) -> Result<T, Failed> {
        let mut url = join(self.server, ["api", "2.0", "mlflow"].into_iter().chain(endpoint.split('/')));
        url.query_pairs_mut().extend_pairs(query);
        self.budget.run(|| self.ask_once(&url)).await
    }

    async fn ask_once<T: DeserializeOwned>(&self, url: &Url) -> Result<T, StoreError> {
        let request = self.connection.mlflow.apply(self.connection.client.get(url.clone()));
        // MLflow answers 400 with an error code where others answer 404.
        let response = send(request, url, &[StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND]).await?;
        let status = response.status();
        let body = read_bounded(response, url, Limits::DEFAULT.document_bytes).await?;
        let what = || Redacted(url).to_string();
        if status.is_success() {
            return read(what(), &body);
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

/// What a 400 or 404 means. A 404 that MLflow itself did not write comes from something else at that address.
pub(crate) fn refusal(what: String, status: StatusCode, body: &[u8]) -> StoreError {
    let answer: ErrorAnswer = serde_json::from_slice(body).unwrap_or_default();
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

/// What the tags of a version vouch for.
pub(crate) fn vouched(version: &ModelVersion) -> Result<Option<Manifest>, String> {
    let tag = |key: &str| version.tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str());
    super::vouched(tag(DIGEST), tag(SUMS))
}

/// A text in quotes for MLflow's filter language, which has no escapes.
fn quote(text: &str) -> Option<String> {
    ['\'', '"'].into_iter().find(|mark| !text.contains(*mark)).map(|mark| format!("{mark}{text}{mark}"))
}

/// Reads an artifact URI as MLflow writes them. `mlflow-artifacts:` without a host means the tracking server.
pub(crate) fn location(text: &str, server: &Url) -> Result<StoreUri, UriError> {
    let missing = |part| UriError::Missing { scheme: "mlflow-artifacts", part };
    if text.chars().any(is_harmful) {
        return Err(UriError::Characters);
    }
    if let Some(rest) = text.strip_prefix("mlflow-artifacts:") {
        let (server, path) = match rest.strip_prefix("//") {
            Some(with_host) => {
                let (host, path) = with_host.split_once('/').ok_or(missing("path"))?;
                let other: Url =
                    format!("{}://{host}", server.scheme()).parse().map_err(|_| missing("usable host"))?;
                // Credentials for the tracking server go to that server only.
                if host.is_empty() || other.host() == server.host() && other.port() == server.port() {
                    (server.clone(), path)
                } else {
                    return Err(UriError::Scheme {
                        scheme: format!("mlflow-artifacts://{host}"),
                        expected: "artifacts on the tracking server itself",
                    });
                }
            }
            None => (server.clone(), rest),
        };
        let path = path.trim_matches('/');
        // The path goes into URLs segment by segment; one that climbs has no business here.
        path.parse::<SafePath>().map_err(|_| missing("usable path"))?;
        return Ok(StoreUri::MlflowArtifacts { server, path: path.to_owned() });
    }
    if text.starts_with('/') {
        return local(text.into());
    }
    text.parse()
}

#[cfg(test)]
mod tests {
    use handoff::Integrity;

    use super::*;

    fn located(text: &str) -> Result<String, UriError> {
        location(text, &"http://mlflow:5000/prefix".parse().unwrap()).map(|uri| uri.to_string())
    }

    #[test]
    fn artifact_uris_are_read_as_mlflow_writes_them() {
        let proxied = "mlflow-artifacts of http://mlflow:5000/prefix: 1/models/m-1/artifacts";
        assert_eq!(located("mlflow-artifacts:/1/models/m-1/artifacts").unwrap(), proxied);
        assert_eq!(located("mlflow-artifacts://mlflow:5000/1/models/m-1/artifacts").unwrap(), proxied);
        assert_eq!(located("s3://bucket/1/a b").unwrap(), "s3://bucket/1/a b");
        assert_eq!(located("/srv/mlruns/1").unwrap(), "file:///srv/mlruns/1");
        assert_eq!(located("file:///srv/mlruns/1").unwrap(), "file:///srv/mlruns/1");
    }

    #[test]
    fn artifact_uris_that_lead_elsewhere_are_refused() {
        for bad in [
            "mlflow-artifacts:/1/../../2",
            "mlflow-artifacts://other:5000/1",
            "dbfs:/x",
            "mlflow-artifacts:",
            "/srv/a\nb",
            "mlflow-artifacts:/1\n",
        ] {
            assert!(located(bad).is_err(), "{bad}");
        }
    }

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
    fn tags_vouch_for_the_model_and_its_files() {
        let version = |tags: &[(&str, &str)]| {
            let tag = |(key, value): &(&str, &str)| Tag { key: (*key).into(), value: (*value).into() };
            ModelVersion { version: "1".into(), status: None, tags: tags.iter().map(tag).collect() }
        };
        let zeros = "0".repeat(64);
        let (digest, sums) = (format!("sha256:{zeros}"), format!("{zeros}  data/model.pkl\n"));
        assert_eq!(vouched(&version(&[("version", "v1")])), Ok(None));
        let found = vouched(&version(&[("digest", &digest), ("sha256sums", &sums)])).unwrap().unwrap();
        assert_eq!(found.digest.unwrap().to_string(), digest);
        assert_eq!((found.files.len(), found.rung), (1, Integrity::Registry));
        for (key, value) in
            [("digest", "md5:1"), ("digest", ""), ("sha256sums", "nothing"), ("sha256sums", "00  ../x")]
        {
            let error = vouched(&version(&[(key, value)])).unwrap_err();
            assert!(error.starts_with(&format!("`{key}`: ")), "{error}");
        }
    }

    #[test]
    fn names_are_quoted_or_not_at_all() {
        assert_eq!(quote("a").as_deref(), Some("'a'"));
        assert_eq!(quote("it's").as_deref(), Some("\"it's\""));
        assert_eq!(quote("'\""), None);
    }
}
