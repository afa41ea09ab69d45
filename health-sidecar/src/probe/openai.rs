//! Servers of OpenAI's API: vLLM, SGLang, TGI, llama.cpp and others.
//!
//! The model must be in the list at `/v1/models`. That is not enough: llama.cpp answers it while it still reads the
//! weights, and vLLM's list outlives its engine. Both say so at `/health` with 503, so that is asked as well, and what
//! other servers say there, 404 for most, is not held against them. llama.cpp as a router lists models that
//! it has not loaded, with a status of their own.
//!
//! A list of what *could* be loaded, as behind a gateway or in Ollama, looks the same.

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::question::{Named, Problem, Question, json, names, ok};
use crate::http_client::Answer;

#[derive(Deserialize)]
struct List {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    /// llama.cpp's alone, as `{"value": "loaded"}`.
    status: Option<Value>,
}

/// What to ask about `model`.
pub fn questions(model: &Named) -> Vec<Question> {
    let named = model.clone();
    vec![
        Question::list("/v1/models", move |answer| judge_list(&named, answer)),
        Question::get("/health".to_owned(), judge_health),
    ]
}

fn judge_list(named: &Named, answer: &Answer) -> Result<(), Problem> {
    ok(answer)?;
    let list: List = json(answer, "a list of models in `data`")?;
    let Some(model) = list.data.iter().find(|model| model.id == named.name) else {
        let found = names(list.data.iter().map(|model| model.id.as_str()));
        return Err(Problem::other(format!("{named} in `data`"), found));
    };
    match model.status.as_ref().and_then(|status| status.pointer("/value")?.as_str()) {
        None | Some("loaded") => Ok(()),
        Some(status) => Err(Problem::not_yet(format!("{named} to be `loaded`"), format!("`{status}`"))),
    }
}

fn judge_health(answer: &Answer) -> Result<(), Problem> {
    if answer.status == StatusCode::SERVICE_UNAVAILABLE { ok(answer) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::question::{answer, judged};
    use super::*;

    fn judge(index: usize, status: u16, body: &str) -> Option<String> {
        let questions = questions(&Named { name: "m".into(), version: None });
        judged(&questions, index, &answer(status, body))
    }

    #[test]
    fn the_list_must_have_the_name() {
        assert_eq!(judge(0, 200, r#"{"object":"list","data":[{"id":"n"},{"id":"m"}],"models":[]}"#), None);
        assert_eq!(
            judge(0, 200, r#"{"data":[]}"#).unwrap(),
            "Other: expected `m` in `data`, got an empty list"
        );
        assert_eq!(
            judge(0, 200, r#"{"data":[{"id":"n"}]}"#).unwrap(),
            "Other: expected `m` in `data`, got `n`"
        );
        for garbage in ["", "[]", r#"{"models":[]}"#, r#"{"data":[{}]}"#] {
            assert!(judge(0, 200, garbage).unwrap().starts_with("Garbage: "), "{garbage}");
        }
    }

    #[test]
    fn a_router_lists_what_it_has_not_loaded() {
        let list = |status: &str| format!(r#"{{"data":[{{"id":"m","status":{status}}}]}}"#);
        assert_eq!(judge(0, 200, &list(r#"{"value":"loaded","args":[]}"#)), None);
        assert_eq!(
            judge(0, 200, &list(r#"{"value":"unloaded"}"#)).unwrap(),
            "NotYet: expected `m` to be `loaded`, got `unloaded`"
        );
        assert_eq!(judge(0, 200, &list("null")), None);
    }

    #[test]
    fn only_unavailable_counts_at_the_health_path() {
        for status in [200, 204, 404, 405] {
            assert_eq!(judge(1, status, ""), None);
        }
        let loading = r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#;
        assert!(judge(1, 503, loading).unwrap().contains("Loading model"));
    }
}
