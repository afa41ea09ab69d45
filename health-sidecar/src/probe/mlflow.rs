//! MLflow's scoring server (`mlflow models serve`).
//!
//! It loads the one model it was started with before it builds its routes, and answers `GET /ping` with 200
//! only when that model is there, 404 otherwise. The answer has no name in it: which model it is follows from
//! the directory it was started on, and the receipt vouches for that.

use super::question::{Problem, Question, ok};
use crate::http_client::Answer;

/// What to ask.
pub fn questions() -> Vec<Question> {
    vec![Question::get("/ping".to_owned(), ok)]
}

/// What tells MLflow from the many other servers with a `/ping`: it says its own version, and nothing else. Only
/// who has not been told that this is MLflow needs it; what SageMaker puts before the server does not let it through.
pub fn recognised_by() -> Question {
    Question::get("/version".to_owned(), judge_version)
}

fn judge_version(answer: &Answer) -> Result<(), Problem> {
    ok(answer)?;
    let text = String::from_utf8_lossy(&answer.body);
    let numbers: Vec<_> = text.trim().split('.').collect();
    let is_number = |part: &&str| part.starts_with(|first: char| first.is_ascii_digit());
    if numbers.len() >= 3 && text.len() < 32 && numbers.iter().take(2).all(is_number) {
        Ok(())
    } else {
        Err(Problem::garbage("a version such as `3.1.0`", answer))
    }
}

#[cfg(test)]
mod tests {
    use super::super::question::{answer, judged};
    use super::*;

    #[test]
    fn a_version_is_nothing_but_numbers() {
        let judge = |body| judged(&[recognised_by()], 0, &answer(200, body));
        for version in ["3.1.0", "2.22.1\n", "3.5.0.dev0", "3.0.0rc1"] {
            assert_eq!(judge(version), None, "{version}");
        }
        for other in ["", "\n", "ok", "3", r#"{"version":"0.5.1"}"#, "<html>", r#""3.1.0""#] {
            assert!(judge(other).is_some(), "{other}");
        }
    }
}
