//! Servers of the Open Inference Protocol, also known as KServe v2: MLServer, Triton, OpenVINO, KServe's own.
//!
//! `/v2/health/ready` is not asked: some servers answer it with 200 while they have no model at all. The model
//! itself is asked for by name, and its metadata must bear that name, since a proxy or a server of another
//! kind may answer 200 to any path. Where a version is expected, that version is asked for, and must be among
//! the metadata's `versions`. MLServer lists none unless it is told to, and knows all the same which one it has: where
//! the list is empty, that the version is ready has to do.

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::question::{Named, Problem, Question, json, names, ok};
use super::word::Failure;
use crate::http_client::Answer;

#[derive(Deserialize)]
struct Metadata {
    name: String,
    versions: Option<Vec<String>>,
}

/// What to ask about `model`.
pub fn questions(model: &Named) -> Vec<Question> {
    let named = model.clone();
    let path = model.path("/v2/models");
    vec![ready(model), Question::get(path, move |answer| judge_metadata(&named, answer))]
}

/// The question whether `model` is ready.
pub fn ready(model: &Named) -> Question {
    Question::get(format!("{}/ready", model.path("/v2/models")), judge_ready)
}

/// The protocol lets the status speak, 4xx for "no"; servers that also say it in the body must not contradict it.
fn judge_ready(answer: &Answer) -> Result<(), Problem> {
    ok(answer).map_err(|problem| match answer.status {
        // Triton says so of models that it has not loaded and of those it does not know.
        StatusCode::BAD_REQUEST => Problem { failure: Failure::Other, ..problem },
        _ => problem,
    })?;
    match serde_json::from_slice::<Value>(&answer.body) {
        Ok(body) if body.pointer("/ready") == Some(&Value::Bool(false)) => {
            Err(Problem::not_yet("`ready` to be true", "`false`"))
        }
        _ => Ok(()),
    }
}

fn judge_metadata(named: &Named, answer: &Answer) -> Result<(), Problem> {
    ok(answer)?;
    let metadata: Metadata = json(answer, "a model's metadata")?;
    if metadata.name != named.name {
        return Err(Problem::other(named.to_string(), format!("`{}`", metadata.name)));
    }
    let versions = metadata.versions.unwrap_or_default();
    match &named.version {
        Some(version) if !versions.is_empty() && !versions.contains(version) => Err(Problem::other(
            format!("version `{version}` among `versions`"),
            names(versions.iter().map(String::as_str)),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::question::{answer, judged};
    use super::*;

    fn asked(version: Option<&str>) -> Vec<Question> {
        questions(&Named { name: "m".into(), version: version.map(Into::into) })
    }

    #[test]
    fn a_version_is_asked_for_by_its_own_path() {
        assert_eq!(format!("{:?}", asked(None)), "[GET /v2/models/m/ready, GET /v2/models/m]");
        assert_eq!(
            format!("{:?}", asked(Some("3"))),
            "[GET /v2/models/m/versions/3/ready, GET /v2/models/m/versions/3]"
        );
    }

    #[test]
    fn only_a_plain_false_is_a_false() {
        let judge = |status, body| judged(&asked(None), 0, &answer(status, body));
        for body in ["", "OK", "{}", r#"{"ready":true}"#, r#"{"ready":"no"}"#] {
            assert_eq!(judge(200, body), None, "{body}");
        }
        assert_eq!(
            judge(200, r#"{"ready":false}"#).unwrap(),
            "NotYet: expected `ready` to be true, got `false`"
        );
        assert_eq!(judge(400, "").unwrap(), "Other: expected status 200, got 400 Bad Request");
        assert_eq!(judge(404, "").unwrap(), "status 404: expected status 200, got 404 Not Found");
    }

    #[test]
    fn metadata_must_bear_the_name_and_the_version() {
        let judge = |version, body: &str| judged(&asked(version), 1, &answer(200, body));
        assert_eq!(judge(None, r#"{"name":"m"}"#), None);
        assert_eq!(judge(None, r#"{"name":"m","versions":null,"inputs":[{}]}"#), None);
        assert_eq!(judge(Some("3"), r#"{"name":"m","versions":["2","3"]}"#), None);
        assert_eq!(judge(None, r#"{"name":"n"}"#).unwrap(), "Other: expected `m`, got `n`");
        for none in ["[]", "null"] {
            assert_eq!(judge(Some("3"), &format!(r#"{{"name":"m","versions":{none}}}"#)), None);
        }
        assert_eq!(
            judge(Some("3"), r#"{"name":"m","versions":["1","2"]}"#).unwrap(),
            "Other: expected version `3` among `versions`, got `1`, `2`"
        );
        for garbage in ["", "ok", "{}", r#"{"name":"m","versions":3}"#] {
            assert!(judge(None, garbage).unwrap().starts_with("Garbage: "), "{garbage}");
        }
    }
}
