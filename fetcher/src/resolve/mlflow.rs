//! Resolves in an MLflow tracking server.
//!
//! A version is looked for, in this order, as a number, as an alias and as the value of a version tag
//! `version`; a reference that begins with `@` only as an alias. Where floating references are allowed, a stage comes
//! last, and `latest` is the highest number. The answer's own `get-download-uri` says where the bytes are. MLflow
//! keeps no digests; who publishes can, in the tags `digest` and `sha256sums` of a version or a logged model.
//! Logged models and what a run logged are in [`item`]. Endpoints: MLflow's REST API 2.0, below `/api/2.0/mlflow`.

use handoff::text::shown;
use serde::Deserialize;
use url::Url;

use self::client::{Client, quote};
use super::{DIGEST, Location, ResolveError, SUMS, found};
use crate::connection::Connection;
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::name::{ModelName, VersionName, VersionRef};
use crate::reference::{MlflowItem, is_latest, is_stage};
use crate::retry::Budget;

mod client;
mod item;
mod location;

pub(crate) use client::{read, refusal};
pub(crate) use location::location;

/// Tag by whose value a version may be named.
const TAG: &str = "version";

pub(super) struct Registry<'a> {
    client: Client<'a>,
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

/// A version that an answer may be without.
#[derive(Deserialize)]
struct LatestAnswer {
    #[serde(default)]
    model_versions: Vec<ModelVersion>,
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
        Self { client: Client::new(server, connection, budget) }
    }

    pub(super) async fn resolve(
        &self,
        name: &ModelName,
        version: &VersionRef,
    ) -> Result<Location, ResolveError> {
        let found = match version {
            VersionRef::Alias(alias) => self.by_alias(name, alias).await?,
            VersionRef::Named(version) => self.by_any_name(name, version).await?,
            VersionRef::Newest(word) => self.newest(name, word).await?,
        };
        match found {
            Some(found) => self.located(name, found).await,
            None => Err(self.unknown(name, version).await?),
        }
    }

    /// What is not a version of a registered model.
    pub(super) async fn resolve_item(&self, item: &MlflowItem) -> Result<Location, ResolveError> {
        match item {
            MlflowItem::LoggedModel(id) => self.client.logged_model(id).await,
            MlflowItem::RunArtifact { run, path } => self.client.run_artifact(run, path).await,
        }
    }

    /// The newest version, or that of a stage, unless an alias or a tag has the stage's name.
    async fn newest(
        &self,
        name: &ModelName,
        word: &VersionName,
    ) -> Result<Option<ModelVersion>, ResolveError> {
        let mut query = vec![("name", name.as_str())];
        if !is_latest(word.as_str()) {
            if let Some(found) = self.by_any_name(name, word).await? {
                return Ok(Some(found));
            }
            query.push(("stages", word.as_str()));
        }
        let answer = self.client.ask::<LatestAnswer>("registered-models/get-latest-versions", &query).await;
        let versions = found(answer).map_err(self.client.asking())?.map(|answer| answer.model_versions);
        // One for each stage; by number, as MLflow's own client does it.
        let newest = |version: &ModelVersion| version.version.parse::<u64>().unwrap_or(0);
        Ok(versions.unwrap_or_default().into_iter().max_by_key(newest))
    }

    async fn located(&self, name: &ModelName, found: ModelVersion) -> Result<Location, ResolveError> {
        // It gets into messages, the receipt and the next question.
        if let Err(error) = found.version.parse::<VersionName>() {
            let what = format!("a version of `{name}` in {}", self.client.shown);
            return Err(ResolveError::BadDescriptor { what, reason: error.to_string() });
        }
        if let Some(status) = found.status.as_deref().filter(|status| *status != "READY") {
            let (name, registry, status) = (name.clone(), self.client.shown.clone(), shown(status));
            return Err(ResolveError::NotReady { name, version: found.version, registry, status });
        }
        let query = [("name", name.as_str()), ("version", &found.version)];
        let answer: UriAnswer =
            self.client.ask("model-versions/get-download-uri", &query).await.map_err(self.client.asking())?;
        let uri = location(&answer.artifact_uri, self.client.server).map_err(|source| {
            ResolveError::BadLocation { name: name.to_string(), registry: self.client.shown.clone(), source }
        })?;
        let manifest = vouched(&found).map_err(|reason| ResolveError::BadDescriptor {
            what: format!("a tag of version {} of `{name}` in {}", found.version, self.client.shown),
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
            let answer = found(self.client.ask::<VersionAnswer>("model-versions/get", &query).await);
            if let Some(answer) = answer.map_err(self.client.asking())? {
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
        let answer = found(self.client.ask::<VersionAnswer>("registered-models/alias", &query).await);
        Ok(answer.map_err(self.client.asking())?.map(|answer| answer.model_version))
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
            let page = found(self.client.ask::<SearchAnswer>("model-versions/search", &query).await);
            let Some(page) = page.map_err(self.client.asking())? else { break };
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
                registry: self.client.shown.clone(),
                found: found.join(", "),
            });
        }
        Ok(carriers.pop())
    }

    /// Tells an unknown model from an unknown version.
    async fn unknown(&self, name: &ModelName, version: &VersionRef) -> Result<ResolveError, ResolveError> {
        let query = [("name", name.as_str())];
        let model = found(self.client.ask::<serde::de::IgnoredAny>("registered-models/get", &query).await);
        let (name, registry) = (name.clone(), self.client.shown.clone());
        let hint = looked_for(version);
        Ok(match model.map_err(self.client.asking())? {
            None => ResolveError::UnknownModel { name, registry },
            Some(_) => ResolveError::UnknownVersion { name, version: version.clone(), registry, hint },
        })
    }
}

fn looked_for(version: &VersionRef) -> &'static str {
    match version {
        VersionRef::Alias(_) => "looked for an alias of that name",
        VersionRef::Newest(word) if is_latest(word.as_str()) => "the model has no version at all",
        VersionRef::Newest(_) => "looked for an alias, a version tag `version` of that value and a stage",
        VersionRef::Named(word) if is_stage(word.as_str()) => {
            "looked for an alias and a version tag `version` of that value; a stage is looked for with FETCHER_ALLOW_FLOATING=true"
        }
        VersionRef::Named(_) => {
            "looked for a version number, an alias and a version tag `version` of that value"
        }
    }
}

/// What the tags of a version vouch for.
pub(crate) fn vouched(version: &ModelVersion) -> Result<Option<Manifest>, String> {
    by_tags(&version.tags)
}

fn by_tags(tags: &[Tag]) -> Result<Option<Manifest>, String> {
    let tag = |key: &str| tags.iter().find(|tag| tag.key == key).map(|tag| tag.value.as_str());
    super::vouched(tag(DIGEST), tag(SUMS))
}

#[cfg(test)]
mod tests {
    use handoff::Integrity;

    use super::*;

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
}
