//! Resolves in Kubeflow's model registry.
//!
//! A version is found by its name among those of the registered model; of its artifacts, the newest that is a model says
//! by its `uri` where the bytes are. Whatever is archived or deleted is refused, since it is there to be kept and not
//! to be used. The registry keeps no digests of models; who registers one can, in the custom properties `digest` and
//! `sha256sums` of the artifact or of the version. REST API v1alpha3:
//! <https://www.kubeflow.org/docs/components/model-registry/reference/rest-api/>

use std::collections::BTreeMap;

use handoff::text::shown;
use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::{DIGEST, Location, ResolveError, SUMS, found, vouched};
use crate::connection::Connection;
use crate::http::{join, read_bounded, send};
use crate::limits::Limits;
use crate::name::{ModelName, VersionName, VersionRef};
use crate::redact::Redacted;
use crate::retry::{Budget, Failed};
use crate::scrub::scrub;
use crate::store::StoreError;
use crate::uri::{RegistryUri, S3Server, StoreUri, UriError};

const ARCHIVED: &str = "ARCHIVED";
/// The type of an artifact that is a model; others are documents, metrics and the like.
const MODEL: &str = "model-artifact";
/// States of an artifact that is none any more. Most that are fine have `UNKNOWN`, since few set one.
const GONE: [&str; 3] = ["DELETED", "MARKED_FOR_DELETION", "ABANDONED"];
const PAGE_SIZE: &str = "100";

pub(super) struct Registry<'a> {
    server: &'a Url,
    connection: &'a Connection,
    budget: &'a Budget,
    shown: String,
}

/// A registered model or a version.
#[derive(Deserialize)]
pub(crate) struct Entity {
    id: String,
    #[serde(default)]
    name: String,
    /// `LIVE` or `ARCHIVED`.
    #[serde(default)]
    state: String,
    #[serde(default, rename = "createTimeSinceEpoch")]
    create_time_since_epoch: String,
    #[serde(default, rename = "customProperties")]
    properties: BTreeMap<String, Property>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Artifact {
    #[serde(default)]
    artifact_type: String,
    #[serde(default)]
    name: String,
    uri: Option<String>,
    #[serde(default)]
    state: String,
    storage_key: Option<String>,
    #[serde(default)]
    create_time_since_epoch: String,
    #[serde(default, rename = "customProperties")]
    properties: BTreeMap<String, Property>,
}

/// A property of whatever type; only texts are looked at.
#[derive(Deserialize)]
struct Property {
    string_value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page<T> {
    #[serde(default = "Vec::new")]
    items: Vec<T>,
    #[serde(default)]
    next_page_token: String,
}

impl<'a> Registry<'a> {
    pub(super) fn new(server: &'a Url, connection: &'a Connection, budget: &'a Budget) -> Self {
        Self { server, connection, budget, shown: RegistryUri::ModelRegistry(server.clone()).to_string() }
    }

    pub(super) async fn resolve(
        &self,
        name: &ModelName,
        version: &VersionRef,
    ) -> Result<Location, ResolveError> {
        let asked = [("name", name.as_str())];
        let model = found(self.ask::<Entity>(&["registered_model"], &asked).await).map_err(self.asking())?;
        let registry = || self.shown.clone();
        let model =
            model.ok_or_else(|| ResolveError::UnknownModel { name: name.clone(), registry: registry() })?;
        let version = self.version(name, &model, version).await?;
        // It gets into messages and the receipt.
        if let Err(error) = version.name.parse::<VersionName>() {
            let what = format!("a version of `{name}` in {}", self.shown);
            return Err(ResolveError::BadDescriptor { what, reason: error.to_string() });
        }
        if [&model.state, &version.state].into_iter().any(|state| state == ARCHIVED) {
            let (name, version) = (name.clone(), version.name);
            return Err(ResolveError::Archived { name, version, registry: registry() });
        }
        // All of them: servers differ in whether they can be asked for one type.
        let artifacts = self.all(&["model_versions", &version.id, "artifacts"], &[]).await?;
        let artifact = the_model(artifacts).map_err(|reason| {
            let (name, version) = (name.clone(), version.name.clone());
            ResolveError::NoArtifact { name, version, registry: registry(), reason }
        })?;
        let text = artifact.uri.as_deref().unwrap_or_default();
        let uri = location(text).map_err(|source| ResolveError::BadLocation {
            name: name.to_string(),
            registry: registry(),
            source,
        })?;
        let property = |key: &str| {
            let of = |entity: &'_ BTreeMap<String, Property>| entity.get(key)?.string_value.clone();
            of(&artifact.properties).or_else(|| of(&version.properties))
        };
        let manifest = vouched(property(DIGEST).as_deref(), property(SUMS).as_deref()).map_err(|reason| {
            let what = format!("a property of version {} of `{name}` in {}", version.name, self.shown);
            ResolveError::BadDescriptor { what, reason }
        })?;
        Ok(Location { version: version.name, uri, manifest })
    }

