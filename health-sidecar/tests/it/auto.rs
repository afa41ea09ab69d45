//! `auto` finds the kind of each server, says so, and notices when another takes its place.

use crate::answers;
use crate::asking::Asking;
use crate::model_server::{ModelServer, Says};
use crate::sidecar::Sidecar;
use crate::volume::{NAME, Volume};

fn paths(paths: &[(&'static str, u16, &str)]) -> Says {
    Says::Paths(paths.iter().map(|&(path, status, body)| (path, status, body.to_owned())).collect())
}

const TRITON: &[(&str, u16, &str)] = &[
    ("/v2", 200, r#"{"name":"triton","version":"2.51.0"}"#),
    ("/v2/repository/index", 200, r#"[{"name":"m","version":"1","state":"READY"}]"#),
    ("/v2/models/m/ready", 200, ""),
    ("/v2/models/m", 200, r#"{"name":"m","versions":["1"]}"#),
];
const KSERVE_V1: &[(&str, u16, &str)] = &[("/v1/models/m", 200, r#"{"name":"m","ready":true}"#)];
const MLFLOW: &[(&str, u16, &str)] =
    &[("/ping", 200, "\n"), ("/health", 200, "\n"), ("/version", 200, "3.1.0")];

/// Each kind with what it says of a model: its name, and the answers.
fn servers() -> Vec<(&'static str, &'static str, Says)> {
    let ollama = answers::OLLAMA_PS;
    let as_openai =
        r#"{"object":"list","data":[{"id":"mistral:latest","object":"model","owned_by":"library"}]}"#;
    vec![
        ("triton", "m", paths(TRITON)),
        ("kserve-v2", "m", paths(&TRITON[2..])),
        ("tensorflow-serving", "m", paths(&[("/v1/models/m", 200, answers::TENSORFLOW_SERVING)])),
        ("torchserve", "noop", paths(&[("/models/noop", 200, answers::TORCHSERVE)])),
        ("kserve-v1", "m", paths(KSERVE_V1)),
        (
            "ollama",
            "mistral:latest",
            paths(&[("/api/tags", 200, ollama), ("/api/ps", 200, ollama), ("/v1/models", 200, as_openai)]),
        ),
        ("openai", "Mixtral-8x22B-Instruct-v0.1", paths(&[("/v1/models", 200, answers::VLLM)])),
        ("mlflow", "m", paths(MLFLOW)),
    ]
}

#[test]
fn each_kind_is_found_and_from_then_on_asked_alone() {
    for (kind, model, says) in servers() {
        let server = ModelServer::start(says);
        let asking = Asking::new("auto", &server.url(), &["--server-model", model]);
        let found = format!("found {kind} at {}", server.url());
        assert_eq!(asking.sort(), ("loaded", found.clone()));
        let searched = server.asked().len();
        assert_eq!(asking.sort(), ("loaded", found));
        let (again, kind_alone) =
            (server.asked().len() - searched, Asking::new(kind, &server.url(), &model_setting(kind, model)));
        kind_alone.word();
        assert_eq!(server.asked().len() - searched - again, again, "{kind}");
    }
}

fn model_setting<'a>(kind: &str, model: &'a str) -> Vec<&'a str> {
    if kind == "mlflow" { vec![] } else { vec!["--server-model", model] }
}

#[test]
fn a_model_that_is_known_and_not_loaded_tells_the_kind_as_well() {
    let ollama = answers::OLLAMA_PS;
    let as_openai = r#"{"object":"list","data":[{"id":"mistral:latest"}]}"#;
    let loading = answers::TENSORFLOW_SERVING.replace("AVAILABLE", "LOADING");
    for (kind, model, says) in [
        (
            "ollama",
            "mistral:latest",
            paths(&[
                ("/api/tags", 200, ollama),
                ("/api/ps", 200, r#"{"models":[]}"#),
                ("/v1/models", 200, as_openai),
            ]),
        ),
        ("tensorflow-serving", "m", paths(&[("/v1/models/m", 200, &loading)])),
        ("kserve-v1", "m", paths(&[("/v1/models/m", 200, r#"{"name":"m","ready":false}"#)])),
    ] {
        let server = ModelServer::start(says);
        let (sort, said) = Asking::new("auto", &server.url(), &["--server-model", model]).sort();
        assert_eq!(sort, "not loaded", "{said}");
        assert!(said.ends_with(&format!("(found {kind} at {})", server.url())), "{said}");
    }
}

#[test]
fn what_could_not_be_asked_is_not_answered_by_a_more_generic_kind() {
    // Ollama's own list fails; the one in OpenAI's way has the model, which is not loaded.
    let as_openai = r#"{"object":"list","data":[{"id":"mistral:latest"}]}"#;
    let server = ModelServer::start(paths(&[("/api/tags", 500, ""), ("/v1/models", 200, as_openai)]));
    let (sort, said) = Asking::new("auto", &server.url(), &["--server-model", "mistral:latest"]).sort();
    assert_eq!(sort, "unclear", "{said}");
    assert!(said.contains("/api/tags: expected status 200, got 500"), "{said}");
}

#[test]
fn a_version_is_asked_only_of_kinds_that_tell_it() {
    let server = ModelServer::start(paths(KSERVE_V1));
    let settings = ["--server-model", "m", "--server-model-version", "1"];
    let (sort, said) = Asking::new("auto", &server.url(), &settings).sort();
    assert_eq!(sort, "not loaded", "{said}");
    assert!(said.contains("found no server that knows `m` version `1`"), "{said}");
}

#[test]
fn nothing_is_taken_for_an_answer_that_is_not_about_the_model() {
    for says in [
        paths(&[]),
        Says::Always(200, String::new()),
        Says::Always(200, "ok".into()),
        Says::Always(200, "{}".into()),
        Says::Always(200, "[]".into()),
        Says::Always(200, r#"{"data":[],"models":[],"model_version_status":[]}"#.into()),
        paths(&[("/ping", 200, r#"{"status":"Healthy"}"#), ("/health", 200, "ok"), ("/", 200, "hello")]),
        Says::Always(503, "loading".into()),
        Says::Always(302, String::new()),
    ] {
        let server = ModelServer::start(says.clone());
        let (sort, said) = Asking::new("auto", &server.url(), &["--server-model", "m"]).sort();
        assert_ne!(sort, "loaded", "{says:?}: {said}");
        assert!(said.contains("found no server that knows `m`: triton /v2 "), "{says:?}: {said}");
    }
}

#[test]
fn another_server_in_its_place_is_found_again_and_both_are_said() {
    let volume = Volume::fetched();
    let server = ModelServer::start(paths(&[]));
    let sidecar = Sidecar::start(&volume, &server.url(), &[("HEALTH_SERVER", "auto")]);
    let url = server.url();
    sidecar.until(
        "loading",
        &format!("loading: auto {url}: found no server that knows `{NAME}`: triton /v2 404; kserve-v2"),
    );
    server.say(paths(&[(
        "/v1/models/product-recommendation",
        200,
        r#"{"name":"product-recommendation","ready":true}"#,
    )]));
    sidecar.until("ready", &format!("loaded: found kserve-v1 at {url}"));
    let status = sidecar.status();
    let last = status["probes"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["detail"], format!("found kserve-v1 at {url}"), "{status}");

    // Silence and errors are no reason to believe in another server.
    server.say(Says::Always(500, String::new()));
    let reason = format!(
        "no longer loaded: GET {url}/v1/models/product-recommendation: \
         expected status 200, got 500 Internal Server Error (found kserve-v1"
    );
    sidecar.until("loading", &reason);
    server.say(paths(MLFLOW));
    sidecar.until("ready", &format!("loaded: found mlflow at {url}"));
    let log = sidecar.log();
    for line in ["INFO found kserve-v1 at", "INFO no longer kserve-v1 at", "INFO found mlflow at"] {
        assert_eq!(log.matches(line).count(), 1, "{line}: {log}");
    }
}
