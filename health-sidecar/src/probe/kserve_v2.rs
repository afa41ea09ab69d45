//! Servers of the Open Inference Protocol, also known as KServe v2: Triton, MLServer, OpenVINO and others.
//!
//! `/v2/health/ready` is not asked: some servers answer it with 200 while they have no model at all. The model
//! itself is asked for by name, and its metadata must bear that name, since a proxy or a server of another
//! kind may answer 200 to any path.

use hyper::StatusCode;
use serde_json::Value;

use super::{BodyCondition, Question};
use crate::http_url::percent_encode;

/// What to ask about the model that the server knows as `name`.
pub fn questions(name: &str) -> Vec<Question> {
    let model = format!("/v2/models/{}", percent_encode(name));
    vec![
        Question {
            path: format!("{model}/ready"),
            status: StatusCode::OK,
            // The protocol lets the status speak; servers that also say it in the body must not contradict it.
            body: BodyCondition::NotFalse("/ready".into()),
        },
        Question {
            path: model,
            status: StatusCode::OK,
            body: BodyCondition::Equals("/name".into(), Value::from(name)),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_change_the_path() {
        let paths: Vec<_> = questions("a/../b?c").into_iter().map(|question| question.path).collect();
        assert_eq!(paths, ["/v2/models/a%2F..%2Fb%3Fc/ready", "/v2/models/a%2F..%2Fb%3Fc"]);
    }
}
