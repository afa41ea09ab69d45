#![allow(clippy::needless_pass_by_value, reason = "tables of cases read better without borrows")]

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderValue};
use serde_json::json;

use super::super::{DEFAULT_WITHIN, Expectation};
use super::*;
use crate::http_client::Request;

fn request(json: Vec<Check>) -> SmokeRequest {
    SmokeRequest {
        name: "known customer".into(),
        request: Request::default(),
        expect: Expectation { status: StatusCode::OK, json, within: DEFAULT_WITHIN },
    }
}

fn answer(status: StatusCode, body: impl ToString) -> Answer {
    Answer { status, body: body.to_string().into() }
}

fn judged(pointer: &str, wanted: Wanted, body: impl ToString) -> Result<(), String> {
    let check = Check { pointer: pointer.into(), wanted };
    judge(&request(vec![check]), &answer(StatusCode::OK, body), Duration::ZERO)
}

fn near(pointer: &str, value: Value, tolerance: f64, body: impl ToString) -> Result<(), String> {
    judged(pointer, Wanted::Value { value, tolerance }, body)
}

fn equal(value: Value, body: impl ToString) -> Result<(), String> {
    near("", value, 0.0, body)
}

#[test]
fn the_status_decides_first_and_what_came_with_another_is_quoted() {
    let judged = |status, body: &str| judge(&request(vec![]), &answer(status, body), Duration::ZERO);
    assert_eq!(judged(StatusCode::OK, "whatever"), Ok(()));
    assert_eq!(
        judged(StatusCode::INTERNAL_SERVER_ERROR, "no\nmodel").unwrap_err(),
        "expected status 200, got 500 Internal Server Error: `no model`"
    );
    assert_eq!(judged(StatusCode::CREATED, "").unwrap_err(), "expected status 200, got 201 Created");
    let mut wants_400 = request(vec![]);
    wants_400.expect.status = StatusCode::BAD_REQUEST;
    assert_eq!(judge(&wants_400, &answer(StatusCode::BAD_REQUEST, "{}"), Duration::ZERO), Ok(()));
    assert!(judge(&wants_400, &answer(StatusCode::OK, "{}"), Duration::ZERO).is_err());
}

#[test]
fn an_answer_that_came_too_late_is_none() {
    let mut request = request(vec![]);
    request.expect.within = Duration::from_millis(500);
    let judged =
        |milliseconds| judge(&request, &answer(StatusCode::OK, ""), Duration::from_millis(milliseconds));
    assert_eq!(judged(500), Ok(()));
    assert_eq!(judged(1300).unwrap_err(), "expected an answer within 500 ms, got one after 1300 ms");
}

#[test]
fn what_is_no_json_is_quoted() {
    for (body, quoted) in [
        ("", ""),
        ("<html>", "<html>"),
        ("{\"predictions\": [0.93", "{\"predictions\": [0.93"),
        ("{\"predictions\": [NaN]}", "{\"predictions\": [NaN]}"),
        ("[Infinity]", "[Infinity]"),
        ("[1e999]", "[1e999]"),
        ("1 2", "1 2"),
    ] {
        let got = judged("", Wanted::Existence(true), body).unwrap_err();
        assert_eq!(got, format!("expected JSON, got `{quoted}`"));
    }
    let deep = "[".repeat(100_000);
    assert!(judged("", Wanted::Existence(true), deep).unwrap_err().starts_with("expected JSON, got `[[["));
}

