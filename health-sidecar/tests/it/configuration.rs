//! Wrong settings: exit 64, a message that names the setting, and a hint, before anything is touched.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test] functions")]

use std::net::{Ipv4Addr, TcpListener};

use crate::sidecar::command;

/// Exit 64 and the first line, with a port that is taken: whoever got as far as listening would exit with 74.
#[track_caller]
fn refusal(settings: &[(&str, &str)]) -> String {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let output = command()
        .env("HEALTH_LISTEN", taken.local_addr().unwrap().to_string())
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{settings:?}: {text}");
    let (message, hint) = text.split_once("\n\nhint: ").unwrap();
    assert!(!message.contains('\n') && !hint.trim_end().contains('\n') && hint.len() > 10, "{text}");
    message.to_owned()
}

#[test]
fn each_wrong_setting_is_named_with_what_would_do() {
    let long = "x".repeat(257);
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[], "error: HEALTH_SERVER (--server) is not set"),
        (
            &[("HEALTH_SERVER", "bentoml")],
            "error: HEALTH_SERVER (--server): expected one of `auto`, `kserve-v2`, `kserve-v1`, `triton`, \
             `tensorflow-serving`, `torchserve`, `openai`, `ollama`, `mlflow`, `http`, `grpc`, `tcp`, got `bentoml`",
        ),
        (&[("HEALTH_SERVER", "kserve-v2")], "error: HEALTH_SERVER_MODEL (--server-model) is not set"),
        (
            &[("HEALTH_SERVER", "mlflow"), ("MODEL_VERSION", "")],
            "error: MODEL_VERSION (--model-version): expected 1 to 256 bytes without control characters, got ``",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("MODEL_NAME", &long)],
            "error: MODEL_NAME (--model-name): expected 1 to",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("MODEL_DIR", "")],
            "error: MODEL_DIR (--model-dir): expected a directory",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("HEALTH_LISTEN", "8090")],
            "error: HEALTH_LISTEN (--listen): expected an address and a port, such as `[::]:8090`, got `8090`",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("HEALTH_SERVER_URL", "https://h")],
            "error: HEALTH_SERVER_URL (--server-url) is not an address that can be asked: expected `http://`, got `https://`",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("HEALTH_PROBE_PERIOD", "5")],
            "error: HEALTH_PROBE_PERIOD (--probe-period): expected a whole number and a unit",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("HEALTH_PROBE_PERIOD", "1ms")],
            "error: HEALTH_PROBE_PERIOD (--probe-period): expected from 200 ms to 3600 s, got `1ms`",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("HEALTH_PROBE_TIMEOUT", "6s")],
            "error: HEALTH_PROBE_TIMEOUT (--probe-timeout): expected from 10 ms to 2500 ms, got `6s`",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("HEALTH_PROBE_FAILURES", "0")],
            "error: HEALTH_PROBE_FAILURES (--probe-failures): expected a number from 1 to 100, got `0`",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("HEALTH_DRAIN", "2h")],
            "error: HEALTH_DRAIN (--drain): expected from 0 s",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("HEALTH_LOG_FORMAT", "xml")],
            "error: HEALTH_LOG_FORMAT (--log-format): expected `text` or `json`, got `xml`",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("HEALTH_LOG_LEVEL", "loud")],
            "error: HEALTH_LOG_LEVEL (--log-level): expected",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("HEALTH_REPORT", "rollout")],
            "error: HEALTH_REPORT (--report): expected `pod` or `deployment`, got `rollout`",
        ),
        (&[("HEALTH_SERVER", "mlflow"), ("HEALTH_REPORT", "pod")], "error: POD_NAME (--pod-name) is not set"),
        (
            &[("HEALTH_SERVER", "mlflow"), ("HEALTH_REPORT", "pod"), ("POD_NAME", "a/../b")],
            "error: POD_NAME (--pod-name): expected a name as Kubernetes has it, got `a/../b`",
        ),
        (
            &[
                ("HEALTH_SERVER", "mlflow"),
                ("HEALTH_REPORT", "pod"),
                ("POD_NAME", "a"),
                ("HEALTH_REPORT_CREDENTIALS", "/nowhere"),
            ],
            "error: POD_NAMESPACE (--pod-namespace) is not set",
        ),
        (
            &[
                ("HEALTH_SERVER", "mlflow"),
                ("HEALTH_REPORT", "pod"),
                ("POD_NAME", "a"),
                ("POD_NAMESPACE", "n"),
            ],
            "error: POD_UID (--pod-uid) is not set",
        ),
        (
            &[
                ("HEALTH_SERVER", "mlflow"),
                ("HEALTH_REPORT", "deployment"),
                ("POD_NAME", "a"),
                ("POD_NAMESPACE", "n"),
            ],
            "error: POD_TEMPLATE_HASH (--pod-template-hash) is not set",
        ),
        (
            &[
                ("HEALTH_SERVER", "mlflow"),
                ("HEALTH_REPORT", "deployment"),
                ("POD_NAME", "a"),
                ("POD_NAMESPACE", "n"),
                ("POD_TEMPLATE_HASH", "7d4b9"),
            ],
            "error: HEALTH_REPORT_NAME (--report-name) is not set",
        ),
        (
            &[
                ("HEALTH_SERVER", "mlflow"),
                ("HEALTH_REPORT", "pod"),
                ("POD_NAME", "a"),
                ("POD_NAMESPACE", "n"),
                ("POD_UID", "u"),
            ],
            "error: KUBERNETES_SERVICE_HOST (--kubernetes-service-host) is not set",
        ),
        (
            &[
                ("HEALTH_SERVER", "mlflow"),
                ("HEALTH_REPORT", "pod"),
                ("POD_NAME", "a"),
                ("POD_NAMESPACE", "n"),
                ("POD_UID", "u"),
                ("HEALTH_REPORT_INTERVAL", "10ms"),
            ],
            "error: HEALTH_REPORT_INTERVAL (--report-interval): expected from 1 s to 300 s, got `10ms`",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("HEALTH_REPORT", "pod"), ("HEALTH_REPORT_NAME", "d")],
            "error: HEALTH_REPORT_NAME (--report-name) has no effect without HEALTH_REPORT=deployment",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("HEALTH_REPORT_INTERVAL", "5s")],
            "error: HEALTH_REPORT_INTERVAL (--report-interval) has no effect without HEALTH_REPORT",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("HEALTH_HTTP_PATH", "/x")],
            "error: HEALTH_HTTP_PATH (--http-path) has no effect without HEALTH_SERVER=http",
        ),
        (
            &[("HEALTH_SERVER", "http"), ("HEALTH_SERVER_MODEL", "m")],
            "error: HEALTH_SERVER_MODEL (--server-model) has no effect without a HEALTH_SERVER that is asked about a model by name",
        ),
        (
            &[("HEALTH_SERVER", "openai"), ("MODEL_NAME", "m"), ("HEALTH_SERVER_MODEL_VERSION", "1")],
            "error: HEALTH_SERVER_MODEL_VERSION (--server-model-version) has no effect without a HEALTH_SERVER that tells versions",
        ),
        (
            &[
                ("HEALTH_SERVER", "tensorflow-serving"),
                ("MODEL_NAME", "m"),
                ("HEALTH_SERVER_MODEL_VERSION", "v1"),
            ],
            "error: HEALTH_SERVER_MODEL_VERSION (--server-model-version): expected a number, got `v1`",
        ),
        (
            &[
                ("HEALTH_SERVER", "auto"),
                ("MODEL_NAME", "m"),
                ("HEALTH_SERVER_MODEL_VERSION", "1"),
                ("HEALTH_GRPC_SERVICE", "m"),
            ],
            "error: HEALTH_GRPC_SERVICE (--grpc-service) has no effect without HEALTH_SERVER=grpc, or auto without a version",
        ),
        (
            &[("HEALTH_SERVER", "tcp"), ("HEALTH_HTTP_HEADERS", "a: b")],
            "error: HEALTH_HTTP_HEADERS (--http-headers) has no effect without a HEALTH_SERVER that is sent requests",
        ),
        (
            &[("HEALTH_SERVER", "grpc"), ("HEALTH_SERVER_URL", "http://h/prefix")],
            "error: HEALTH_SERVER_URL (--server-url): expected an address without a path for `grpc`, got `http://h/prefix`",
        ),
        (
            &[("HEALTH_SERVER", "http"), ("HEALTH_HTTP_METHOD", "DELETE")],
            "error: HEALTH_HTTP_METHOD (--http-method): expected `GET`, `HEAD`, `POST` or `PUT`, got `DELETE`",
        ),
        (
            &[("HEALTH_SERVER", "http"), ("HEALTH_HTTP_METHOD", "HEAD"), ("HEALTH_HTTP_POINTER", "/a")],
            "error: HEALTH_HTTP_METHOD (--http-method): expected another method where HEALTH_HTTP_POINTER is set",
        ),
        (
            &[("HEALTH_SERVER", "http"), ("HEALTH_HTTP_HEADERS", "/no/such/file")],
            "error: HEALTH_HTTP_HEADERS (--http-headers) cannot be used: cannot read /no/such/file: No such file",
        ),
        (
            &[("HEALTH_SERVER", "http"), ("HEALTH_HTTP_PATH", "x")],
            "error: HEALTH_HTTP_PATH (--http-path): expected a path",
        ),
        (
            &[("HEALTH_SERVER", "http"), ("HEALTH_HTTP_STATUS", "99")],
            "error: HEALTH_HTTP_STATUS (--http-status): expected statuses from 200 to 599, with commas between them, got `99`",
        ),
        (
            &[("HEALTH_SERVER", "http"), ("HEALTH_HTTP_STATUS", "200,x")],
            "error: HEALTH_HTTP_STATUS (--http-status): expected statuses from 200 to 599, with commas between them, got `200,x`",
        ),
        (
            &[("HEALTH_SERVER", "http"), ("HEALTH_HTTP_POINTER", "data")],
            "error: HEALTH_HTTP_POINTER (--http-pointer): expected a JSON pointer",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("HEALTH_SMOKE", "")],
            "error: HEALTH_SMOKE (--smoke): expected a file, got ``",
        ),
        (
            &[("HEALTH_SERVER", "mlflow"), ("HEALTH_SMOKE", "/nowhere/smoke.yaml")],
            "error: HEALTH_SMOKE (--smoke): /nowhere/smoke.yaml: cannot be read: No such file or directory",
        ),
        (
            &[
                ("HEALTH_SERVER", "mlflow"),
                ("HEALTH_SMOKE", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")),
            ],
            concat!("error: HEALTH_SMOKE (--smoke): ", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml: "),
        ),
        (
            &[("HEALTH_SERVER", "http"), ("HEALTH_HTTP_VALUE", "x")],
            "error: HEALTH_HTTP_VALUE (--http-value) has no effect without HEALTH_HTTP_POINTER",
        ),
    ];
    for (settings, message) in cases {
        let got = refusal(settings);
        assert!(got.starts_with(message), "{settings:?}: {got}");
    }
}

