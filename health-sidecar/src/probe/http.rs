//! Any other server that says "loaded" over HTTP: a path, a status and, if that is not enough, a place in a
//! JSON body.

use hyper::{StatusCode, Uri};
use serde_json::Value;

use super::{BodyCondition, Question};

/// What to ask, from settings already checked.
pub fn questions(path: String, status: StatusCode, body: BodyCondition) -> Vec<Question> {
    vec![Question { path, status, body }]
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
    use super::*;

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
