use serde_json::json;

use super::*;

const HEAD: &str = "apiVersion: plimsoll.dev/v1\nkind: SmokeRequests\nrequests:\n";

/// One request with a name and a path, and whatever else.
fn with(rest: &str) -> Result<SmokeRequest, String> {
    let text = format!("{HEAD}- name: a\n  path: /x\n{rest}");
    parse(text.as_bytes()).map(|mut requests| requests.remove(0)).map_err(|error| one_line::of_error(&error))
}

fn refusal(text: impl AsRef<[u8]>) -> String {
    one_line::of_error(&parse(text.as_ref()).unwrap_err())
}

fn checks(json: &str) -> Result<Vec<Check>, String> {
    with(&format!("  expect: {{json: {json}}}")).map(|request| request.expect.json)
}

#[test]
fn what_is_not_said_has_its_default() {
    let request = with("").unwrap();
    assert_eq!(request.name, "a");
    assert_eq!(request.request, Request { path: "/x".into(), ..Request::default() });
    assert_eq!(request.request.method, Method::GET);
    assert_eq!(request.expect.status, StatusCode::OK);
    assert_eq!((request.expect.json.len(), request.expect.within), (0, DEFAULT_WITHIN));
}

#[test]
fn everything_that_can_be_said_is_understood() {
    let text = format!(
        "{HEAD}- name: known customer\n  method: PUT\n  path: /invocations?verbose=1\n  headers:\n    \
         Authorization: Bearer t\n    X-Tries: 3\n  body:\n    inputs: [[1, 2.5, 0.1]]\n    country: no\n    \
         code: 007\n    nothing:\n  expect:\n    status: 201\n    within: 500ms\n    json:\n    \
         - pointer: /predictions/0\n      value: 0.93\n      tolerance: 0.01\n    \
         - {{pointer: '', length: 1}}\n    - {{pointer: /a~1b, exists: false}}\n    - {{pointer: /b, value: null}}\n"
    );
    let [request] = &parse(text.as_bytes()).unwrap()[..] else { panic!("expected one request") };
    let asked = &request.request;
    assert_eq!((&asked.method, asked.path.as_str()), (&Method::PUT, "/invocations?verbose=1"));
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(body, json!({"inputs": [[1, 2.5, 0.1]], "country": "no", "code": "007", "nothing": null}));
    let headers: Vec<_> = asked.headers.iter().map(|(name, it)| (name.as_str(), it.is_sensitive())).collect();
    assert_eq!(headers, [("authorization", true), ("x-tries", true), ("content-type", false)]);
    assert_eq!(asked.headers["authorization"], "Bearer t");
    assert_eq!(asked.headers["x-tries"], "3");
    assert_eq!(asked.headers["content-type"], "application/json");
    assert_eq!(request.expect.status, StatusCode::CREATED);
    assert_eq!(request.expect.within, Duration::from_millis(500));
    let wanted: Vec<_> =
        request.expect.json.iter().map(|check| (check.pointer.as_str(), check.wanted.clone())).collect();
    assert_eq!(
        wanted,
        [
            ("/predictions/0", Wanted::Value { value: json!(0.93), tolerance: 0.01 }),
            ("", Wanted::Length(1)),
            ("/a~1b", Wanted::Existence(false)),
            ("/b", Wanted::Value { value: Value::Null, tolerance: 0.0 }),
        ]
    );
}

#[test]
fn a_body_makes_a_post() {
    let json = with("  body: null\n").unwrap().request;
    assert_eq!((json.method, &json.body[..]), (Method::POST, &b"null"[..]));
    let text = with("  bodyText: \"a,b\\n1,2\\n\"\n  headers: {content-type: text/csv}\n").unwrap().request;
    assert_eq!((text.method, &text.body[..]), (Method::POST, &b"a,b\n1,2\n"[..]));
    assert_eq!(text.headers["content-type"], "text/csv");
    let own = with("  body: {}\n  headers: {Content-Type: application/vnd.x+json}\n").unwrap().request;
    assert_eq!(own.headers["content-type"], "application/vnd.x+json");
    assert_eq!(with("  body: {}\n  method: GET\n").unwrap().request.method, Method::GET);
}