    async fn version(
        &self,
        name: &ModelName,
        model: &Entity,
        version: &VersionRef,
    ) -> Result<Entity, ResolveError> {
        let answer = match version {
            VersionRef::Named(wanted) => {
                let asked = [("name", wanted.as_str()), ("parentResourceId", &model.id)];
                found(self.ask(&["model_version"], &asked).await).map_err(self.asking())?
            }
            VersionRef::Newest(_) => {
                let newest_first = [("orderBy", "CREATE_TIME"), ("sortOrder", "DESC")];
                let all = self.all(&["registered_models", &model.id, "versions"], &newest_first).await?;
                let live = all.into_iter().filter(|version: &Entity| version.state != ARCHIVED);
                // Servers need not sort.
                live.max_by_key(|version| version.create_time_since_epoch.parse::<u64>().unwrap_or_default())
            }
            VersionRef::Alias(_) => None,
        };
        answer.ok_or_else(|| ResolveError::UnknownVersion {
            name: name.clone(),
            version: version.clone(),
            registry: self.shown.clone(),
            hint: "looked for a version of that name; this registry has neither aliases nor stages",
        })
    }

    /// Every page of a listing. One without end is an error: what is beyond could be the one that counts.
    async fn all<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, ResolveError> {
        let (mut all, mut token) = (Vec::new(), String::new());
        for _ in 0..Limits::DEFAULT.pages {
            let mut query = [query, &[("pageSize", PAGE_SIZE)]].concat();
            if !token.is_empty() {
                query.push(("nextPageToken", &token));
            }
            let page: Page<T> = self.ask(path, &query).await.map_err(self.asking())?;
            all.extend(page.items);
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            if all.len() > Limits::DEFAULT.files {
                break;
            }
            token = page.next_page_token;
        }
        let (files, pages) = (Limits::DEFAULT.files, Limits::DEFAULT.pages);
        Err(ResolveError::BadDescriptor {
            what: format!("{} in {}", path.join("/"), self.shown),
            reason: format!("it has more than {pages} pages or {files} entries"),
        })
    }

    fn asking(&self) -> impl Fn(Failed) -> ResolveError + '_ {
        |source| ResolveError::Registry { registry: self.shown.clone(), source }
    }

    async fn ask<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, Failed> {
        let path = ["api", "model_registry", "v1alpha3"].into_iter().chain(path.iter().copied());
        let mut url = join(self.server, path);
        url.query_pairs_mut().extend_pairs(query);
        self.budget.run(|| self.ask_once(&url)).await
    }

