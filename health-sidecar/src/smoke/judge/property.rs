//! Whatever is asked and whatever comes back, the verdict is that of a model so plain that it can be checked by
//! reading: it takes both sides apart into leaves and compares those, one by one.

use std::cell::Cell;

use hyper::StatusCode;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use super::super::Expectation;
use super::*;
use crate::http_client::Request;

/// Few values, so that many are alike, and most of them nearly.
fn value() -> impl Strategy<Value = Value> {
    let leaves = [
        json!(null),
        json!(true),
        json!(""),
        json!("1"),
        json!(0),
        json!(-0.0),
        json!(1),
        json!(1.0),
        json!(0.5),
        json!(0.51),
        json!(9_007_199_254_740_992_u64),
        json!(9_007_199_254_740_993_u64),
        json!(9_007_199_254_740_992.0),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
    ];
    let leaf = proptest::sample::select(leaves.to_vec());
    leaf.prop_recursive(3, 8, 2, |inner| {
        let keys = proptest::sample::select(vec!["a", "b/c"]).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(keys, inner, 0..3)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn check() -> impl Strategy<Value = Check> {
    let pointers = ["", "/a", "/0", "/1", "/b~1c", "/a/0", "/a/a"];
    let wanted = prop_oneof![
        4 => (value(), proptest::sample::select(vec![0.0, 0.008, 0.5, 1.0, 1e3]))
            .prop_map(|(value, tolerance)| Wanted::Value { value, tolerance }),
        1 => (0_usize..3).prop_map(Wanted::Length),
        1 => any::<bool>().prop_map(Wanted::Existence),
    ];
    (proptest::sample::select(pointers.to_vec()), wanted)
        .prop_map(|(pointer, wanted)| Check { pointer: pointer.to_owned(), wanted })
}

/// Every place of a value with what is there: a leaf as it is, a list or an object by its kind.
fn leaves(value: &Value, path: Vec<String>, found: &mut Vec<(Vec<String>, Value)>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Array(entries) => entries.iter().enumerate().map(|(at, it)| (at.to_string(), it)).collect(),
        Value::Object(entries) => entries.iter().map(|(key, it)| (key.clone(), it)).collect(),
        leaf => return found.push((path, leaf.clone())),
    };
    found.push((path.clone(), if value.is_array() { json!([]) } else { json!({}) }));
    for (key, child) in children {
        leaves(child, [path.clone(), vec![key]].concat(), found);
    }
}

fn alike(one: &Value, other: &Value, tolerance: f64) -> bool {
    let (Value::Number(one), Value::Number(other)) = (one, other) else { return one == other };
    let whole = |number: &Number| number.to_string().parse::<i128>().ok();
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => {
            (one - other).abs() <= format!("{:.0}", tolerance.floor()).parse::<i128>().unwrap()
        }
        _ => (one.as_f64().unwrap() - other.as_f64().unwrap()).abs() <= tolerance,
    }
}

fn holds(check: &Check, answer: &Value) -> bool {
    let mut found = Some(answer);
    for step in check.pointer.split('/').skip(1) {
        let step = step.replace("~1", "/");
        found = match found {
            Some(Value::Array(entries)) => step.parse::<usize>().ok().and_then(|at| entries.get(at)),
            Some(Value::Object(entries)) => entries.get(&step),
            _ => None,
        };
    }
    match (&check.wanted, found) {
        (Wanted::Existence(wanted), found) => found.is_some_and(|it| *it != json!(null)) == *wanted,
        (_, None) => false,
        (Wanted::Length(length), Some(found)) => {
            found.as_array().is_some_and(|it| it.len() == *length)
                || found.as_object().is_some_and(|it| it.len() == *length)
        }
        (Wanted::Value { value, tolerance }, Some(found)) => {
            let (mut wanted, mut got) = (Vec::new(), Vec::new());
            leaves(value, Vec::new(), &mut wanted);
            leaves(found, Vec::new(), &mut got);
            wanted.len() == got.len()
                && wanted.iter().zip(&got).all(|((one_path, one), (other_path, other))| {
                    one_path == other_path && alike(one, other, *tolerance)
                })
        }
    }
}

#[test]
fn an_answer_passes_if_and_only_if_the_plain_model_says_so() {
    let passed = Cell::new(0_u32);
    let mut runner = TestRunner::new(Config { cases: 5_000, failure_persistence: None, ..Config::default() });
    let inputs = (
        prop::collection::vec(check(), 1..3),
        value(),
        any::<bool>(),
        proptest::sample::select(vec![(200, 200), (400, 400), (200, 200), (200, 500)]),
        proptest::sample::select(vec![(2, 1), (1, 1), (1, 0), (1, 2)]),
    );
    let outcome = runner.run(&inputs, |(mut json, body, nearly_itself, (status, got), (within, took))| {
        if nearly_itself && let Wanted::Value { value, .. } = &mut json[0].wanted {
            // Nearly: one of the numbers becomes another that is close.
            *value = serde_json::from_str(&body.to_string().replace("0.51", "0.5")).unwrap();
            json[0].pointer.clear();
        }
        let [status, got] = [status, got].map(|code| StatusCode::from_u16(code).unwrap());
        let [within, took] = [within, took].map(Duration::from_secs);
        let naive = status == got && took <= within && json.iter().all(|check| holds(check, &body));
        let request = SmokeRequest {
            name: "x".into(),
            request: Request::default(),
            expect: Expectation { status, json, within },
        };
        let verdict = judge(&request, &Answer { status: got, body: body.to_string().into() }, took);
        passed.set(passed.get() + u32::from(naive));
        prop_assert_eq!(verdict.is_ok(), naive, "{:?}", verdict);
        if let Err(line) = verdict {
            prop_assert!(line.starts_with("expected ") && line.chars().count() < 300, "{}", line);
        }
        Ok(())
    });
    outcome.unwrap();
    assert!((500..4_000).contains(&passed.get()), "{} of 5000 passed, which shows little", passed.get());
}