#[test]
fn what_is_not_of_this_shape_is_refused_with_the_place() {
    for (text, message) in [
        ("", "unexpected end of file at line 1, column 1"),
        ("a: 1", "unknown field `a`, expected one of apiVersion, kind, requests at line 1, column 1"),
        ("kind: SmokeRequests\nrequests: []\n", "missing field `apiVersion` at line 2, column 1"),
        (
            "apiVersion: plimsoll.dev/v2\nkind: SmokeRequests\nrequests: []\n",
            "apiVersion: expected `plimsoll.dev/v1`, got `plimsoll.dev/v2`",
        ),
        (
            "apiVersion: plimsoll.dev/v1\nkind: Model\nrequests: []\n",
            "kind: expected `SmokeRequests`, got `Model`",
        ),
        (
            "apiVersion: plimsoll.dev/v1\nkind: SmokeRequests\nrequests: []\n",
            "requests: expected 1 to 100 entries, got 0",
        ),
    ] {
        assert_eq!(refusal(text), message, "{text}");
    }
    assert_eq!(refusal(b"\xff\xfe\xfd"), "YAML parser input is not valid UTF-8");
    assert_eq!(refusal("x".repeat(MAX_FILE_BYTES + 1)), "is longer than 1048576 bytes");
}

#[test]
fn what_is_wrong_with_a_request_is_said_exactly() {
    let expected_path = "expected a path that starts with `/`, of at most 2048 bytes";
    for (rest, message) in [
        ("  expct: {}\n", "unknown field `expct`, expected one of name, method, path, headers, body, bodyText, expect at line 6, column 3".to_owned()),
        ("  expect: {statuss: 1}\n", "unknown field `statuss`, expected one of status, within, json at line 6, column 12".to_owned()),
        ("  expect: {json: [{pointer: /a, valeu: 1}]}\n", "unknown field `valeu`, expected one of pointer, value, tolerance, length, exists at line 6, column 33".to_owned()),
        ("  path: /y\n", "duplicate mapping key `path` is not allowed here at line 6, column 3".to_owned()),
        ("---\n{}\n", "only single YAML document expected but multiple found at line 7, column 1".to_owned()),
        ("  body: .nan\n", "value `.nan` is not a finite number at line 6, column 9".to_owned()),
        ("  body: !mine 1\n", "unsupported tag `!mine` at line 6, column 15".to_owned()),
        ("  body: 1\n  bodyText: x\n", "requests[0]: expected `body` or `bodyText`, got both".to_owned()),
        ("  method: delete\n", "requests[0].method: expected `GET`, `POST` or `PUT`, got `delete`".to_owned()),
        ("- name: a\n  path: /y\n", "requests[1].name: expected another name for each request, got `a`".to_owned()),
        ("- name: ''\n  path: /y\n", "requests[1].name: expected 1 to 100 characters, and no control characters, got ``".to_owned()),
        ("- name: \"b\\nc\"\n  path: /y\n", "requests[1].name: expected 1 to 100 characters, and no control characters, got `b c`".to_owned()),
        ("- name: b\n  path: y\n", format!("requests[1].path: {expected_path}, got `y`")),
        ("- name: b\n  path: http://h/\n", format!("requests[1].path: {expected_path}, got `http://h/`")),
        ("  headers: {a b: c}\n", "requests[0].headers: expected names of headers, got `a b`".to_owned()),
        ("  headers: {Host: c}\n", "requests[0].headers.host: this header is set by the sidecar itself".to_owned()),
        ("  headers: {content-length: 0}\n", "requests[0].headers.content-length: this header is set by the sidecar itself".to_owned()),
        ("  headers: {A: b, a: c}\n", "requests[0].headers.a: this header is there twice".to_owned()),
        ("  expect: {status: 199}\n", "requests[0].expect.status: expected a status from 200 to 599, got 199".to_owned()),
        ("  expect: {status: 600}\n", "requests[0].expect.status: expected a status from 200 to 599, got 600".to_owned()),
        ("  expect: {status: 2xx}\n", "invalid u16 at line 6, column 20".to_owned()),
        ("  expect: {within: 5}\n", "requests[0].expect.within: expected a duration such as `500ms`, of at most 120 s, got `5`".to_owned()),
        ("  expect: {within: 0s}\n", "requests[0].expect.within: expected a duration such as `500ms`, of at most 120 s, got `0s`".to_owned()),
        ("  expect: {within: 3m}\n", "requests[0].expect.within: expected a duration such as `500ms`, of at most 120 s, got `3m`".to_owned()),
    ] {
        assert_eq!(with(rest).unwrap_err(), message, "{rest}");
    }
}

