//! TorchServe, by its management API.
//!
//! `GET /models/<name>[/<version>]` describes a model and its workers; the model is loaded once a worker is
//! `READY`. The inference API cannot tell: its `/ping` is about the server. So `HEALTH_SERVER_URL` is the address of
//! the management API, `http://127.0.0.1:8081` unless the server is told otherwise. Newer servers want a token
//! there: see `HEALTH_HTTP_HEADERS`.

use serde::Deserialize;

use super::question::{Named, Problem, Question, json, names, ok};
use crate::http_client::Answer;
use crate::http_url::percent_encode;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    model_name: String,
    model_version: String,
    workers: Vec<Worker>,
}

#[derive(Deserialize)]
struct Worker {
    status: String,
}

/// What to ask about `model`.
pub fn questions(model: &Named) -> Vec<Question> {
    let name = percent_encode(&model.name);
    let path = match &model.version {
        Some(version) => format!("/models/{name}/{}", percent_encode(version)),
        None => format!("/models/{name}"),
    };
    let named = model.clone();
    vec![Question::get(path, move |answer| judge(&named, answer))]
}

fn judge(named: &Named, answer: &Answer) -> Result<(), Problem> {
    ok(answer)?;
    let models: Vec<Model> = json(answer, "a model with its workers")?;
    let wanted = |model: &&Model| model.model_name == named.name && named.accepts(Some(&model.model_version));
    let Some(model) = models.iter().find(wanted) else {
        let found = models.iter().map(|model| format!("{} {}", model.model_name, model.model_version));
        let found: Vec<_> = found.collect();
        return Err(Problem::other(named.to_string(), names(found.iter().map(String::as_str))));
    };
    if model.workers.iter().any(|worker| worker.status == "READY") {
        return Ok(());
    }
    let expected = format!("a worker of {named} with status `READY`");
    let statuses = model.workers.iter().map(|worker| worker.status.as_str());
    Err(Problem::not_yet(
        expected,
        if model.workers.is_empty() { "no worker".to_owned() } else { names(statuses) },
    ))
}

#[cfg(test)]
mod tests {
    use super::super::question::{answer, judged};
    use super::*;

    fn judge(version: Option<&str>, body: &str) -> Option<String> {
        let questions = questions(&Named { name: "m".into(), version: version.map(Into::into) });
        judged(&questions, 0, &answer(200, body))
    }

    #[test]
    fn a_worker_must_be_ready() {
        let model = |workers: &str| {
            format!(
                r#"[{{"modelName":"m","modelVersion":"1.0","workers":[{workers}],"jobQueueStatus":{{}}}}]"#
            )
        };
        let ready = model(r#"{"id":"9000","status":"UNLOADING"},{"id":"9001","status":"READY"}"#);
        assert_eq!(judge(None, &ready), None);
        assert_eq!(judge(Some("1.0"), &ready), None);
        assert_eq!(judge(Some("2.0"), &ready).unwrap(), "Other: expected `m` version `2.0`, got `m 1.0`");
        assert_eq!(
            judge(None, &model("")).unwrap(),
            "NotYet: expected a worker of `m` with status `READY`, got no worker"
        );
        assert_eq!(
            judge(None, &model(r#"{"status":"LOADING"}"#)).unwrap(),
            "NotYet: expected a worker of `m` with status `READY`, got `LOADING`"
        );
        assert_eq!(judge(None, "[]").unwrap(), "Other: expected `m`, got an empty list");
        assert!(judge(None, r#"{"status":"Healthy"}"#).unwrap().starts_with("Garbage: "));
    }
}