    async fn ask_once<T: DeserializeOwned>(&self, url: &Url) -> Result<T, StoreError> {
        let mut request = self.connection.client.get(url.clone());
        if let Some(token) = self.connection.model_registry.read()? {
            request = request.bearer_auth(token);
        }
        let response = send(request, url, &[StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND]).await?;
        let status = response.status();
        let body = read_bounded(response, url, Limits::DEFAULT.document_bytes).await?;
        let what = Redacted(url).to_string();
        match status.is_success() {
            true => serde_json::from_slice(&body)
                .map_err(|error| StoreError::Malformed { what, reason: shown(&error.to_string()) }),
            false => Err(refusal(what, status, &body)),
        }
    }
}

#[derive(Deserialize)]
struct ErrorAnswer {
    message: String,
}

/// What a 400 or 404 means. A 404 that the registry itself did not write comes from something else at that address.
pub(crate) fn refusal(what: String, status: StatusCode, body: &[u8]) -> StoreError {
    match serde_json::from_slice::<ErrorAnswer>(body) {
        Ok(_) if status == StatusCode::NOT_FOUND => StoreError::NotFound { what },
        Ok(answer) => {
            // Before it is cut, or a part of a secret would not be known for one.
            let message: String = scrub(&answer.message).chars().take(200).collect();
            StoreError::Refused { what, reason: format!("{status}: {}", message.escape_debug()) }
        }
        Err(_) => StoreError::Refused { what, reason: format!("{status}, and not in the registry's words") },
    }
}

/// The newest artifact that is a model and says where it is.
fn the_model(artifacts: Vec<Artifact>) -> Result<Artifact, String> {
    let of_another_type = artifacts.iter().filter(|artifact| artifact.artifact_type != MODEL).count();
    let (mut live, gone): (Vec<_>, Vec<_>) = artifacts
        .into_iter()
        .filter(|artifact| artifact.artifact_type == MODEL)
        .partition(|artifact| !GONE.contains(&artifact.state.as_str()));
    // Servers need not sort.
    live.sort_by_key(|artifact| artifact.create_time_since_epoch.parse::<u64>().unwrap_or_default());
    let Some(newest) = live.pop() else {
        return Err(match gone.last() {
            Some(last) => format!("its artifact `{}` is {}", shown(&last.name), shown(&last.state)),
            None => format!("it has no artifact of the type {MODEL}, and {of_another_type} of others"),
        });
    };
    match (&newest.uri, &newest.storage_key) {
        (Some(uri), _) if !uri.is_empty() => Ok(newest),
        (_, Some(key)) => Err(format!(
            "its artifact `{}` has no uri, only the storage key `{}`, which only KServe's Secret explains",
            shown(&newest.name),
            shown(key)
        )),
        _ => Err(format!("its artifact `{}` has no uri", shown(&newest.name))),
    }
}

/// Reads an address as Kubeflow's clients write them: of a bucket also `s3://bucket/path?endpoint=…&defaultRegion=…`. A
/// registry must not be able to have local files read.
pub(crate) fn location(text: &str) -> Result<StoreUri, UriError> {
    const EXPECTED: &str = "`endpoint` and `defaultRegion`";
    let (address, query) = match text.split_once('?') {
        Some((address, query)) if address.starts_with("s3://") => (address, Some(query)),
        _ => (text, None),
    };
    let uri = match address.parse()? {
        StoreUri::File(_) => {
            let expected = "s3, http or https from a registry";
            return Err(UriError::Scheme { scheme: "file".to_owned(), expected });
        }
        uri => uri,
    };
    let (StoreUri::S3 { bucket, prefix, .. }, Some(query)) = (&uri, query) else { return Ok(uri) };
    let unusable = || UriError::Query { scheme: "s3", expected: EXPECTED };
    let (mut endpoint, mut region) = (None, None);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "endpoint" => endpoint = Some(value.parse::<Url>().map_err(|_| unusable())?),
            "defaultRegion" => region = Some(value.into_owned()).filter(|region| !region.is_empty()),
            _ => return Err(unusable()),
        }
    }
    let usable = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
    };
    let at = match endpoint {
        Some(endpoint) if usable(&endpoint) => Some(S3Server { endpoint, region }),
        Some(_) => return Err(unusable()),
        // A region alone is what the environment says otherwise, or says too.
        None => None,
    };
    Ok(StoreUri::S3 { bucket: bucket.clone(), prefix: prefix.clone(), at })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(text: &str) -> Result<String, UriError> {
        location(text).map(|uri| uri.to_string())
    }

    #[test]
    fn addresses_are_read_as_kubeflows_clients_write_them() {
        let minio = "s3://models/fraud/1?endpoint=http%3A%2F%2Fminio%3A9000&defaultRegion=us-east-1";
        assert_eq!(located(minio).unwrap(), "s3://models/fraud/1 at http://minio:9000/");
        assert_eq!(located("s3://models/fraud/1").unwrap(), "s3://models/fraud/1");
        assert_eq!(located("s3://models/fraud/1?defaultRegion=eu-1").unwrap(), "s3://models/fraud/1");
        assert_eq!(located("https://host/model.onnx?sig=1").unwrap(), "https://host/model.onnx?…");
        for bad in [
            "s3://models/x?endpoint=ftp://host",
            "s3://models/x?endpoint=http://me:secret@host",
            "s3://models/x?endpoint=minio:9000",
            "s3://models/x?versionId=1",
            "file:///etc/passwd",
            "/etc/passwd",
            "pvc://claim/x",
        ] {
            assert!(located(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_newest_model_counts_and_nothing_that_is_gone() {
        let artifacts =
            |text: &str| the_model(serde_json::from_str(text).unwrap()).map(|artifact| artifact.uri.unwrap());
        let model = |time: u32, state: &str| {
            format!(
                r#"{{"artifactType":"model-artifact","name":"a","uri":"s3://b/{time}","state":"{state}","createTimeSinceEpoch":"{time}"}}"#
            )
        };
        let document =
            r#"{"artifactType":"doc-artifact","uri":"https://host/card.md","createTimeSinceEpoch":"9999"}"#;
        let list = |all: &[String]| format!("[{}]", all.join(","));
        let both = list(&[document.to_owned(), model(10, "LIVE"), model(9, "UNKNOWN"), model(11, "DELETED")]);
        assert_eq!(artifacts(&both).unwrap(), "s3://b/10");
        assert_eq!(artifacts(&list(&[model(1, "ABANDONED")])).unwrap_err(), "its artifact `a` is ABANDONED");
        let none = "it has no artifact of the type model-artifact, and 1 of others";
        assert_eq!(artifacts(&list(&[document.to_owned()])).unwrap_err(), none);
        let key = r#"[{"artifactType":"model-artifact","name":"a","storageKey":"minio","storagePath":"x"}]"#;
        assert!(artifacts(key).unwrap_err().contains("only the storage key `minio`"));
    }

    #[test]
    fn refusals_are_told_from_those_of_others() {
        let read = |status, body: &str| refusal("x".into(), status, body.as_bytes());
        let missing = r#"{"code":"404","message":"no registered model found"}"#;
        assert!(matches!(read(StatusCode::NOT_FOUND, missing), StoreError::NotFound { .. }));
        assert!(read(StatusCode::NOT_FOUND, "<html>").to_string().contains("not in the registry's words"));
        assert!(read(StatusCode::BAD_REQUEST, missing).to_string().contains("no registered model found"));
    }
}
