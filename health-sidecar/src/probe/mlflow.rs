//! MLflow's scoring server (`mlflow models serve`).
//!
//! It loads the one model it was started with before it builds its routes, and answers `GET /ping` with 200
//! only when that model is there, 404 otherwise. The answer has no name in it: which model it is follows from
//! the directory it was started on, and the receipt vouches for that.

use hyper::StatusCode;

use super::{BodyCondition, Question};

/// What to ask.
pub fn questions() -> Vec<Question> {
    vec![Question { path: "/ping".into(), status: StatusCode::OK, body: BodyCondition::Any }]
}
