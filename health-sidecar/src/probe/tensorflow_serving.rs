//! TensorFlow Serving; OpenVINO Model Server speaks the same.
//!
//! `GET /v1/models/<name>[/versions/<version>]` lists the state of each version. `AVAILABLE` with the error code
//! `OK` is loaded. Where no version is expected, any that is available will do, since the server goes on with the
//! old one while it loads the new; who must know which of them is served sets `HEALTH_SERVER_MODEL_VERSION`.

use serde::Deserialize;
use serde_json::Value;

use super::question::{Named, Problem, Question, json, names, ok};
use crate::http_client::Answer;

#[derive(Deserialize)]
struct Model {
    model_version_status: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    /// A number that JSON's protobuf mapping writes as text, and others as it is.
    version: Value,
    state: String,
    #[serde(default)]
    status: Status,
}

/// Protobuf's JSON may leave out what is zero or empty, and `OK` is zero.
#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    error_code: String,
    #[serde(default)]
    error_message: String,
}

impl Version {
    fn number(&self) -> String {
        self.version.as_str().map_or_else(|| self.version.to_string(), str::to_owned)
    }

    fn is_available(&self) -> bool {
        self.state == "AVAILABLE" && matches!(self.status.error_code.as_str(), "" | "OK")
    }

    fn describe(&self) -> String {
        let mut text = format!("version `{}` in state {}", self.number(), self.state);
        for part in [&self.status.error_code, &self.status.error_message] {
            if !part.is_empty() && part != "OK" {
                text = format!("{text}, {part}");
            }
        }
        text
    }
}

/// What to ask about `model`.
pub fn questions(model: &Named) -> Vec<Question> {
    let named = model.clone();
    vec![Question::get(model.path("/v1/models"), move |answer| judge(&named, answer))]
}

fn judge(named: &Named, answer: &Answer) -> Result<(), Problem> {
    ok(answer)?;
    let model: Model = json(answer, "a model's versions and their states")?;
    let all = model.model_version_status;
    let expected = || format!("{named} in state AVAILABLE");
    let mut versions = all.iter().filter(|version| named.accepts(Some(&version.number())));
    if versions.clone().any(Version::is_available) {
        return Ok(());
    }
    Err(match versions.next_back() {
        Some(version) => Problem::not_yet(expected(), version.describe()),
        None => {
            let numbers: Vec<_> = all.iter().map(Version::number).collect();
            let versions = names(numbers.iter().map(String::as_str));
            Problem::other(expected(), if all.is_empty() { versions } else { format!("version {versions}") })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::question::{answer, judged};
    use super::*;

    fn judge(version: Option<&str>, versions: &str) -> Option<String> {
        let questions = questions(&Named { name: "m".into(), version: version.map(Into::into) });
        judged(&questions, 0, &answer(200, &format!(r#"{{"model_version_status":[{versions}]}}"#)))
    }

    const AVAILABLE: &str =
        r#"{"version":"2","state":"AVAILABLE","status":{"error_code":"OK","error_message":""}}"#;
    const FAILED: &str =
        r#"{"version":"3","state":"END","status":{"error_code":"NOT_FOUND","error_message":"no graph"}}"#;

    #[test]
    fn the_wanted_version_must_be_available_and_in_order() {
        let both = format!("{AVAILABLE},{FAILED}");
        assert_eq!(judge(None, &both), None);
        assert_eq!(judge(Some("2"), &both), None);
        assert_eq!(
            judge(Some("3"), &both).unwrap(),
            "NotYet: expected `m` version `3` in state AVAILABLE, got version `3` in state END, NOT_FOUND, no graph"
        );
        assert_eq!(
            judge(Some("4"), &both).unwrap(),
            "Other: expected `m` version `4` in state AVAILABLE, got version `2`, `3`"
        );
        assert_eq!(judge(None, "").unwrap(), "Other: expected `m` in state AVAILABLE, got an empty list");
    }

    #[test]
    fn a_version_may_be_a_number_and_an_empty_status_is_ok() {
        assert_eq!(judge(Some("2"), r#"{"version":2,"state":"AVAILABLE","status":{}}"#), None);
        assert_eq!(judge(Some("2"), r#"{"version":2,"state":"AVAILABLE"}"#), None);
        let failed = r#"{"version":2,"state":"AVAILABLE","status":{"error_code":"INTERNAL"}}"#;
        assert_eq!(
            judge(None, failed).unwrap(),
            "NotYet: expected `m` in state AVAILABLE, got version `2` in state AVAILABLE, INTERNAL"
        );
    }
}