#[test]
fn a_check_that_could_not_fail_as_meant_is_refused() {
    for (json, message) in [
        (
            "[{pointer: a, value: 1}]",
            "requests[0].expect.json[0].pointer: expected a JSON pointer such as `/predictions/0`, of at most 2048 bytes, or nothing for the whole answer, got `a`",
        ),
        (
            "[{pointer: /a}]",
            "requests[0].expect.json[0]: expected `value`, `length` or `exists`, got none of them",
        ),
        (
            "[{pointer: /a, value: 1}, {pointer: /a, value: 1, length: 1}]",
            "requests[0].expect.json[1]: expected one of `value`, `length` and `exists`, got several",
        ),
        (
            "[{pointer: /a, value: x, tolerance: 1}]",
            "requests[0].expect.json[0].tolerance: has no effect on a value without numbers",
        ),
        (
            "[{pointer: /a, length: 1, tolerance: 1}]",
            "requests[0].expect.json[0].tolerance: has no effect without `value`",
        ),
        (
            "[{pointer: /a, value: 1, tolerance: -0.1}]",
            "requests[0].expect.json[0].tolerance: expected a finite number that is not negative, got -0.1",
        ),
        (
            "[{pointer: /a, value: 1, tolerance: .inf}]",
            "requests[0].expect.json[0].tolerance: expected a finite number that is not negative, got inf",
        ),
        (
            "[{pointer: /a, value: 1, tolerance: .nan}]",
            "requests[0].expect.json[0].tolerance: expected a finite number that is not negative, got NaN",
        ),
        ("[{pointer: /a, value: .inf}]", "value `.inf` is not a finite number at line 6, column 40"),
        ("[{pointer: /a, exists: yes}]", "invalid boolean (true or false expected) at line 6, column 41"),
        ("[{pointer: /a, length: -1}]", "invalid u64 at line 6, column 41"),
        ("[{value: 1}]", "missing field `pointer` at line 6, column 20"),
    ] {
        assert_eq!(checks(json).unwrap_err(), message, "{json}");
    }
    assert_eq!(checks("[{pointer: /a, value: [x, {b: 1}], tolerance: 0.5}]").unwrap().len(), 1);
}

#[test]
fn every_bound_is_held() {
    let many = |count: usize| {
        let entries = (0..count).map(|index| format!("- name: n{index}\n  path: /\n"));
        parse(format!("{HEAD}{}", entries.collect::<String>()).as_bytes())
    };
    assert_eq!(many(MAX_REQUESTS).unwrap().len(), MAX_REQUESTS);
    let error = one_line::of_error(&many(MAX_REQUESTS + 1).unwrap_err());
    assert_eq!(error, "requests: expected 1 to 100 entries, got 101");

    let check = "{pointer: /, length: 0},";
    assert_eq!(checks(&format!("[{}]", check.repeat(MAX_CHECKS))).unwrap().len(), MAX_CHECKS);
    let error = checks(&format!("[{}]", check.repeat(MAX_CHECKS + 1))).unwrap_err();
    assert_eq!(error, "requests[0].expect.json: expected 0 to 100 entries, got 101");

    let headers: String = (0..=MAX_HEADERS).map(|index| format!("h{index}: x,")).collect();
    let error = with(&format!("  headers: {{{headers}}}\n")).unwrap_err();
    assert_eq!(error, "requests[0].headers: expected 0 to 32 entries, got 33");

    let text = |bytes| with(&format!("  bodyText: {}\n", "x".repeat(bytes)));
    assert_eq!(text(MAX_BODY_BYTES).unwrap().request.body.len(), MAX_BODY_BYTES);
    assert_eq!(
        text(MAX_BODY_BYTES + 1).unwrap_err(),
        "requests[0]: expected a body of at most 262144 bytes, got 262145"
    );
    let name = "ä".repeat(MAX_NAME_CHARACTERS + 1);
    let error = refusal(format!("{HEAD}- name: {name}\n  path: /\n"));
    assert!(
        error.starts_with("requests[0].name: expected 1 to 100 characters") && error.len() < 400,
        "{error}"
    );
    let path = "/".repeat(MAX_PATH_BYTES + 1);
    let error = refusal(format!("{HEAD}- name: a\n  path: {path}\n"));
    assert!(error.starts_with("requests[0].path: expected") && error.len() < 400, "{error}");
    let error = checks(&format!("[{{pointer: '{path}', length: 0}}]")).unwrap_err();
    assert!(
        error.starts_with("requests[0].expect.json[0].pointer: expected") && error.len() < 400,
        "{error}"
    );
}