#[test]
fn a_number_is_what_it_is_and_not_how_it_is_written() {
    for (expected, body) in [
        ("1", "1.0"),
        ("1.0", "1"),
        ("1", "1e0"),
        ("-0.0", "0"),
        ("0.1", "1e-1"),
        ("18446744073709551615", "18446744073709551615"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("9007199254740992", "9007199254740992.0"),
        ("1e308", "1e308"),
    ] {
        assert_eq!(equal(serde_json::from_str(expected).unwrap(), body), Ok(()), "{expected} {body}");
    }
    for (expected, body, got) in [
        (
            "9007199254740992",
            "9007199254740993",
            "expected 9007199254740992 at the top, got 9007199254740993",
        ),
        (
            "18446744073709551615",
            "18446744073709551614",
            "expected 18446744073709551615 at the top, got 18446744073709551614",
        ),
        ("0.3", "0.30000000000000004", "expected 0.3 at the top, got 0.30000000000000004"),
        ("1", "\"1\"", "expected 1 at the top, got \"1\""),
        ("\"1\"", "1", "expected \"1\" at the top, got 1"),
        ("1", "true", "expected 1 at the top, got true"),
        ("false", "0", "expected false at the top, got 0"),
        ("0", "null", "expected 0 at the top, got null"),
        ("null", "0", "expected null at the top, got 0"),
    ] {
        assert_eq!(equal(serde_json::from_str(expected).unwrap(), body).unwrap_err(), got);
    }
}

#[test]
fn a_tolerance_holds_for_every_number_of_a_value() {
    let body = json!({"predictions": [0.94, 2, {"p": -5}], "label": "a"});
    assert_eq!(near("/predictions/0", json!(0.93), 0.011, &body), Ok(()));
    assert_eq!(near("/predictions", json!([0.93, 2.01, {"p": -5.005}]), 0.0125, &body), Ok(()));
    assert_eq!(
        near("/predictions/0", json!(0.93), 0.001, &body).unwrap_err(),
        "expected 0.93 ± 0.001 at /predictions/0, got 0.94"
    );
    assert_eq!(
        near("/predictions", json!([0.93, 2.01, {"p": -4}]), 0.0125, &body).unwrap_err(),
        "expected -4 ± 0.0125 at /predictions/2/p, got -5"
    );
    assert_eq!(
        near("", json!({"predictions": [], "label": "b"}), 0.5, &body).unwrap_err(),
        "expected \"b\" at /label, got \"a\""
    );
    for (got, passes) in [("0.5", true), ("1.5", true), ("0.49", false), ("1.51", false), ("2", false)] {
        assert_eq!(near("", json!(1), 0.5, got).is_ok(), passes, "{got}");
    }
    // Whole numbers that are the same as doubles are one apart all the same.
    assert!(near("", json!(9_007_199_254_740_992_u64), 0.5, json!(9_007_199_254_740_993_u64)).is_err());
    assert_eq!(near("", json!(9_007_199_254_740_992_u64), 1.0, json!(9_007_199_254_740_993_u64)), Ok(()));
    assert!(near("", json!(u64::MAX), 1.0, json!(i64::MIN)).is_err());
    assert!(near("", json!(1e308), 1e308, json!(-1e308)).is_err());
}

#[test]
fn a_value_is_compared_whole() {
    let body = json!({"a": [1, [2, 3]], "b/c": {"~": null}});
    assert_eq!(equal(body.clone(), &body), Ok(()));
    for (expected, got) in [
        (json!({"a": [1, [2, 3]], "b/c": {}}), "expected nothing at /b~1c/~0, got null"),
        (json!({"a": [1, [2, 3]]}), "expected nothing at /b~1c, got {\"~\":null}"),
        (json!({"a": [1, [2, 3]], "b/c": {"~": null}, "d": 1}), "expected 1 at /d, got nothing"),
        (json!({"a": [1, [2]], "b/c": {"~": null}}), "expected 1 entry at /a/1, got 2"),
        (json!({"a": [1, [2, 4]], "b/c": {"~": null}}), "expected 4 at /a/1/1, got 3"),
        (json!({"a": {"0": 1}, "b/c": {"~": null}}), "expected {\"0\":1} at /a, got [1,[2,3]]"),
    ] {
        assert_eq!(equal(expected, &body).unwrap_err(), got);
    }
}

#[test]
fn a_pointer_leads_into_lists_and_objects() {
    let body = json!({"outputs": [{"data": [1, 2]}], "": 7, "a/b": 8, "0": 9});
    for (pointer, value) in [("/outputs/0/data/1", 2), ("/", 7), ("/a~1b", 8), ("/0", 9)] {
        assert_eq!(near(pointer, json!(value), 0.0, &body), Ok(()), "{pointer}");
    }
    for pointer in
        ["/outputs/1", "/outputs/-", "/outputs/00", "/outputs/+0", "/outputs/0/data/1/x", "/nowhere"]
    {
        let got = near(pointer, json!(2), 0.0, &body).unwrap_err();
        assert_eq!(got, format!("expected 2 at {pointer}, got nothing"));
    }
}

#[test]
fn lengths_and_existence() {
    let body = json!({"list": [1, 2], "object": {"a": 1}, "text": "ab", "nothing": null});
    let length = |pointer, length| judged(pointer, Wanted::Length(length), &body);
    assert_eq!(length("/list", 2), Ok(()));
    assert_eq!(length("/object", 1), Ok(()));
    assert_eq!(length("", 4), Ok(()));
    assert_eq!(length("/list", 1).unwrap_err(), "expected 1 entry at /list, got 2");
    assert_eq!(length("/text", 2).unwrap_err(), "expected 2 entries at /text, got \"ab\"");
    assert_eq!(length("/nothing", 0).unwrap_err(), "expected 0 entries at /nothing, got null");
    assert_eq!(length("/none", 0).unwrap_err(), "expected 0 entries at /none, got nothing");
    let existence = |pointer, wanted| judged(pointer, Wanted::Existence(wanted), &body);
    assert_eq!(existence("/text", true), Ok(()));
    assert_eq!(existence("/nothing", true).unwrap_err(), "expected a value at /nothing, got null");
    assert_eq!(existence("/none", true).unwrap_err(), "expected a value at /none, got nothing");
    assert_eq!(existence("/none", false), Ok(()));
    assert_eq!(existence("/nothing", false), Ok(()));
    assert_eq!(existence("/list", false).unwrap_err(), "expected nothing at /list, got [1,2]");
}

#[test]
fn every_check_has_to_hold() {
    let check = |pointer: &str, length| Check { pointer: pointer.into(), wanted: Wanted::Length(length) };
    let request = request(vec![check("/a", 0), check("/b", 1)]);
    let judged = |body: Value| judge(&request, &answer(StatusCode::OK, body), Duration::ZERO);
    assert_eq!(judged(json!({"a": [], "b": [0]})), Ok(()));
    assert!(judged(json!({"a": [], "b": []})).unwrap_err().contains("/b"));
    assert!(judged(json!({"a": [0], "b": [0]})).unwrap_err().contains("/a"));
}

#[test]
fn what_is_quoted_is_short_harmless_and_holds_no_secret() {
    let noise = "\u{1b}[2J\n".repeat(10_000);
    for got in [
        judged("", Wanted::Length(0), json!(noise)).unwrap_err(),
        judged("", Wanted::Existence(true), &noise).unwrap_err(),
        equal(json!({}), json!({noise.as_str(): 1})).unwrap_err(),
        equal(json!(noise), json!(noise.repeat(2))).unwrap_err(),
        judge(&request(vec![]), &answer(StatusCode::BAD_GATEWAY, &noise), Duration::ZERO).unwrap_err(),
    ] {
        assert!(got.chars().count() < 300 && !got.contains(char::is_control), "{got}");
    }
    let mut request = request(vec![]);
    let mut secret = HeaderValue::from_static("Bearer hunter2");
    secret.set_sensitive(true);
    request.request.headers.insert(AUTHORIZATION, secret);
    let told = answer(StatusCode::UNAUTHORIZED, "hunter2 is not a token");
    assert_eq!(
        judge(&request, &told, Duration::ZERO).unwrap_err(),
        "expected status 200, got 401 Unauthorized: `*** is not a token`"
    );
}
