//! What an MLflow server knows beside its registry: logged models, and what runs left.
//!
//! A run of MLflow 3 keeps no model among its artifacts: a model that it logged is one of its own, with the run as its
//! source. So `runs:/<id>/<name>` is that model where there is one of the name, as it is to MLflow's own client, and else
//! a folder or file of the run.

use handoff::SafePath;
use handoff::text::shown;
use serde::Deserialize;

use super::{Registry, location};
use crate::limits::Limits;
use crate::name::VersionName;
use crate::reference::MlflowArtifact;
use crate::resolve::{Location, ResolveError, found};
use crate::uri::UriError;

#[derive(Deserialize)]
struct LoggedModelAnswer {
    model: LoggedModel,
}

#[derive(Deserialize)]
struct LoggedModelsAnswer {
    #[serde(default)]
    models: Vec<LoggedModel>,
    #[serde(default)]
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct LoggedModel {
    info: LoggedModelInfo,
}

#[derive(Deserialize)]
struct LoggedModelInfo {
    #[serde(default)]
    name: String,
    artifact_uri: String,
    /// `LOGGED_MODEL_READY`, `LOGGED_MODEL_PENDING` or `LOGGED_MODEL_UPLOAD_FAILED`; absent means ready.
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    source_run_id: String,
}

#[derive(Deserialize)]
struct RunAnswer {
    run: Run,
}

#[derive(Deserialize)]
struct Run {
    info: RunInfo,
}

#[derive(Deserialize)]
struct RunInfo {
    #[serde(default)]
    experiment_id: String,
    #[serde(default)]
    artifact_uri: String,
    /// `active` or `deleted`.
    #[serde(default)]
    lifecycle_stage: String,
}

impl Registry<'_> {
    /// Asks where an artifact is.
    pub(in crate::resolve) async fn artifact(
        &self,
        artifact: &MlflowArtifact,
    ) -> Result<Location, ResolveError> {
        match artifact {
            MlflowArtifact::LoggedModel(id) => {
                let endpoint = format!("logged-models/{id}");
                let answer =
                    found(self.ask::<LoggedModelAnswer>(&endpoint, &[]).await).map_err(self.asking())?;
                let hint = "looked for a logged model, which MLflow has since version 3; a registered one is models:/name/version";
                let answer = answer.ok_or_else(|| self.unknown_artifact(artifact, hint))?;
                self.logged(artifact, &answer.model.info, None)
            }
            MlflowArtifact::Run { run, path } => self.artifact_of_a_run(artifact, run, path).await,
        }
    }

    async fn artifact_of_a_run(
        &self,
        artifact: &MlflowArtifact,
        run: &VersionName,
        path: &SafePath,
    ) -> Result<Location, ResolveError> {
        let answer = found(self.ask::<RunAnswer>("runs/get", &[("run_id", run.as_str())]).await);
        let answer = answer.map_err(self.asking())?;
        let hint = "looked for a run of that id; the id stands before the first `/`";
        let info = answer.ok_or_else(|| self.unknown_artifact(artifact, hint))?.run.info;
        if info.lifecycle_stage == "deleted" {
            return Err(self.not_ready(artifact, "of a deleted run"));
        }
        let (name, rest) = match path.as_str().split_once('/') {
            Some((name, rest)) => (name, Some(rest)),
            None => (path.as_str(), None),
        };
        let logged = self.models_of(&info.experiment_id).await?;
        let is_it =
            |model: &&LoggedModel| model.info.name == name && model.info.source_run_id == run.as_str();
        match logged.iter().find(is_it) {
            Some(model) => self.logged(artifact, &model.info, rest),
            None => self.located(artifact, &info.artifact_uri, Some(path.as_str())),
        }
    }

    /// Every logged model of an experiment. A server before MLflow 3 knows of none.
    async fn models_of(&self, experiment: &str) -> Result<Vec<LoggedModel>, ResolveError> {
        let mut models = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..Limits::DEFAULT.pages {
            let question = serde_json::json!({"experiment_ids": [experiment], "page_token": token});
            let page = found(self.ask_with::<LoggedModelsAnswer>("logged-models/search", &question).await);
            let Some(page) = page.map_err(self.asking())? else { break };
            models.extend(page.models);
            token = page.next_page_token.filter(|token| !token.is_empty());
            if token.is_none() || models.len() > Limits::DEFAULT.files {
                break;
            }
        }
        Ok(models)
    }

    fn logged(
        &self,
        artifact: &MlflowArtifact,
        info: &LoggedModelInfo,
        below: Option<&str>,
    ) -> Result<Location, ResolveError> {
        match info.status.as_deref() {
            None | Some("LOGGED_MODEL_READY" | "READY") => self.located(artifact, &info.artifact_uri, below),
            Some(status) => Err(self.not_ready(artifact, status)),
        }
    }

    fn located(
        &self,
        artifact: &MlflowArtifact,
        root: &str,
        below: Option<&str>,
    ) -> Result<Location, ResolveError> {
        let address = match below {
            Some(below) => format!("{}/{below}", root.trim_end_matches('/')),
            None => root.to_owned(),
        };
        let bad = |source: UriError| {
            let (name, registry) = (artifact.to_string(), self.shown.clone());
            ResolveError::BadLocation { name, registry, source }
        };
        let uri = location(&address, self.server).map_err(bad)?;
        Ok(Location { version: artifact.to_string(), uri, manifest: None })
    }

    fn unknown_artifact(&self, artifact: &MlflowArtifact, hint: &'static str) -> ResolveError {
        ResolveError::UnknownArtifact { artifact: artifact.clone(), registry: self.shown.clone(), hint }
    }

    fn not_ready(&self, artifact: &MlflowArtifact, status: &str) -> ResolveError {
        let (artifact, registry) = (artifact.clone(), self.shown.clone());
        ResolveError::ArtifactNotReady { artifact, registry, status: shown(status) }
    }
}