#[test]
fn a_password_in_an_address_is_refused_and_not_repeated() {
    let url = "http://user:hunter2@127.0.0.1";
    let message = refusal(&[("HEALTH_SERVER", "mlflow"), ("HEALTH_SERVER_URL", url)]);
    assert!(message.ends_with("expected no user name or password"), "{message}");
    assert!(!message.contains("hunter2"));
}

#[test]
fn headers_that_are_none_are_refused_and_not_repeated() {
    let message = refusal(&[("HEALTH_SERVER", "http"), ("HEALTH_HTTP_HEADERS", "x-key: a\nhunter2")]);
    assert!(
        message.ends_with("cannot be used: expected `name: value`, got something else in line 2"),
        "{message}"
    );
    assert!(!message.contains("hunter2"));
    let secret = [("HEALTH_HTTP_HEADERS", "hunter2"), ("HEALTH_HTTP_BODY", "hunter2")];
    let output = command().arg("--help").envs(secret).output().unwrap();
    assert!(!String::from_utf8(output.stdout).unwrap().contains("hunter2"));
}

#[test]
fn wrong_arguments_are_bad_configuration_too() {
    for arguments in
        [&["--no-such-flag"][..], &["deploy"], &["check", "--wait"], &["check", "--wait", "soon"]]
    {
        let output = command().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty() && output.stderr.starts_with(b"error: "), "{arguments:?}");
    }
}

