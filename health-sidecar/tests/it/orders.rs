//! The sidecar, the fetcher and the model server start in any order; green comes when all three agree, never
//! before.

use std::net::{Ipv4Addr, TcpListener};

use handoff::Phase;
use serde_json::{Value, json};

use crate::model_server::{ModelServer, Says};
use crate::sidecar::{Sidecar, wait_for};
use crate::volume::{NAME, VERSION, Volume, receipt};

#[test]
fn sidecar_first_tells_every_phase_up_to_ready() {
    let volume = Volume::empty();
    let server = ModelServer::start(Says::loading());
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    let waiting = sidecar.until("waiting", "waiting for the fetcher");
    assert_eq!(waiting["model"], json!({"name": NAME, "version": VERSION}));

    volume.put_progress(Phase::Resolving);
    assert!(sidecar.until("resolving", "resolving").get("progress").is_none());
    volume.put_progress(Phase::Fetching);
    let fetching = sidecar.until("fetching", "fetching 63 %");
    let since = fetching["since"].clone();
    assert_eq!(
        fetching,
        json!({
            "status": "not_ready", "phase": "fetching", "code": "fetching",
            "reason": "fetching 63 % at 10 B/s, 4 s left",
            "model": {"name": NAME, "version": VERSION},
            "progress": {"bytes": 63, "total_bytes": 100, "percent": 63, "eta_seconds": 4},
            "since": since,
        })
    );
    volume.put_progress(Phase::Verifying);
    sidecar.until("verifying", "verifying");
    volume.put_files();
    volume.put_progress(Phase::Publishing);
    sidecar.until("publishing", "publishing");
    volume.put_receipt(&receipt(VERSION));
    volume.put_progress(Phase::Fetched);
    let reason =
        format!("loading: GET {}/ping: expected status 200, got 503 Service Unavailable", server.url());
    sidecar.until("loading", &reason);

    server.say(Says::loaded());
    let ready = sidecar.until("ready", "loaded");
    assert_eq!(ready["model"]["digest"], receipt(VERSION).digest.to_string());
    assert!(since.as_str() < ready["since"].as_str(), "{since} {ready}");
    // One line for each kind of reason, and nothing more.
    let log = sidecar.log();
    let codes: Vec<_> = log.lines().filter_map(|line| line.split("code=\"").nth(1)).collect();
    let told = [
        "resolving",
        "fetching",
        "verifying",
        "publishing",
        "checking_receipt",
        "asking_server",
        "server_not_loaded",
        "loaded",
    ];
    assert_eq!(codes, told.map(|code| format!("{code}\"")), "{log}");
    assert_eq!(log.lines().count(), told.len() + 1, "{log}");
}

#[test]
fn receipt_first_waits_for_the_server() {
    let volume = Volume::fetched();
    // A port where nobody listens yet.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sidecar = Sidecar::start(&volume, &format!("http://{address}"), &[]);
    sidecar.until("loading", &format!("loading: GET http://{address}/ping: connection refused"));
    let listener = wait_for(|| TcpListener::bind(address).ok(), || "the port is taken".into());
    let _server = ModelServer::start_on(listener, Says::loaded());
    sidecar.until("ready", "loaded");
}

#[test]
fn server_first_is_not_asked_before_there_is_a_receipt() {
    let volume = Volume::empty();
    let server = ModelServer::start(Says::loaded());
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    volume.put_files();
    volume.put_progress(Phase::Fetched);
    sidecar.until("waiting", "the fetcher is done, but there is no receipt");
    assert_eq!(server.asked(), Vec::<String>::new());
    volume.put_receipt(&receipt(VERSION));
    sidecar.until("ready", "loaded");
    assert!(server.asked().iter().all(|path| path == "/ping"));
}

#[test]
fn an_answer_to_a_question_from_before_the_receipt_does_not_count() {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::Nothing);
    // The one question stays open while the receipt is replaced.
    let patient = [("HEALTH_PROBE_PERIOD", "80s"), ("HEALTH_PROBE_TIMEOUT", "20s")];
    let sidecar = Sidecar::start(&volume, &server.url(), &patient);
    wait_for(|| (server.asked().len() == 1).then_some(()), || format!("{:?}", server.asked()));
    let mut replaced = receipt(VERSION);
    replaced.resolved.version = "8".into();
    volume.put_receipt(&replaced);
    sidecar.until_status(|status| status["receipt"]["resolved"]["version"] == "8");

    // The old question is now answered with "loaded", every later one with "loading".
    server.say(Says::loading());
    let status = sidecar.until_status(|status| status["probes"].as_array().is_some_and(|it| it.len() > 1));
    assert_eq!(status["probes"][0]["result"], "loaded", "{status}");
    assert_eq!(status["probes"][0]["counts"], false, "{status}");
    assert_eq!(status["probes"][1]["counts"], true, "{status}");
    assert_eq!(status["phase"], "loading");
    assert!(!sidecar.log().contains("phase=\"ready\""), "{}", sidecar.log());
    server.say(Says::loaded());
    sidecar.until("ready", "loaded");
}

#[test]
fn progress_for_another_version_is_not_taken_for_ours() {
    let volume = Volume::empty();
    let sidecar = Sidecar::start(&volume, "http://127.0.0.1:9", &[]);
    volume.put_progress_of("v2.2");
    let reason = "the fetcher's progress is for product-recommendation v2.2, expected v2.3";
    let waiting = sidecar.until("waiting", reason);
    assert_eq!(waiting.get("progress"), None);
}

#[test]
fn a_log_for_machines_has_one_object_on_each_line() {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::loaded());
    let sidecar = Sidecar::start(&volume, &server.url(), &[("HEALTH_LOG_FORMAT", "json")]);
    sidecar.until("ready", "loaded");
    let lines: Vec<Value> = sidecar.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["level"] == "INFO"), "{lines:?}");
    let told: Vec<_> = lines.iter().filter_map(|line| line["code"].as_str()).collect();
    assert_eq!(told, ["checking_receipt", "asking_server", "loaded"]);
}

#[test]
fn a_failed_fetch_is_told_in_the_fetchers_words_until_a_receipt_proves_otherwise() {
    let volume = Volume::empty();
    let server = ModelServer::start(Says::loaded());
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    volume.put_failure("product-recommendation v2.3: checksum mismatch on model.safetensors");
    sidecar.until("failed", "failed: product-recommendation v2.3: checksum mismatch on model.safetensors");
    volume.put_files();
    volume.put_receipt(&receipt(VERSION));
    sidecar.until("ready", "loaded");
}
