//! Any other server that says "loaded" over HTTP: a request, a status and, if that is not enough, a place in a
//! JSON body.

use hyper::body::Bytes;
use hyper::{Method, StatusCode, Uri};
use serde_json::Value;

use super::question::{Problem, Question, json, status};
use crate::http_client::Answer;

/// What must hold of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The statuses that mean "loaded"; at least one.
    pub statuses: Vec<StatusCode>,
    /// What must hold of the body.
    pub body: BodyCondition,
}

/// What must hold of an answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyCondition {
    /// Nothing.
    Any,
    /// It is JSON and has something other than `null` at this JSON pointer.
    Has(String),
    /// It is JSON and has this value at this JSON pointer.
    Equals(String, Value),
}

/// What to ask, from settings already checked.
pub fn questions(method: Method, path: &str, body: String, condition: Condition) -> Vec<Question> {
    vec![Question {
        method,
        body: Bytes::from(body),
        ..Question::list(path, move |answer| condition.judge(answer))
    }]
}

impl Condition {
    fn judge(&self, answer: &Answer) -> Result<(), Problem> {
        status(answer, &self.statuses)?;
        let (pointer, wanted) = match &self.body {
            BodyCondition::Any => return Ok(()),
            BodyCondition::Has(pointer) => (pointer, None),
            BodyCondition::Equals(pointer, wanted) => (pointer, Some(wanted)),
        };
        let body: Value = json(answer, "JSON")?;
        let found = body.pointer(pointer);
        let got = found.map_or_else(|| "nothing".to_owned(), |found| format!("`{found}`"));
        match wanted {
            None if found.is_some_and(|found| !found.is_null()) => Ok(()),
            None => Err(Problem::other(format!("a value at `{pointer}`"), got)),
            Some(wanted) if found == Some(wanted) => Ok(()),
            Some(wanted) => Err(Problem::other(format!("`{wanted}` at `{pointer}`"), got)),
        }
    }
}

/// Whether `path` can be asked for: absolute, maybe with a query, nothing that a URL does not allow.
pub fn is_path(path: &str) -> bool {
    path.starts_with('/') && !path.contains('#') && path.parse::<Uri>().is_ok()
}

/// Whether `pointer` is a JSON pointer (RFC 6901).
pub fn is_pointer(pointer: &str) -> bool {
    pointer.starts_with('/') && pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

/// The expected value: `text` as JSON, so that `true` and `3` are what they look like, else the text itself.
pub fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::super::question::{answer, judged};
    use super::*;

    fn judge(body: BodyCondition, status: u16, text: &str) -> Option<String> {
        let condition = Condition { statuses: vec![StatusCode::OK], body };
        let questions = questions(Method::GET, "/x", String::new(), condition);
        judged(&questions, 0, &answer(status, text))
    }

    #[test]
    fn another_status_is_not_loaded_whatever_the_body_says() {
        for code in [201, 204, 301, 307, 404, 500, 503] {
            let text = judge(BodyCondition::Any, code, "ready").unwrap();
            assert!(text.starts_with(&format!("status {code}: expected status 200, got {code}")), "{text}");
        }
    }

    #[test]
    fn an_empty_model_list_has_nothing_at_its_first_entry() {
        let has = |text| judge(BodyCondition::Has("/data/0/id".into()), 200, text);
        assert_eq!(has(r#"{"data":[{"id":"m"}]}"#), None);
        assert_eq!(has(r#"{"data":[]}"#).unwrap(), "Other: expected a value at `/data/0/id`, got nothing");
        assert!(has(r#"{"data":[{"id":null}]}"#).is_some());
        assert_eq!(has("<html>\n").unwrap(), "Garbage: expected JSON, got `<html>`");
    }

    #[test]
    fn a_value_is_compared_with_its_type() {
        let equals = |expected: Value, text| judge(BodyCondition::Equals("/a".into(), expected), 200, text);
        assert_eq!(equals("1".into(), r#"{"a":"1"}"#), None);
        assert_eq!(equals("1".into(), r#"{"a":1}"#).unwrap(), "Other: expected `\"1\"` at `/a`, got `1`");
        assert_eq!(equals(true.into(), r#"{"a":true}"#), None);
        assert!(equals(true.into(), r#"{"b":true}"#).is_some());
    }

    #[test]
    fn paths_and_pointers_are_checked() {
        for path in ["/", "/v1/models", "/health?full=1"] {
            assert!(is_path(path), "{path}");
        }
        for path in ["", "health", "http://h/", "/a b", "/a#b", "/a\r\nx: y"] {
            assert!(!is_path(path), "{path:?}");
        }
        for pointer in ["/a", "/data/0/id", "/a~1b~0c", "/"] {
            assert!(is_pointer(pointer), "{pointer}");
        }
        for pointer in ["", "a", "/a~2", "/a~"] {
            assert!(!is_pointer(pointer), "{pointer:?}");
        }
    }

    #[test]
    fn a_value_is_json_or_text() {
        assert_eq!(value("true"), Value::Bool(true));
        assert_eq!(value("3"), Value::from(3));
        assert_eq!(value("\"3\""), Value::from("3"));
        assert_eq!(value("product-recommendation"), Value::from("product-recommendation"));
    }
}
