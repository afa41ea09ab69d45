//! What MLflow knows beside registered models: logged models, and what a run logged.
//!
//! Since MLflow 3 a model that a run logs is a thing of its own, and `runs:/<run>/<name>` leads to it as well as to the
//! run's artifacts at that path. MLflow's own client puts one over the other, and takes the newest of several of one
//! name. Here a name that may mean two things means none, and the message says what to write instead.

use handoff::SafePath;
use handoff::text::shown;
use serde::Deserialize;

use super::client::{Client, quote};
use super::location::{below, location};
use super::{Tag, by_tags};
use crate::limits::Limits;
use crate::name::VersionName;
use crate::resolve::{Location, ResolveError, found};
use crate::store::Class;

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
    model_id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    source_run_id: String,
    artifact_uri: String,
    /// `LOGGED_MODEL_READY`, `…_PENDING` or `…_UPLOAD_FAILED`.
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
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
    experiment_id: String,
    artifact_uri: String,
    #[serde(default)]
    lifecycle_stage: String,
}

impl Client<'_> {
    /// A logged model by its id.
    pub(super) async fn logged_model(&self, id: &VersionName) -> Result<Location, ResolveError> {
        let answer = found(self.ask::<LoggedModelAnswer>(&format!("logged-models/{id}"), &[]).await);
        match answer.map_err(self.asking())? {
            Some(answer) => self.model_at(answer.model.info, None),
            None => Err(self.unusable(
                &format!("logged model `{id}`"),
                "does not exist",
                Class::NotFound,
                "name it by its id, as in models:/m-…, or a registered model as models:/name/version",
            )),
        }
    }

    /// What a run logged at a path.
    pub(super) async fn run_artifact(
        &self,
        run: &VersionName,
        path: &SafePath,
    ) -> Result<Location, ResolveError> {
        let answer = found(self.ask::<RunAnswer>("runs/get", &[("run_id", run.as_str())]).await);
        let what = format!("run `{run}`");
        let Some(RunAnswer { run: Run { info } }) = answer.map_err(self.asking())? else {
            let hint = "name it by its id, as in runs:/<run id>/<path>";
            return Err(self.unusable(&what, "does not exist", Class::NotFound, hint));
        };
        if info.lifecycle_stage == "deleted" {
            let hint = "restore the run, or name another";
            return Err(self.unusable(&what, "is deleted", Class::NotFound, hint));
        }
        let version = format!("{run}/{path}");
        let (name, rest) = path.as_str().split_once('/').unwrap_or((path.as_str(), ""));
        let rest = rest.parse::<SafePath>().ok();
        let uri = self.located(&format!("{what}/{path}"), &below(&info.artifact_uri, Some(path)))?;
        let mut models = self.logged_by(run, &info.experiment_id, name).await?;
        if let Some(model) = models.pop() {
            if !models.is_empty() {
                let ids = models.iter().chain([&model]).take(10).map(|model| shown(&model.model_id));
                let problem =
                    format!("logged several models as `{name}` ({})", ids.collect::<Vec<_>>().join(", "));
                let hint = "name the one that is meant by its id, as models:/m-…";
                return Err(self.unusable(&what, &problem, Class::NotFound, hint));
            }
            let location = self.model_at(model, rest.as_ref())?;
            if location.uri != uri && self.holds_files(&uri).await {
                let problem = format!("has both a logged model `{name}` and files of its own at `{path}`");
                let hint = "name the model by its id, as models:/m-…";
                return Err(self.unusable(&what, &problem, Class::NotFound, hint));
            }
            return Ok(Location { version, ..location });
        }
        Ok(Location { version, uri, manifest: None })
    }

    /// The models that a run logged under a name.
    async fn logged_by(
        &self,
        run: &VersionName,
        experiment: &str,
        name: &str,
    ) -> Result<Vec<LoggedModelInfo>, ResolveError> {
        let Some(quoted) = quote(name) else { return Ok(Vec::new()) };
        let mut models = Vec::new();
        let mut token = String::new();
        for _ in 0..Limits::DEFAULT.pages {
            let mut question = serde_json::json!({
                "experiment_ids": [experiment], "filter": format!("name = {quoted}"), "max_results": 50,
            });
            if !token.is_empty() {
                question["page_token"] = token.into();
            }
            // A server before MLflow 3 knows none.
            let page = found(self.post::<LoggedModelsAnswer>("logged-models/search", &question).await);
            let Some(page) = page.map_err(self.asking())? else { break };
            let of_run = |info: &LoggedModelInfo| info.source_run_id == run.as_str() && info.name == name;
            models.extend(page.models.into_iter().map(|model| model.info).filter(of_run));
            match page.next_page_token {
                Some(next) if !next.is_empty() => token = next,
                _ => break,
            }
        }
        Ok(models)
    }

    fn model_at(&self, info: LoggedModelInfo, path: Option<&SafePath>) -> Result<Location, ResolveError> {
        let what = format!("logged model `{}`", shown(&info.model_id));
        match info.status.as_deref() {
            None | Some("LOGGED_MODEL_READY") => {}
            Some("LOGGED_MODEL_PENDING") => {
                let hint = "its files are not all there yet: who logs it has to finish";
                return Err(self.unusable(&what, "is LOGGED_MODEL_PENDING", Class::Retryable, hint));
            }
            Some(status) => {
                let problem = format!("is {}", shown(status));
                return Err(self.unusable(&what, &problem, Class::NotFound, "log the model again"));
            }
        }
        let uri = self.located(&what, &below(&info.artifact_uri, path))?;
        // They are for the whole.
        let manifest = match path {
            Some(_) => None,
            None => by_tags(&info.tags).map_err(|reason| ResolveError::BadDescriptor {
                what: format!("a tag of {what} in {}", self.shown),
                reason,
            })?,
        };
        Ok(Location { version: info.model_id, uri, manifest })
    }

    fn located(&self, what: &str, text: &str) -> Result<crate::uri::StoreUri, ResolveError> {
        location(text, self.server).map_err(|source| ResolveError::ItemLocation {
            what: what.to_owned(),
            registry: self.shown.clone(),
            source,
        })
    }

    fn unusable(&self, what: &str, problem: &str, class: Class, hint: &'static str) -> ResolveError {
        let (what, problem, registry) = (what.to_owned(), problem.to_owned(), self.shown.clone());
        ResolveError::Item { what, problem, registry, class, hint }
    }
}
