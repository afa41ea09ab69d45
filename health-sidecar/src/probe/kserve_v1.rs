//! Servers of KServe's first protocol: KServe's own Python server, and what is built upon it.
//!
//! `GET /v1/models/<name>` answers 200 with the name and `"ready": true` (older servers: `"True"`), 503 while the
//! model is not ready, 404 for another name. The protocol has no versions.

use serde::Deserialize;
use serde_json::Value;

use super::question::{Named, Problem, Question, json, ok};
use crate::http_client::Answer;

#[derive(Deserialize)]
struct Model {
    name: String,
    ready: Value,
}

/// What to ask about `model`.
pub fn questions(model: &Named) -> Vec<Question> {
    let named = model.clone();
    vec![Question::get(model.path("/v1/models"), move |answer| judge(&named, answer))]
}

fn judge(named: &Named, answer: &Answer) -> Result<(), Problem> {
    ok(answer)?;
    let model: Model = json(answer, "a name and `ready`")?;
    if model.name != named.name {
        return Err(Problem::other(named.to_string(), format!("`{}`", model.name)));
    }
    match &model.ready {
        Value::Bool(true) => Ok(()),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(()),
        Value::Bool(false) => Err(Problem::not_yet("`ready` to be true", "`false`")),
        Value::String(text) if text.eq_ignore_ascii_case("false") => {
            Err(Problem::not_yet("`ready` to be true", format!("`{text}`")))
        }
        _ => Err(Problem::garbage("`ready` to be true or false", answer)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::question::{answer, judged};
    use super::*;

    #[test]
    fn ready_is_a_boolean_or_its_name() {
        let questions = questions(&Named { name: "m".into(), version: None });
        assert_eq!(format!("{questions:?}"), "[GET /v1/models/m]");
        let judge = |body: &str| judged(&questions, 0, &answer(200, body));
        for ready in ["true", "\"True\"", "\"true\""] {
            assert_eq!(judge(&format!(r#"{{"name":"m","ready":{ready}}}"#)), None);
        }
        for ready in ["false", "\"False\""] {
            let text = judge(&format!(r#"{{"name":"m","ready":{ready}}}"#)).unwrap();
            assert!(text.starts_with("NotYet: expected `ready` to be true, got `"), "{text}");
        }
        assert_eq!(judge(r#"{"name":"n","ready":true}"#).unwrap(), "Other: expected `m`, got `n`");
        for garbage in ["", "ok", "[]", r#"{"ready":true}"#, r#"{"name":"m"}"#, r#"{"name":"m","ready":1}"#] {
            assert!(judge(garbage).unwrap().starts_with("Garbage: "), "{garbage}");
        }
    }
}
