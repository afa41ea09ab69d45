//! The main job from end to end: a model that MLflow's own client trained and registered is fetched by name and
//! version, verified, loaded by MLflow's own server, and answers as it did in Python. `/health` is watched
//! all along, and is green only while that server says that the model is loaded.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use handoff::{Integrity, Layout, Receipt};
use plimsoll_tests::mlflow_server::{MlflowServer, Options, Registered};
use plimsoll_tests::model_server::{ModelServer, START_LIMIT};
use plimsoll_tests::process::{Server, free_port};
use plimsoll_tests::{binaries, http, poll, skip};
use serde_json::json;

use crate::fetcher::{Fetcher, digest_by_coreutils};

const NAME: &str = "product-recommendation";
const VERSION: &str = "v2.3";
/// How long the sidecar may take to notice a change that happened.
const NOTICE: Duration = Duration::from_secs(20);

#[test]
fn a_registered_model_is_fetched_loaded_and_answers_as_it_did_when_trained() {
    let registry = MlflowServer::start(&Options::default());
    let trained = registry.register_model(NAME, &[("version", VERSION)], &[]);
    let fetcher = Fetcher::new().with("MODEL_REGISTRY", &registry.registry());
    let fetcher = fetcher.with("MODEL_NAME", NAME).with("MODEL_VERSION", VERSION);
    let layout = fetcher.layout();
    let server_port = free_port();

    let (_sidecar, health_port) = start_sidecar("mlflow", layout.model_dir(), server_port);
    let watch = Watch::start(health_port, server_port, layout.clone());
    assert_eq!(wait_for_phase(health_port, "waiting"), 503);

    fetcher.run(&["pull"]).expect(0);
    assert_receipt(&layout, &trained);
    assert_eq!(wait_for_phase(health_port, "loading"), 503);

    let mut server = ModelServer::start_mlflow_on(layout.model_dir(), server_port);
    server.wait_for("/ping");
    assert_eq!(wait_for_phase(health_port, "ready"), 200);
    assert_eq!(predictions(server_port, &trained), trained.predictions);

    // The receipt is there to stay; the server's word holds only as long as the server.
    let observed = watch.finish();
    drop(server);
    assert_eq!(wait_for_phase(health_port, "loading"), 503);
    assert!(layout.receipt().exists());

    println!("observed: {}", observed.phases.join(" → "));
    assert_eq!(observed.green_too_early, Vec::<String>::new());
    assert!(observed.answers > 20, "expected many looks at /health, got {}", observed.answers);
    assert_in_order(&observed.phases);
}

