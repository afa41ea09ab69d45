//! NVIDIA's Triton, as itself rather than as one more server of the Open Inference Protocol.
//!
//! `kserve-v2` does for Triton too. What this kind adds is the index of its model repository: it says which
//! version is in which state, and why, where the protocol alone says 400. So a model that is loading or has
//! failed to load is told as such. The index is a `POST` that changes nothing; MLServer has it as well.

use hyper::Method;
use hyper::body::Bytes;
use serde::Deserialize;

use super::kserve_v2;
use super::question::{Named, Problem, Question, json, names, ok};
use crate::http_client::Answer;

#[derive(Deserialize)]
struct Entry {
    name: String,
    version: Option<String>,
    state: Option<String>,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Server {
    name: String,
}

/// What to ask about `model`.
pub fn questions(model: &Named) -> Vec<Question> {
    let named = model.clone();
    let index = Question {
        method: Method::POST,
        body: Bytes::from_static(b"{\"ready\":false}"),
        ..Question::list("/v2/repository/index", move |answer| judge(&named, answer))
    };
    vec![index, kserve_v2::ready(model)]
}

/// What tells Triton from other servers of the protocol.
pub fn recognised_by() -> Question {
    Question::get("/v2".to_owned(), |answer| {
        ok(answer)?;
        let server: Server = json(answer, "a server's metadata")?;
        if server.name == "triton" {
            Ok(())
        } else {
            Err(Problem::other("a server named `triton`", format!("`{}`", server.name)))
        }
    })
}

fn judge(named: &Named, answer: &Answer) -> Result<(), Problem> {
    ok(answer)?;
    let index: Vec<Entry> = json(answer, "an index of models")?;
    let entries: Vec<_> = index.iter().filter(|entry| entry.name == named.name).collect();
    let expected = || format!("{named} in state READY");
    if entries.is_empty() {
        return Err(Problem::other(expected(), names(index.iter().map(|entry| entry.name.as_str()))));
    }
    let mut versions = entries.iter().filter(|entry| named.accepts(entry.version.as_deref()));
    if versions.clone().any(|entry| entry.state.as_deref() == Some("READY")) {
        return Ok(());
    }
    match versions.next() {
        Some(Entry { state: Some(state), reason, .. }) => {
            let reason = reason.as_deref().filter(|reason| !reason.is_empty());
            Err(Problem::not_yet(
                expected(),
                reason.map_or(state.clone(), |reason| format!("{state}: {reason}")),
            ))
        }
        // What was never loaded has a name and nothing else.
        Some(Entry { state: None, .. }) => Err(Problem::not_yet(expected(), "no state")),
        None if entries.iter().all(|entry| entry.version.is_none()) => {
            Err(Problem::not_yet(expected(), "no version"))
        }
        None => {
            let versions = entries.iter().filter_map(|entry| entry.version.as_deref());
            Err(Problem::other(expected(), format!("version {}", names(versions))))
        }
    }
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
    fn the_index_says_which_version_is_in_which_state() {
        let index = r#"[{"name":"n","version":"1","state":"READY"},
            {"name":"m","version":"1","state":"READY"},
            {"name":"m","version":"2","state":"UNAVAILABLE","reason":"loading"}]"#;
        assert_eq!(judge(None, index), None);
        assert_eq!(judge(Some("1"), index), None);
        assert_eq!(
            judge(Some("2"), index).unwrap(),
            "NotYet: expected `m` version `2` in state READY, got UNAVAILABLE: loading"
        );
        assert_eq!(
            judge(Some("3"), index).unwrap(),
            "Other: expected `m` version `3` in state READY, got version `1`, `2`"
        );
    }

    #[test]
    fn what_is_not_loaded_has_a_name_alone() {
        assert_eq!(
            judge(None, r#"[{"name":"m"}]"#).unwrap(),
            "NotYet: expected `m` in state READY, got no state"
        );
        assert_eq!(
            judge(Some("1"), r#"[{"name":"m"}]"#).unwrap(),
            "NotYet: expected `m` version `1` in state READY, got no version"
        );
        assert_eq!(judge(None, "[]").unwrap(), "Other: expected `m` in state READY, got an empty list");
        assert_eq!(judge(None, r#"[{"name":"n"}]"#).unwrap(), "Other: expected `m` in state READY, got `n`");
        for garbage in ["", "{}", "[1]", r#"[{"state":"READY"}]"#] {
            assert!(judge(None, garbage).unwrap().starts_with("Garbage: "), "{garbage}");
        }
    }

    #[test]
    fn another_server_of_the_protocol_is_not_triton() {
        let judge = |body| judged(&[recognised_by()], 0, &answer(200, body));
        assert_eq!(judge(r#"{"name":"triton","version":"2.60.0","extensions":[]}"#), None);
        assert_eq!(
            judge(r#"{"name":"mlserver","version":"1.7.1"}"#).unwrap(),
            "Other: expected a server named `triton`, got `mlserver`"
        );
    }
}
