//! Every kind of server in every situation: what word it comes to.
//!
//! Answers are those of the servers' documentation where it has any, see [`answers`](crate::answers), and otherwise of
//! the real servers, which `tests/it/servers.rs` of the workspace starts.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test] functions")]

use std::net::{Ipv4Addr, TcpListener};

use crate::answers;
use crate::asking::Asking;
use crate::model_server::{ModelServer, Says};

/// A path, and what is answered there.
type Paths = Vec<(&'static str, u16, String)>;

/// A kind of server, a model of it, and what it says about that.
struct Kind {
    name: &'static str,
    settings: &'static [&'static str],
    /// The situation, what the server answers in it, the word that comes of it, and a piece of the text.
    rows: Vec<(&'static str, Paths, &'static str, &'static str)>,
}

fn at(path: &'static str, status: u16, body: &str) -> Paths {
    vec![(path, status, body.to_owned())]
}

fn and(mut first: Paths, second: Paths) -> Paths {
    first.extend(second);
    first
}

fn kinds() -> Vec<Kind> {
    vec![
        kserve_v1(),
        kserve_v2(),
        kserve_v2_version(),
        triton(),
        tensorflow_serving(),
        torchserve(),
        openai(),
        ollama(),
        mlflow(),
        http(),
    ]
}

fn kserve_v1() -> Kind {
    const PATH: &str = "/v1/models/m";
    Kind {
        name: "kserve-v1",
        settings: &["--server-model", "m"],
        rows: vec![
            ("loaded", at(PATH, 200, r#"{"name":"m","ready":true}"#), "loaded", ""),
            ("loaded, by an old server", at(PATH, 200, r#"{"name":"m","ready":"True"}"#), "loaded", ""),
            (
                "loading",
                at(PATH, 503, r#"{"error":"Model with name m is not ready."}"#),
                "not loaded",
                "m is not ready",
            ),
            ("failed", at(PATH, 200, r#"{"name":"m","ready":false}"#), "not loaded", "got `false`"),
            (
                "another model",
                at(PATH, 200, r#"{"name":"n","ready":true}"#),
                "not loaded",
                "expected `m`, got `n`",
            ),
            ("no model", vec![], "not loaded", "404"),
            ("a broken server", at(PATH, 500, ""), "unclear", "500"),
            ("garbage", at(PATH, 200, "<html>"), "unclear", "`<html>`"),
        ],
    }
}

fn kserve_v2() -> Kind {
    const READY: &str = "/v2/models/m/ready";
    const MODEL: &str = "/v2/models/m";
    let ready = || at(READY, 200, "");
    Kind {
        name: "kserve-v2",
        settings: &["--server-model", "m"],
        rows: vec![
            ("loaded", and(ready(), at(MODEL, 200, r#"{"name":"m","versions":["1"]}"#)), "loaded", ""),
            ("loading", at(READY, 503, ""), "not loaded", "503"),
            (
                "not ready, in Triton's way",
                at(READY, 400, r#"{"error":"Model version not ready"}"#),
                "not loaded",
                "version not ready",
            ),
            ("failed", at(READY, 200, r#"{"name":"m","ready":false}"#), "not loaded", "got `false`"),
            (
                "another model",
                and(ready(), at(MODEL, 200, r#"{"name":"n"}"#)),
                "not loaded",
                "expected `m`, got `n`",
            ),
            ("no model, and a healthy server", at("/v2/health/ready", 200, ""), "not loaded", "404"),
            ("a proxy that knows every path", and(ready(), at(MODEL, 200, "ok")), "unclear", "`ok`"),
            ("too many requests", at(READY, 429, ""), "unclear", "429"),
        ],
    }
}

fn kserve_v2_version() -> Kind {
    const READY: &str = "/v2/models/m/versions/3/ready";
    const MODEL: &str = "/v2/models/m/versions/3";
    let ready = || at(READY, 200, "");
    Kind {
        name: "kserve-v2",
        settings: &["--server-model", "m", "--server-model-version", "3"],
        rows: vec![
            ("loaded", and(ready(), at(MODEL, 200, r#"{"name":"m","versions":["2","3"]}"#)), "loaded", ""),
            (
                "another version",
                and(ready(), at(MODEL, 200, r#"{"name":"m","versions":["2"]}"#)),
                "not loaded",
                "version `3` among `versions`, got `2`",
            ),
            (
                "loaded, by a server that lists no versions",
                and(ready(), at(MODEL, 200, r#"{"name":"m","versions":[]}"#)),
                "loaded",
                "",
            ),
            ("the model without that version", at("/v2/models/m/ready", 200, ""), "not loaded", "404"),
        ],
    }
}

fn triton() -> Kind {
    const INDEX: &str = "/v2/repository/index";
    let index = |entries: &str| at(INDEX, 200, &format!("[{entries}]"));
    let ready = || at("/v2/models/m/versions/1/ready", 200, "");
    Kind {
        name: "triton",
        settings: &["--server-model", "m", "--server-model-version", "1"],
        rows: vec![
            ("loaded", and(ready(), index(r#"{"name":"m","version":"1","state":"READY"}"#)), "loaded", ""),
            (
                "loading",
                and(ready(), index(r#"{"name":"m","version":"1","state":"UNAVAILABLE","reason":"loading"}"#)),
                "not loaded",
                "got UNAVAILABLE: loading",
            ),
            (
                "not ready to the protocol",
                index(r#"{"name":"m","version":"1","state":"READY"}"#),
                "not loaded",
                "404",
            ),
            (
                "another model",
                index(r#"{"name":"n","version":"1","state":"READY"}"#),
                "not loaded",
                "got `n`",
            ),
            (
                "another version",
                index(r#"{"name":"m","version":"2","state":"READY"}"#),
                "not loaded",
                "got version `2`",
            ),
            ("an empty list", index(""), "not loaded", "an empty list"),
            ("garbage", at(INDEX, 200, "{}"), "unclear", "`{}`"),
        ],
    }
}

fn tensorflow_serving() -> Kind {
    const PATH: &str = "/v1/models/half_plus_three/versions/123";
    let loaded = answers::TENSORFLOW_SERVING;
    let state =
        |state: &str, code: &str| at(PATH, 200, &loaded.replace("AVAILABLE", state).replace("OK", code));
    Kind {
        name: "tensorflow-serving",
        settings: &["--server-model", "half_plus_three", "--server-model-version", "123"],
        rows: vec![
            ("loaded", at(PATH, 200, loaded), "loaded", ""),
            ("loading", state("LOADING", "OK"), "not loaded", "version `123` in state LOADING"),
            ("failed", state("END", "NOT_FOUND"), "not loaded", "in state END, NOT_FOUND"),
            (
                "another model",
                at(PATH, 404, answers::TENSORFLOW_SERVING_UNKNOWN),
                "not loaded",
                "Servable not found",
            ),
            (
                "another version",
                at(PATH, 200, &loaded.replace("123", "122")),
                "not loaded",
                "got version `122`",
            ),
            ("an empty list", at(PATH, 200, r#"{"model_version_status":[]}"#), "not loaded", "an empty list"),
            (
                "garbage",
                at(PATH, 200, r#"{"name":"half_plus_three","ready":true}"#),
                "unclear",
                "expected a model's versions",
            ),
        ],
    }
}

fn torchserve() -> Kind {
    const PATH: &str = "/models/noop/2.0";
    let loaded = answers::TORCHSERVE;
    let workers = loaded.find("\"workers\"").unwrap()..loaded.find("],").unwrap();
    let without = loaded.replace(&loaded[workers], "\"workers\": [");
    Kind {
        name: "torchserve",
        settings: &["--server-model", "noop", "--server-model-version", "2.0"],
        rows: vec![
            ("loaded", at(PATH, 200, loaded), "loaded", ""),
            ("loading", at(PATH, 200, &without), "not loaded", "got no worker"),
            ("failed", at(PATH, 200, &loaded.replace("READY", "UNLOADING")), "not loaded", "got `UNLOADING`"),
            ("another model", at(PATH, 200, &loaded.replace("noop", "loud")), "not loaded", "got `loud 2.0`"),
            (
                "another version",
                at(PATH, 200, &loaded.replace("\"2.0\"", "\"1.0\"")),
                "not loaded",
                "got `noop 1.0`",
            ),
            ("an empty list", at(PATH, 200, "[]"), "not loaded", "an empty list"),
            ("the inference API", at("/ping", 200, r#"{"status":"Healthy"}"#), "not loaded", "404"),
            ("no token", at(PATH, 401, ""), "unclear", "401"),
            ("garbage", at(PATH, 200, "null"), "unclear", "`null`"),
        ],
    }
}

fn openai() -> Kind {
    const LIST: &str = "/v1/models";
    const NAME: &str = "Mixtral-8x22B-Instruct-v0.1";
    let llama = answers::LLAMA_CPP.replace("../models/Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", NAME);
    let unloaded = llama.replace("\"meta\": {", "\"status\": {\"value\": \"unloaded\"}, \"meta\": {");
    Kind {
        name: "openai",
        settings: &["--server-model", NAME],
        rows: vec![
            ("loaded, without a health path", at(LIST, 200, answers::VLLM), "loaded", ""),
            (
                "loaded by llama.cpp",
                and(at(LIST, 200, &llama), at("/health", 200, answers::LLAMA_CPP_HEALTHY)),
                "loaded",
                "",
            ),
            (
                "listed by llama.cpp while loading",
                and(at(LIST, 200, &llama), at("/health", 503, answers::LLAMA_CPP_LOADING)),
                "not loaded",
                "Loading model",
            ),
            (
                "listed by a router that has not loaded it",
                at(LIST, 200, &unloaded),
                "not loaded",
                "got `unloaded`",
            ),
            ("loading", at(LIST, 503, answers::LLAMA_CPP_LOADING), "not loaded", "Loading model"),
            (
                "a dead engine behind a live list",
                and(at(LIST, 200, answers::VLLM), at("/health", 503, "")),
                "not loaded",
                "/health: expected status 200",
            ),
            ("another model", at(LIST, 200, answers::LLAMA_CPP), "not loaded", "got `../models/Meta"),
            ("an empty list", at(LIST, 200, r#"{"object":"list","data":[]}"#), "not loaded", "an empty list"),
            ("no key", at(LIST, 401, r#"{"error":"Unauthorized"}"#), "unclear", "401"),
            ("garbage", at(LIST, 200, r#"{"models":[]}"#), "unclear", "expected a list of models"),
        ],
    }
}

fn ollama() -> Kind {
    let tags = |body: &str| at("/api/tags", 200, body);
    let ps = |body: &str| at("/api/ps", 200, body);
    let empty = r#"{"models":[]}"#;
    Kind {
        name: "ollama",
        settings: &["--server-model", "mistral"],
        rows: vec![
            ("loaded", and(tags(answers::OLLAMA_PS), ps(answers::OLLAMA_PS)), "loaded", ""),
            (
                "present, not loaded",
                and(tags(answers::OLLAMA_PS), ps(empty)),
                "not loaded",
                "/api/ps: expected `mistral` to be in memory, got an empty list",
            ),
            (
                "another model",
                and(tags(&answers::OLLAMA_PS.replace("mistral", "gemma3")), ps(empty)),
                "not loaded",
                "got `gemma3:latest`",
            ),
            (
                "an empty list",
                and(tags(empty), ps(empty)),
                "not loaded",
                "/api/tags: expected `mistral` to be present, got an empty list",
            ),
            ("garbage", tags("[]"), "unclear", "`[]`"),
        ],
    }
}

fn mlflow() -> Kind {
    Kind {
        name: "mlflow",
        settings: &[],
        rows: vec![
            ("loaded", at("/ping", 200, "\n"), "loaded", ""),
            ("no model", at("/ping", 404, "\n"), "not loaded", "expected status 200, got 404 Not Found"),
            ("a broken server", at("/ping", 500, ""), "unclear", "500"),
        ],
    }
}

fn http() -> Kind {
    const PATH: &str = "/state?full=1";
    Kind {
        name: "http",
        settings: &[
            "--http-path",
            PATH,
            "--http-status",
            "200,203",
            "--http-pointer",
            "/models/0",
            "--http-value",
            "m",
        ],
        rows: vec![
            ("loaded", at(PATH, 200, r#"{"models":["m"]}"#), "loaded", ""),
            ("loaded, by the other status", at(PATH, 203, r#"{"models":["m"]}"#), "loaded", ""),
            ("loading", at(PATH, 503, ""), "not loaded", "expected status 200 or 203, got 503"),
            (
                "another model",
                at(PATH, 200, r#"{"models":["n"]}"#),
                "not loaded",
                "expected `\"m\"` at `/models/0`, got `\"n\"`",
            ),
            ("an empty list", at(PATH, 200, r#"{"models":[]}"#), "not loaded", "got nothing"),
            ("another status", at(PATH, 202, r#"{"models":["m"]}"#), "unclear", "202"),
            ("garbage", at(PATH, 200, "m"), "unclear", "expected JSON, got `m`"),
        ],
    }
}

#[test]
fn each_situation_comes_to_its_word() {
    let mut rows = 0;
    for kind in kinds() {
        let server = ModelServer::start(Says::HangUp);
        let asking = Asking::new(kind.name, &server.url(), kind.settings);
        for (situation, paths, word, text) in kind.rows {
            server.say(Says::Paths(paths));
            let (sort, said) = asking.sort();
            assert_eq!(sort, word, "{}, {situation}: {said}", kind.name);
            assert!(said.contains(text), "{}, {situation}: expected `{text}` in `{said}`", kind.name);
            rows += 1;
        }
    }
    assert!(rows >= 60, "{rows}");
}

#[test]
fn what_is_no_answer_is_unclear_and_nobody_is_a_no_for_every_kind() {
    let all = kinds().into_iter().map(|kind| (kind.name, kind.settings));
    for (kind, settings) in all.chain([("grpc", &[][..]), ("auto", &["--server-model", "m"])]) {
        let server = ModelServer::start(Says::HangUp);
        let asking = Asking::new(kind, &server.url(), settings);
        let silence = Says::Nothing;
        for says in [Says::HangUp, Says::Garbage, Says::Cut, Says::Endless, silence] {
            server.say(says.clone());
            let (sort, said) = asking.sort();
            assert_eq!(sort, "unclear", "{kind}, {says:?}: {said}");
        }
    }
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let all = kinds().into_iter().map(|kind| (kind.name, kind.settings));
    let rest = [("grpc", &[][..]), ("tcp", &[]), ("auto", &["--server-model", "m"])];
    for (kind, settings) in all.chain(rest) {
        let (sort, said) = Asking::new(kind, &format!("http://{free}"), settings).sort();
        assert_eq!(sort, "not loaded", "{kind}: {said}");
        assert!(said.ends_with("connection refused"), "{kind}: {said}");
    }
}

#[test]
fn tcp_is_content_with_anybody_who_listens() {
    let server = ModelServer::start(Says::Garbage);
    assert_eq!(Asking::new("tcp", &server.url(), &[]).sort(), ("loaded", String::new()));
}

#[test]
fn a_request_is_sent_as_it_is_configured_and_its_headers_are_never_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    std::fs::write(&file, "Authorization: Bearer hunter22\nx-tenant: blue\n").unwrap();
    let settings = [
        "--http-path",
        "/ask",
        "--http-body",
        r#"{"q":1}"#,
        "--http-pointer",
        "/ok",
        "--http-headers",
        file.to_str().unwrap(),
    ];
    let server = ModelServer::start(Says::Echo);
    let asking = Asking::new("http", &server.url(), &settings);
    let (sort, said) = asking.sort();
    assert_eq!(sort, "unclear", "{said}");
    let [request] = server.requests().try_into().unwrap();
    assert!(request.starts_with("POST /ask HTTP/1.1\r\n"), "{request}");
    for line in ["authorization: Bearer hunter22", "x-tenant: blue", "content-type: application/json"] {
        assert!(request.contains(line), "{request}");
    }
    assert!(request.ends_with("{\"q\":1}"), "{request}");
    // The server repeats the request's head, and that is quoted.
    assert!(said.contains("***") && said.contains("expected JSON") && !said.contains("hunter"), "{said}");

    std::fs::write(&file, "Authorization: Bearer rotated1\n").unwrap();
    asking.word();
    assert!(server.requests()[1].contains("authorization: Bearer rotated1"));
    std::fs::remove_file(&file).unwrap();
    let (sort, said) = asking.sort();
    assert_eq!((sort, server.requests().len()), ("unclear", 2), "{said}");
    assert!(said.contains("cannot read"), "{said}");
}