#[test]
fn a_small_file_cannot_become_a_large_one() {
    // Five bodies of 256 KiB from one.
    let long = "x".repeat(MAX_BODY_BYTES - 2);
    let more: String = (1..5).map(|index| format!("- name: n{index}\n  path: /\n  body: *long\n")).collect();
    let error = refusal(format!("{HEAD}- name: a\n  path: /\n  body: &long {long}\n{more}"));
    assert_eq!(
        error,
        "requests[4]: expected at most 1048576 bytes in all bodies up to this one, got 1310720"
    );
    let mut laughs = "  body:\n    l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let before = format!("*l{},", level - 1).repeat(10);
        laughs += &format!("    l{level}: &l{level} [{before}]\n");
    }
    let error = with(&laughs).unwrap_err();
    assert!(error.contains("too large or too complex") || error.contains("alias"), "{error}");
    let error = with(&format!("  body: {}\n", "[".repeat(100_000))).unwrap_err();
    assert!(error.len() < 400, "{error}");
}

#[test]
fn no_error_repeats_a_header() {
    let long = format!("  headers: {{x: 'hunter2{}'}}\n", "x".repeat(MAX_HEADER_BYTES));
    for rest in [
        "  headers: Bearer hunter2\n",
        "  headers: [Bearer hunter2]\n",
        "  headers:\n    Authorization: [hunter2]\n",
        "  headers:\n    Authorization: {a: hunter2}\n",
        "  headers:\n    Authorization: 'hunter2\n",
        "  headers:\n    Authorization: \"hunter2\\q\"\n",
        "  headers:\n    Authorization: \"hunter2\\n\"\n",
        "  headers:\n    Authorization: a: hunter2\n",
        "  headers:\n  Authorization: hunter2\n",
        "  headers:\n    Authorization: !!int hunter2\n",
        "  headers:\n    Authorization: !secret hunter2\n",
        "  headers:\n    Authorization: *hunter2\n",
        "  headers:\n    a: hunter2\n    a: hunter2\n",
        "  headers:\n    Host: hunter2\n",
        "  headers:\n    A: hunter2\n    a: hunter2\n",
        long.as_str(),
    ] {
        let error = with(rest).unwrap_err();
        assert!(!error.contains("hunter2"), "{rest}: {error}");
    }
    let request = with("  headers:\n    Authorization: hunter2\n").unwrap();
    assert!(!format!("{request:?}").contains("hunter2"), "{request:?}");
}

#[test]
fn a_file_is_read_if_it_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("smoke.yaml");
    let refusal = |path: &Path| one_line::of_error(&read(path).unwrap_err());
    assert_eq!(refusal(&path), "cannot be read: No such file or directory (os error 2)");
    assert_eq!(refusal(folder.path()), "is not a file");
    std::fs::write(&path, format!("{HEAD}- name: a\n  path: /\n")).unwrap();
    assert_eq!(read(&path).unwrap().len(), 1);
    std::fs::write(&path, " ".repeat(MAX_FILE_BYTES + 1)).unwrap();
    assert_eq!(refusal(&path), "is longer than 1048576 bytes");
}

#[test]
fn the_documented_files_are_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = read(&root.join("examples/smoke.yaml")).unwrap();
    assert_eq!(example.len(), 3);
    let readme = std::fs::read_to_string(root.join("../README.md")).unwrap();
    let (_, section) = readme.split_once("### Smoke requests").unwrap();
    let yaml = section.split("```").nth(1).and_then(|block| block.strip_prefix("yaml\n")).unwrap();
    let [request] = &parse(yaml.as_bytes()).unwrap()[..] else { panic!("expected one request") };
    assert_eq!((request.request.method.clone(), request.expect.json.len()), (Method::POST, 3));
}
