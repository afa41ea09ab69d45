//! Whether an answer will do. Pure: what was asked, what came back and how long it took, nothing else.
//!
//! A value is compared whole: an object has the keys that are expected and no others, a list has the entries
//! that are expected and no others. Numbers are compared by what they are, not by how they are written: `1` is
//! `1.0` and `1e0`. Two whole numbers are compared exactly, however large; any other two as doubles, which is
//! all that a JSON number holds for most servers. A number, a text that looks like one and `true` are three
//! different things. `NaN` and `Infinity` are no JSON, so an answer with one of them never passes.

use std::fmt;
use std::time::Duration;

use handoff::duration;
use serde_json::{Number, Value};

use super::{Check, MAX_QUOTE_CHARACTERS, SmokeRequest, Wanted};
use crate::http_client::Answer;
use crate::one_line;

/// Parts of a header's value that are shorter than this are nothing that could be kept secret.
const SHORTEST_SECRET: usize = 4;

/// Whether `answer`, which took so long, is what `request` expects; if not, how it differs.
///
/// # Errors
/// The difference in one display-ready line, such as `expected 0.93 ± 0.01 at /predictions/0, got 0.41`.
pub fn judge(request: &SmokeRequest, answer: &Answer, took: Duration) -> Result<(), String> {
    let expect = &request.expect;
    let body = || quote(request, &String::from_utf8_lossy(&answer.body));
    if answer.status != expect.status {
        let got = if answer.body.is_empty() { String::new() } else { format!(": `{}`", body()) };
        return Err(format!("expected status {}, got {}{got}", expect.status.as_u16(), answer.status));
    }
    if !expect.json.is_empty() {
        let json: Value =
            serde_json::from_slice(&answer.body).map_err(|_| format!("expected JSON, got `{}`", body()))?;
        if let Some(difference) = expect.json.iter().find_map(|check| check.difference(&json)) {
            let [expected, at, got] = [&difference.expected, &difference.at, &difference.got];
            let [expected, at, got] = [expected, at, got].map(|text| quote(request, text));
            let at = if at.is_empty() { "the top".to_owned() } else { at };
            return Err(format!("expected {expected} at {at}, got {got}"));
        }
    }
    if took > expect.within {
        let [within, took] = [expect.within, took].map(duration::print);
        return Err(format!("expected an answer within {within}, got one after {took}"));
    }
    Ok(())
}

/// `text` in one short line, without what the request's headers hold: a server may repeat them.
fn quote(request: &SmokeRequest, text: &str) -> String {
    let secret = request.request.headers.values().filter(|value| value.is_sensitive());
    let words = secret.filter_map(|value| value.to_str().ok()).flat_map(str::split_whitespace);
    let shown = words
        .filter(|word| word.len() >= SHORTEST_SECRET)
        .fold(text.to_owned(), |text, word| text.replace(word, "***"));
    one_line::of(&shown, MAX_QUOTE_CHARACTERS)
}

/// The first place at which an answer is not as expected.
struct Difference {
    expected: String,
    at: String,
    got: String,
}

impl Difference {
    fn new(expected: impl fmt::Display, at: &str, got: Option<&Value>) -> Self {
        let got = got.map_or_else(|| "nothing".to_owned(), Value::to_string);
        Self { expected: expected.to_string(), at: at.to_owned(), got }
    }
}

impl Check {
    fn difference(&self, answer: &Value) -> Option<Difference> {
        let at = self.pointer.as_str();
        let found = answer.pointer(at);
        match &self.wanted {
            Wanted::Value { value, tolerance } => difference(value, found, *tolerance, at),
            Wanted::Length(length) => {
                let found_length = match found {
                    Some(Value::Array(entries)) => Some(entries.len()),
                    Some(Value::Object(entries)) => Some(entries.len()),
                    _ => None,
                };
                match found_length {
                    Some(found) if found == *length => None,
                    Some(found) => Some(Difference {
                        expected: entries(*length),
                        at: at.to_owned(),
                        got: found.to_string(),
                    }),
                    None => Some(Difference::new(entries(*length), at, found)),
                }
            }
            Wanted::Existence(wanted) => match (wanted, found) {
                (true, None | Some(Value::Null)) => Some(Difference::new("a value", at, found)),
                (false, Some(value)) if !value.is_null() => Some(Difference::new("nothing", at, found)),
                _ => None,
            },
        }
    }
}

/// The first place below `at` where `got` is not `expected`. As deep as `expected` is, which the file bounds.
fn difference(expected: &Value, got: Option<&Value>, tolerance: f64, at: &str) -> Option<Difference> {
    match (expected, got) {
        (Value::Number(wanted), Some(Value::Number(found))) if distance(wanted, found) <= tolerance => None,
        (Value::Number(wanted), _) if tolerance > 0.0 => {
            Some(Difference::new(format!("{wanted} ± {tolerance}"), at, got))
        }
        (Value::Array(wanted), Some(Value::Array(found))) if wanted.len() == found.len() => {
            wanted.iter().zip(found).enumerate().find_map(|(index, (wanted, found))| {
                difference(wanted, Some(found), tolerance, &format!("{at}/{index}"))
            })
        }
        (Value::Array(wanted), Some(Value::Array(found))) => Some(Difference {
            expected: entries(wanted.len()),
            at: at.to_owned(),
            got: found.len().to_string(),
        }),
        (Value::Object(wanted), Some(Value::Object(found))) => {
            let place = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
            let missing = || {
                wanted
                    .iter()
                    .find_map(|(key, value)| difference(value, found.get(key), tolerance, &place(key)))
            };
            let surplus = || {
                let (key, value) = found.iter().find(|(key, _)| !wanted.contains_key(*key))?;
                Some(Difference::new("nothing", &place(key), Some(value)))
            };
            missing().or_else(surplus)
        }
        (wanted, Some(found)) if wanted == found => None,
        (wanted, got) => Some(Difference::new(wanted, at, got)),
    }
}

/// How far two numbers are apart. Not a number, and so within no tolerance, when one of them is no double.
fn distance(one: &Number, other: &Number) -> f64 {
    match (one.as_i128(), other.as_i128()) {
        (Some(one), Some(other)) => {
            Number::from_u128(one.abs_diff(other)).and_then(|it| it.as_f64()).unwrap_or(f64::INFINITY)
        }
        _ => (one.as_f64().unwrap_or(f64::NAN) - other.as_f64().unwrap_or(f64::NAN)).abs(),
    }
}

fn entries(count: usize) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
