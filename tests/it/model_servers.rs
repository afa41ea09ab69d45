//! What real model servers say of a model, and what the sidecar makes of it: loaded, not loaded yet, failed, unknown,
//! another version, gone. MLflow's and MLServer's are also in `story.rs`, with a model that predicts.
//!
//! Servers that cannot be installed here are asked in `health-sidecar/tests/it/kinds.rs`, by their documented answers.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use plimsoll_tests::model_server::{ModelServer, START_LIMIT};
use plimsoll_tests::process::{Server, free_port};
use plimsoll_tests::{binaries, http, poll, skip};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fetcher::Fetcher;

/// How long the sidecar may take to notice a change that happened.
const NOTICE: Duration = Duration::from_secs(20);

/// A volume with a fetched model, and a folder for whatever else a test needs.
struct Place {
    fetcher: Fetcher,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("model")).unwrap();
        fs::write(folder.path().join("model/weights.json"), r#"{"coefficients": [1.0], "intercept": 0.5}"#)
            .unwrap();
        let fetcher = Fetcher::new();
        let source = format!("file://{}", folder.path().join("model").display());
        fetcher.run(&["pull", "--uri", &source, "--model-name", "m", "--model-version", "v1"]).expect(0);
        Self { fetcher, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A sidecar for this model, which asks the server at `port`.
    fn sidecar(&self, kind: &str, port: u16, settings: &[(&str, &str)]) -> Sidecar {
        let own = free_port();
        let mut command = Command::new(binaries::health_sidecar());
        command
            .env_clear()
            .env("MODEL_NAME", "m")
            .env("MODEL_DIR", self.fetcher.model())
            .env("HEALTH_LISTEN", format!("127.0.0.1:{own}"))
            .env("HEALTH_SERVER", kind)
            .env("HEALTH_SERVER_URL", format!("http://127.0.0.1:{port}"))
            .env("HEALTH_PROBE_PERIOD", "2s")
            .env("HEALTH_PROBE_TIMEOUT", "500ms")
            .envs(settings.iter().copied());
        let server = Server::start("health-sidecar", &command, NOTICE, || {
            http::get(own, "/livez").is_ok_and(|answer| answer.status == 200)
        });
        Sidecar { _server: server, port: own, kind: kind.to_owned() }
    }
}

struct Sidecar {
    _server: Server,
    port: u16,
    kind: String,
}

impl Sidecar {
    fn health(&self) -> Value {
        http::get(self.port, "/health").unwrap().json()
    }

    /// Waits until `/health` is in this phase, for a reason with this in it.
    #[track_caller]
    fn expect(&self, phase: &str, reason: &str) {
        let mut last = Value::Null;
        let hit = poll::within(NOTICE, || {
            last = self.health();
            let said = last["reason"].as_str().is_some_and(|said| said.contains(reason));
            (last["phase"] == phase && said).then_some(())
        });
        assert!(hit.is_some(), "{}: expected {phase}, `{reason}`, got {last}", self.kind);
    }
}

#[test]
fn kserve_says_in_both_of_its_protocols_whether_a_model_is_ready() {
    if skip::asked("kserve", "model_servers: kserve_says_in_both_of_its_protocols_…") {
        return;
    }
    let place = Place::new();
    let switch = place.path("switch");
    fs::write(&switch, "on").unwrap();
    let mut server = ModelServer::start_kserve("m", &switch);
    server.wait_for("/v2/health/ready");
    let port = server.port();
    let sidecars = [
        (place.sidecar("kserve-v1", port, &[]), "loaded"),
        (place.sidecar("kserve-v2", port, &[]), "loaded"),
        (place.sidecar("auto", port, &[]), "loaded: found kserve-v2 at http://127.0.0.1:"),
    ];
    let unknown = [("HEALTH_SERVER_MODEL", "n")];
    let version = [("HEALTH_SERVER_MODEL_VERSION", "1")];
    for (sidecar, loaded) in &sidecars {
        sidecar.expect("ready", loaded);
    }
    place.sidecar("kserve-v1", port, &unknown).expect("loading", "Model with name n does not exist");
    place.sidecar("kserve-v2", port, &unknown).expect("loading", "Model with name n does not exist");
    place.sidecar("auto", port, &unknown).expect("loading", "found no server that knows `n`");
    // It has no versions, so it cannot vouch for one.
    place.sidecar("kserve-v2", port, &version).expect("loading", "Model versioning not supported");

    fs::write(&switch, "off").unwrap();
    assert_eq!(server.status("/v2/health/ready"), Some(200), "the server is ready all the same");
    for (sidecar, _) in &sidecars {
        sidecar.expect("loading", "Model with name m is not ready");
    }
    fs::write(&switch, "on").unwrap();
    for (sidecar, loaded) in &sidecars {
        sidecar.expect("ready", loaded);
    }
    drop(server);
    for (sidecar, _) in &sidecars {
        sidecar.expect("loading", "connection refused");
    }
}

#[test]
fn triton_says_which_version_is_in_which_state_and_why() {
    if skip::asked("triton", "model_servers: triton_says_which_version_…") {
        return;
    }
    let place = Place::new();
    let gate = place.path("gate");
    let mut server = ModelServer::start_triton("m", &gate);
    server.wait_for("/v2/health/live");
    let port = server.port();
    let version = [("HEALTH_SERVER_MODEL_VERSION", "1")];
    let triton = place.sidecar("triton", port, &[]);
    let kserve = place.sidecar("kserve-v2", port, &version);
    let auto = place.sidecar("auto", port, &version);
    triton.expect("loading", "/v2/repository/index: expected `m` in state READY, got no state");
    kserve.expect("loading", "/v2/models/m/versions/1/ready: expected status 200, got 400 Bad Request");
    auto.expect("loading", "(found triton at http://127.0.0.1:");
    place
        .sidecar("triton", port, &[("HEALTH_SERVER_MODEL", "n")])
        .expect("loading", "expected `n` in state READY, got `m`");

    // The request for loading is answered when the model is loaded, or is not going to be.
    let load = || thread::spawn(move || http::post_json(port, "/v2/repository/models/m/load", &json!({})));
    let loading = load();
    triton.expect("loading", "expected `m` in state READY, got LOADING");
    auto.expect("loading", "got LOADING");
    write_at_once(&gate, "fail");
    assert_eq!(loading.join().unwrap().unwrap().status, 400);
    triton.expect("loading", "got UNAVAILABLE: Internal: the weights cannot be read");
    kserve.expect("loading", "400 Bad Request");

    write_at_once(&gate, "go");
    assert_eq!(load().join().unwrap().unwrap().status, 200);
    triton.expect("ready", "loaded");
    kserve.expect("ready", "loaded");
    auto.expect("ready", "loaded: found triton at http://127.0.0.1:");
    let another = [("HEALTH_SERVER_MODEL_VERSION", "2")];
    place
        .sidecar("triton", port, &another)
        .expect("loading", "expected `m` version `2` in state READY, got version `1`");
    place.sidecar("kserve-v2", port, &another).expect("loading", "400 Bad Request");
    place.sidecar("kserve-v2", port, &[]).expect("ready", "loaded");
}

/// The file is there with all its content, or not at all.
fn write_at_once(path: &std::path::Path, content: &str) {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file.persist(path).unwrap();
}

#[test]
fn mlserver_tells_its_versions() {
    if skip::asked("mlserver", "model_servers: mlserver_tells_its_versions") {
        return;
    }
    let place = Place::new();
    let mut server = ModelServer::start_mlserver("m", "v1", &place.fetcher.model(), None);
    server.wait_for("/v2/models/m/ready");
    let port = server.port();
    let version = |version| [("HEALTH_SERVER_MODEL_VERSION", version)];
    place.sidecar("kserve-v2", port, &version("v1")).expect("ready", "loaded");
    place.sidecar("triton", port, &version("v1")).expect("ready", "loaded");
    place
        .sidecar("auto", port, &version("v1"))
        .expect("ready", "loaded: found kserve-v2 at http://127.0.0.1:");
    place.sidecar("kserve-v2", port, &version("v2")).expect("loading", "404 Not Found");
    place.sidecar("triton", port, &version("v2")).expect("loading", "got version `v1`");
    place
        .sidecar("auto", port, &version("v2"))
        .expect("loading", "found no server that knows `m` version `v2`");
}

#[test]
fn mlflow_is_told_from_what_merely_answers_its_ping() {
    let place = Place::new();
    let registry = plimsoll_tests::mlflow_server::MlflowServer::start(&Default::default());
    registry.register_model("m", &[("version", "v1")], &[]);
    let fetcher = Fetcher::new();
    fetcher.pull(&registry.registry(), "m", "v1").expect(0);
    let mut server = ModelServer::start_mlflow_on(&fetcher.model(), free_port());
    let auto = place.sidecar("auto", server.port(), &[]);
    auto.expect("loading", "connection refused");
    server.wait_for("/ping");
    auto.expect("ready", "loaded: found mlflow at http://127.0.0.1:");
}

#[test]
fn a_grpc_server_says_whether_a_service_is_served() {
    if skip::asked("grpc", "model_servers: a_grpc_server_says_whether_a_service_is_served") {
        return;
    }
    let place = Place::new();
    let gate = place.path("gate");
    let server = ModelServer::start_grpc_health(&gate);
    let port = server.port();
    let whole = place.sidecar("grpc", port, &[]);
    let service = place.sidecar("grpc", port, &[("HEALTH_GRPC_SERVICE", "model")]);
    let unknown = place.sidecar("grpc", port, &[("HEALTH_GRPC_SERVICE", "n")]);
    let auto = place.sidecar("auto", port, &[("HEALTH_SERVER_MODEL", "model")]);
    let wrong = place.sidecar("kserve-v2", port, &[]);
    let reachable = poll::within(START_LIMIT, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    assert!(reachable.is_some());

    whole.expect("ready", "loaded");
    service
        .expect("loading", "/grpc.health.v1.Health/Check: expected `model` to be SERVING, got NOT_SERVING");
    auto.expect("loading", "got NOT_SERVING (found grpc at http://127.0.0.1:");
    unknown.expect("loading", "expected `n` to be SERVING, got NOT_FOUND");
    wrong.expect("loading", "GET http://127.0.0.1:");
    fs::write(&gate, "").unwrap();
    service.expect("ready", "loaded");
    auto.expect("ready", "loaded: found grpc at http://127.0.0.1:");
    drop(server);
    service.expect("loading", "connection refused");
}

#[test]
fn a_port_that_is_open_and_speaks_no_grpc_is_not_served() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let place = Place::new();
    let (silent, tcp) = (place.sidecar("grpc", port, &[]), place.sidecar("tcp", port, &[]));
    silent.expect("loading", "no complete answer within 500 ms");
    tcp.expect("ready", "loaded");
    // It talks, and not HTTP/2.
    let web = thread::spawn(move || {
        for mut stream in listener.incoming().flatten().take(20) {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    poll::until("a word on what it said", Duration::from_secs(20), || {
        let said = silent.health()["reason"].to_string();
        let known = ["exchange failed", "closed", "not HTTP/2"];
        (said.contains("/grpc.health.v1.Health/Check: ") && known.iter().any(|it| said.contains(it)))
            .then_some(())
    });
    drop((silent, tcp, web));
}