#[test]
fn a_server_of_the_open_inference_protocol_is_up_long_before_its_model_is_ready() {
    if skip::asked("mlserver", "story: a_server_of_the_open_inference_protocol_…") {
        return;
    }
    let (store, model) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(model.path().join("weights.json"), r#"{"coefficients": [1.0, 2.0], "intercept": 0.5}"#)
        .unwrap();
    let registry = format!("catalog+file://{}", store.path().display());
    let named = ["--registry", &registry, "--model-name", NAME, "--model-version", VERSION];
    let fetcher = Fetcher::new();
    fetcher.run(&[&["publish", model.path().to_str().unwrap()], &named[..]].concat()).expect(0);
    fetcher.run(&[&["pull"], &named[..]].concat()).expect(0);

    let gate = store.path().join("load-the-model");
    let mut server = ModelServer::start_mlserver(NAME, VERSION, &fetcher.model(), Some(&gate));
    let (_sidecar, health_port) = start_sidecar("kserve-v2", &fetcher.model(), server.port());
    server.wait_for("/v2/health/live");
    assert_eq!(wait_for_phase(health_port, "loading"), 503);
    assert_ne!(server.status(&format!("/v2/models/{NAME}/ready")), Some(200));

    fs::write(&gate, "").unwrap();
    assert_eq!(wait_for_phase(health_port, "ready"), 200);
    assert_eq!(server.status(&format!("/v2/models/{NAME}/ready")), Some(200));
    let input = json!({"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1.0, 2.0]});
    let answer =
        http::post_json(server.port(), &format!("/v2/models/{NAME}/infer"), &json!({"inputs": [input]}));
    assert_eq!(answer.unwrap().json()["outputs"][0]["data"], json!([5.5]));
}

/// Sidecar and fetcher share the volume and the names; what differs is what they are told to listen on and ask.
fn start_sidecar(kind: &str, volume: &Path, server_port: u16) -> (Server, u16) {
    let port = free_port();
    let mut command = Command::new(binaries::health_sidecar());
    command
        .env("MODEL_NAME", NAME)
        .env("MODEL_VERSION", VERSION)
        .env("MODEL_DIR", volume)
        .env("HEALTH_LISTEN", format!("127.0.0.1:{port}"))
        .env("HEALTH_SERVER", kind)
        .env("HEALTH_SERVER_URL", format!("http://127.0.0.1:{server_port}"))
        .env("HEALTH_PROBE_PERIOD", "2s");
    let sidecar = Server::start("health-sidecar", &command, Duration::from_secs(20), || {
        http::get(port, "/livez").is_ok_and(|answer| answer.status == 200)
    });
    (sidecar, port)
}

/// Waits until `/health` tells of `phase` and gives the status that came with it.
#[track_caller]
fn wait_for_phase(port: u16, phase: &str) -> u16 {
    let mut last = String::new();
    let status = poll::within(NOTICE, || {
        let answer = http::get(port, "/health").unwrap();
        last = answer.text().to_owned();
        (answer.json()["phase"] == phase).then_some(answer.status)
    });
    status.unwrap_or_else(|| panic!("expected phase {phase}, got {last}"))
}

fn assert_receipt(layout: &Layout, trained: &Registered) {
    let receipt = Receipt::read(&layout.receipt()).unwrap();
    assert_eq!((receipt.model.name.as_str(), receipt.model.version.as_str()), (NAME, VERSION));
    assert_eq!(receipt.resolved.version, trained.version);
    assert_eq!(receipt.integrity, Integrity::Recorded, "MLflow keeps no checksums of its own");
    assert!(receipt.is_consistent());
    assert_eq!(receipt.digest, trained.digest());
    assert_eq!(receipt.digest.to_string(), digest_by_coreutils(layout.model_dir()));
    let sizes: u64 = trained.files.iter().map(|file| file.size).sum();
    assert_eq!(receipt.bytes, sizes);
}

fn predictions(port: u16, trained: &Registered) -> Vec<i64> {
    let answer = http::post_json(port, "/invocations", &json!({"inputs": trained.rows})).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_value(answer.json()["predictions"].clone()).unwrap()
}

/// Phases may be passed too quickly to be seen, and never go back.
fn assert_in_order(phases: &[String]) {
    let order =
        ["waiting", "resolving", "fetching", "verifying", "publishing", "fetched", "loading", "ready"];
    let ranks: Vec<_> = phases.iter().map(|phase| order.iter().position(|known| known == phase)).collect();
    assert!(ranks.iter().all(Option::is_some) && ranks.is_sorted(), "expected {order:?}, got {phases:?}");
    for needed in ["waiting", "loading", "ready"] {
        assert!(phases.iter().any(|phase| phase == needed), "expected {needed} among {phases:?}");
    }
}

/// Looks at `/health` as often as it can from a thread of its own.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Observed>,
}

#[derive(Default)]
struct Observed {
    answers: usize,
    /// Each phase when it was first seen.
    phases: Vec<String>,
    /// Green answers while the server did not answer for itself, or without a receipt.
    green_too_early: Vec<String>,
}

impl Watch {
    fn start(health_port: u16, server_port: u16, layout: Layout) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let deadline = Instant::now() + START_LIMIT + NOTICE * 3;
        let thread = thread::spawn(move || {
            let mut observed = Observed::default();
            let mut seen = BTreeSet::new();
            loop {
                // One more look after being told to stop, so that what is there by then was seen however busy the machine is.
                let last = stopped.load(Ordering::Relaxed) || Instant::now() >= deadline;
                let answer = http::get(health_port, "/health").unwrap();
                observed.answers += 1;
                let phase = answer.json()["phase"].as_str().unwrap().to_owned();
                if seen.insert(phase.clone()) {
                    observed.phases.push(phase);
                }
                if answer.status == 200 {
                    let ping = http::get(server_port, "/ping").map(|ping| ping.status).ok();
                    if ping != Some(200) || !layout.receipt().exists() {
                        observed.green_too_early.push(format!("{ping:?} {}", answer.text()));
                    }
                }
                if last {
                    return observed;
                }
                thread::sleep(Duration::from_millis(10));
            }
        });
        Self { stop, thread }
    }

    fn finish(self) -> Observed {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
