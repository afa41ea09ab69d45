//! A model server that misbehaves: always red, always with the reason, never for long after it behaves again.

use crate::model_server::{ModelServer, Says};
use crate::sidecar::Sidecar;
use crate::volume::Volume;

#[track_caller]
fn expect_loading(says: Says, got: &str) {
    let volume = Volume::fetched();
    let server = ModelServer::start(says);
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    sidecar.until("loading", &format!("loading: GET {}/ping: {got}", server.url()));
    server.say(Says::loaded());
    sidecar.until("ready", "loaded");
}

#[test]
fn not_loaded_yet() {
    expect_loading(Says::loading(), "expected status 200, got 503 Service Unavailable");
}

#[test]
fn no_model_at_all() {
    expect_loading(Says::Always(404, "\n".into()), "expected status 200, got 404 Not Found");
}

#[test]
fn a_redirect_is_an_answer_and_is_not_followed() {
    let volume = Volume::fetched();
    let server =
        ModelServer::start(Says::Paths(vec![("/ping", 302, String::new()), ("/loaded", 200, "".into())]));
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    sidecar
        .until("loading", &format!("loading: GET {}/ping: expected status 200, got 302 Found", server.url()));
    assert!(server.asked().iter().all(|path| path == "/ping"), "{:?}", server.asked());
}

#[test]
fn silence() {
    expect_loading(Says::Nothing, "no complete answer within 400 ms");
}

#[test]
fn a_head_that_never_ends() {
    expect_loading(Says::Drip, "no complete answer within 400 ms");
}

#[test]
fn a_body_that_never_ends() {
    expect_loading(Says::Endless, "the answer is longer than 65536 bytes");
}

#[test]
fn another_protocol() {
    expect_loading(Says::Garbage, "the answer is not HTTP");
}

#[test]
fn hanging_up() {
    expect_loading(Says::HangUp, "the connection was closed before the answer was complete");
}

#[test]
fn a_cut_answer() {
    expect_loading(Says::Cut, "the connection was closed before the answer was complete");
}

#[test]
fn fewer_failures_than_the_limit_are_forgiven() {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::loaded());
    let sidecar = Sidecar::start(&volume, &server.url(), &[("HEALTH_PROBE_FAILURES", "4")]);
    sidecar.until("ready", "loaded");
    server.say(Says::Failures(3));
    let status = sidecar.until_status(|status| {
        let loaded = |index: usize| status["probes"][index]["result"] == "loaded";
        let probes = status["probes"].as_array().map_or(0, Vec::len);
        // Three failures, and a success after them.
        (1..probes).any(|index| !loaded(index)) && loaded(probes - 1)
    });
    let failed =
        status["probes"].as_array().unwrap().iter().filter(|probe| probe["result"] == "unclear").count();
    assert_eq!(failed, 3, "{status}");
    assert!(!sidecar.log().contains("no longer loaded"), "{}", sidecar.log());
}

#[test]
fn as_many_failures_as_the_limit_end_ready_until_the_next_good_word() {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::loaded());
    let sidecar = Sidecar::start(&volume, &server.url(), &[("HEALTH_PROBE_FAILURES", "2")]);
    sidecar.until("ready", "loaded");
    server.say(Says::Always(500, "oops".into()));
    sidecar.until("ready", "loaded; 1 of 2 answers unclear: GET");
    sidecar.until("loading", "no longer loaded: GET");
    server.say(Says::loaded());
    sidecar.until("ready", "loaded");
}

#[test]
fn a_definite_no_ends_ready_at_once() {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::loaded());
    let sidecar = Sidecar::start(&volume, &server.url(), &[("HEALTH_PROBE_FAILURES", "9")]);
    sidecar.until("ready", "loaded");
    server.say(Says::loading());
    sidecar.until("loading", "no longer loaded: GET");
    assert!(!sidecar.log().contains("unclear"), "{}", sidecar.log());
}

#[test]
fn a_server_that_dies_with_its_port_open_ends_ready() {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::loaded());
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    sidecar.until("ready", "loaded");
    server.say(Says::Nothing);
    sidecar.until("loading", "no longer loaded: ");
}
