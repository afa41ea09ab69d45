//! Ollama, by its own API: its OpenAI-compatible list is of what it *could* load.
//!
//! `/api/tags` lists the models that are present, `/api/ps` those in memory. Loaded means in memory. Ollama loads
//! a model at the first request and throws it out after some minutes without one (`keep_alive`, 5 by default), and
//! asking what is loaded is no such request. So without `OLLAMA_KEEP_ALIVE=-1` and something that loads the model, a
//! Pod waits for traffic that waits for the Pod.

use serde::Deserialize;

use super::question::{Named, Problem, Question, json, names, ok};
use crate::http_client::Answer;

#[derive(Deserialize)]
struct List {
    models: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    name: String,
}

/// What to ask about `model`.
pub fn questions(model: &Named) -> Vec<Question> {
    let (present, loaded) = (model.clone(), model.clone());
    vec![
        Question::list("/api/tags", move |answer| find(&present, answer, "present", Problem::other)),
        Question::list("/api/ps", move |answer| find(&loaded, answer, "in memory", Problem::not_yet)),
    ]
}

fn find(
    named: &Named,
    answer: &Answer,
    place: &str,
    problem: fn(String, String) -> Problem,
) -> Result<(), Problem> {
    ok(answer)?;
    let list: List = json(answer, "a list of models")?;
    if list.models.iter().any(|model| with_tag(&model.name) == with_tag(&named.name)) {
        return Ok(());
    }
    let found = names(list.models.iter().map(|model| model.name.as_str()));
    Err(problem(format!("{named} to be {place}"), found))
}

/// The whole name: without a tag, it is the latest. A colon before a slash is a registry's port.
fn with_tag(name: &str) -> String {
    let has_tag = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if has_tag { name.to_owned() } else { format!("{name}:latest") }
}

#[cfg(test)]
mod tests {
    use super::super::question::{answer, judged};
    use super::*;

    fn judge(name: &str, index: usize, body: &str) -> Option<String> {
        let questions = questions(&Named { name: name.into(), version: None });
        judged(&questions, index, &answer(200, body))
    }

    #[test]
    fn present_is_not_loaded() {
        let list = r#"{"models":[{"name":"mistral:latest","model":"mistral:latest","size":5137025024}]}"#;
        assert_eq!(judge("mistral", 0, list), None);
        assert_eq!(judge("mistral", 1, list), None);
        assert_eq!(
            judge("mistral", 1, r#"{"models":[]}"#).unwrap(),
            "NotYet: expected `mistral` to be in memory, got an empty list"
        );
        assert_eq!(
            judge("mistral:7b", 0, list).unwrap(),
            "Other: expected `mistral:7b` to be present, got `mistral:latest`"
        );
        assert!(judge("mistral", 0, r#"{"data":[]}"#).unwrap().starts_with("Garbage: "));
    }

    #[test]
    fn a_name_without_a_tag_is_the_latest() {
        assert_eq!(with_tag("a"), "a:latest");
        assert_eq!(with_tag("a:7b"), "a:7b");
        assert_eq!(with_tag("host:5000/a"), "host:5000/a:latest");
    }
}