#[test]
fn help_names_every_variable_and_default() {
    let output = command().arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    let flags = text.matches(" --").count();
    for wanted in [
        "[env: MODEL_NAME=]",
        "[env: MODEL_VERSION=]",
        "[env: MODEL_DIR=] [default: /mnt/models]",
        "[default: .plimsoll in the model's directory] [env: MODEL_STATE_DIR=]",
        "[env: HEALTH_LISTEN=] [default: [::]:8090]",
        "[env: HEALTH_SERVER=]",
        "[env: HEALTH_SERVER_URL=] [default: http://127.0.0.1:8080]",
        "[env: HEALTH_PROBE_PERIOD=] [default: 10s]",
        "[default: 2s, or as much as that] [env: HEALTH_PROBE_TIMEOUT=]",
        "[env: HEALTH_PROBE_FAILURES=] [default: 3]",
        "[env: HEALTH_PROBE_SUCCESSES=] [default: 1]",
        "[env: HEALTH_DRAIN=] [default: 5s]",
        "[env: HEALTH_LOG_FORMAT=] [default: text]",
        "[env: HEALTH_LOG_LEVEL=] [default: info]",
        "[default: /health] [env: HEALTH_HTTP_PATH=]",
        "[default: 200] [env: HEALTH_HTTP_STATUS=]",
        "[env: HEALTH_HTTP_POINTER=]",
        "[env: HEALTH_HTTP_VALUE=]",
        "[default: the model's name] [env: HEALTH_SERVER_MODEL=]",
        "[default: any] [env: HEALTH_SERVER_MODEL_VERSION=]",
        "[default: none] [env: HEALTH_HTTP_HEADERS]",
        "[default: GET, POST with a body] [env: HEALTH_HTTP_METHOD=]",
        "[default: none] [env: HEALTH_HTTP_BODY]",
        "[default: the server as a whole; for auto the model's name] [env: HEALTH_GRPC_SERVICE=]",
        "[env: HEALTH_SMOKE=]",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in: {text}");
    }
    assert!(flags >= 25, "{flags}");
}
