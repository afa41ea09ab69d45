//! The Pod of `k8s/base`, in containers from our own images: the order of the manifest, its restrictions, its
//! configuration, and the registry behind a Service name.
//!
//! No image can be pulled where these tests run, so whatever is not ours runs in an empty image that is given
//! this machine's programs, read-only. Our two images are the real ones.

mod engine;
mod manifest;
mod pod;
mod world;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use handoff::{ExitCode, Layout, Receipt};
use plimsoll_tests::{places, poll, skip};
use serde::Deserialize;

use engine::{Engine, Running};
use manifest::{Container, Pod};
use pod::{Ended, RunningPod};
use world::{Registry, World};

const GROUP: &str = "containers";
/// How long the sidecar may take to notice a change, with the probe interval of the manifest.
const NOTICE: Duration = Duration::from_secs(60);
const START_LIMIT: Duration = Duration::from_secs(180);
/// What a container that does nothing may hold.
const MAX_RESIDENT: u64 = 6 * 1024 * 1024;
const MAX_TERMINATION_MESSAGE: usize = 512;

/// One line of `watch_health.py`.
#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Look {
    livez: Option<u16>,
    health: Option<u16>,
    phase: Option<String>,
    ping: Option<u16>,
}

#[test]
fn the_base_turns_green_when_its_model_is_loaded() {
    if skip::asked(GROUP, "containers: the_base_turns_green_when_its_model_is_loaded") {
        return;
    }
    turns_green(None);
}

#[test]
fn the_base_turns_green_under_any_user() {
    if skip::asked(GROUP, "containers: the_base_turns_green_under_any_user") {
        return;
    }
    turns_green(Some(1_234_567));
}

#[test]
fn a_model_that_does_not_exist_is_told_by_the_exit_code_the_message_and_the_sidecar() {
    if skip::asked(GROUP, "containers: a_model_that_does_not_exist_is_told_…") {
        return;
    }
    let Base { engine, registry, mut pod, model, address } = Base::new();
    pod.set("model_version", "v9.9");
    let world = World::start(&engine, &registry, &address);
    let pod = RunningPod::new(&engine, &world, pod, None);
    let [sidecar, fetcher] = init_containers(&pod.pod);
    let sidecar = pod.start_sidecar(sidecar);
    let fetch = pod.run_to_end(fetcher);
    assert_eq!(fetch.code, i32::from(ExitCode::NotFound.code()), "{}", fetch.container.log());
    let line = one_line(&fetch);
    assert!(line.starts_with(&format!("{} v9.9: ", model.name)), "{line}");
    let (code, said) = poll::until("the sidecar to tell of the failure", NOTICE, || {
        Some(check(&sidecar)).filter(|(_, said)| said.contains(line))
    });
    assert_ne!(code, Some(0), "{said}");
}

#[test]
fn the_copied_program_checks_from_an_image_that_has_nothing() {
    if skip::asked(GROUP, "containers: the_copied_program_checks_from_an_image_that_has_nothing") {
        return;
    }
    let engine = Engine::shared();
    let volume = tempfile::tempdir().unwrap();
    fs::set_permissions(volume.path(), Permissions::from_mode(0o2777)).unwrap();
    let options = |user: &str, mode: &str| {
        let mount = format!("--mount=type=bind,source={},target=/plimsoll{mode}", volume.path().display());
        let rest = ["--read-only", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges"];
        let mut options = vec![format!("--user={user}"), mount];
        options.extend(rest.map(str::to_owned));
        options
    };
    let run = |options: &[String], image: &str, command: &[&str]| {
        let command: Vec<_> = command.iter().map(|&word| word.to_owned()).collect();
        let container = engine.run("install", options, image, &command);
        (container.wait(Duration::from_secs(30)), container.log())
    };
    let ours = engine::image("health-sidecar");
    // Twice, as an init container that is started again.
    for _ in 0..2 {
        let (code, said) = run(&options("1234567:0", ""), &ours, &["install", "/plimsoll"]);
        assert_eq!((code, said.as_str()), (0, "installed /plimsoll/health-sidecar\n"));
    }
    let check = ["/plimsoll/health-sidecar", "check"];
    let (code, said) = run(&options("7654321:0", ",readonly"), engine.empty_image(), &check);
    assert_eq!(
        (code, said.as_str()),
        (i32::from(ExitCode::Unavailable.code()), "GET http://127.0.0.1:8090/health: connection refused\n")
    );
    let (code, said) = run(&options("1234567:0", ",readonly"), &ours, &["install", "/plimsoll"]);
    assert_eq!(code, i32::from(ExitCode::LocalIo.code()), "{said}");
    assert!(said.contains("Read-only file system") && said.contains("hint: mount the volume"), "{said}");
}

/// The manifests, and what they name.
struct Base {
    engine: std::sync::Arc<Engine>,
    registry: std::sync::Arc<Registry>,
    pod: Pod,
    model: handoff::ModelId,
    /// Host and port of the registry, as the manifests have them.
    address: String,
}

impl Base {
    fn new() -> Self {
        let pod = Pod::of(&places::workspace().join("k8s/base"));
        let environment = pod.environment(init_containers(&pod)[1]);
        let setting = |name: &str| environment.get(name).unwrap_or_else(|| panic!("expected {name}")).clone();
        let model = handoff::ModelId { name: setting("MODEL_NAME"), version: setting("MODEL_VERSION") };
        let registry = setting("MODEL_REGISTRY");
        let address = registry.strip_prefix("mlflow+http://");
        let address =
            address.unwrap_or_else(|| panic!("expected MLflow over HTTP, got {registry}")).to_owned();
        let registry = Registry::shared(&model.name, &model.version);
        Self { engine: Engine::shared(), registry, pod, model, address }
    }
}

fn init_containers(pod: &Pod) -> [&Container; 2] {
    let names: Vec<_> = pod.spec.init_containers.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["health-sidecar", "fetcher"], "the sidecar reports on the fetch, so it comes first");
    [&pod.spec.init_containers[0], &pod.spec.init_containers[1]]
}

fn turns_green(user: Option<u32>) {
    let Base { engine, registry, pod, model, address } = Base::new();
    let world = World::start(&engine, &registry, &address);
    let pod = RunningPod::new(&engine, &world, pod, user);
    let [sidecar_container, fetcher] = init_containers(&pod.pod);

    let sidecar = pod.start_sidecar(sidecar_container);
    let watch = pod.watch(8090, 8080);
    wait_for(&watch, "phase waiting", |look| look.phase.as_deref() == Some("waiting"));
    assert_ne!(check(&sidecar).0, Some(0));

    let fetch = pod.run_to_end(fetcher);
    assert_eq!(fetch.code, 0, "{}\n{}", fetch.container.log(), world.names_asked());
    let line = one_line(&fetch);
    assert!(line.starts_with(&format!("{} {} sha256:", model.name, model.version)), "{line}");
    let environment = pod.pod.environment(fetcher);
    let state = environment.get("MODEL_STATE_DIR").map(|path| pod.volume_at(fetcher, path));
    let folder = environment.get("MODEL_DIR").map_or("/mnt/models", String::as_str);
    let layout = Layout::new(pod.volume_at(fetcher, folder), state);
    let receipt = Receipt::read(&layout.receipt()).unwrap();
    assert_eq!((&receipt.model, receipt.digest), (&model, registry.trained.digest()));

    let again = pod.run_to_end(fetcher);
    assert_eq!(again.code, 0, "{}", again.container.log());
    let lifetime = again.container.lifetime();
    assert!(
        lifetime < Duration::from_secs(2),
        "expected a finished volume to be recognised, took {lifetime:?}"
    );

    wait_for(&watch, "phase loading", |look| look.phase.as_deref() == Some("loading"));
    assert_eq!(pod.pod.spec.containers.len(), 1, "the model server and nothing else");
    let server = pod.start_server(&pod.pod.spec.containers[0]);
    poll::until("the sidecar to be ready", START_LIMIT, || {
        assert!(server.is_running(), "the model server ended: {}", server.log());
        (check(&sidecar).0 == Some(0)).then_some(())
    });
    let (_, said) = check(&sidecar);
    assert!(said.starts_with(&format!("ready: {} {}", model.name, model.version)), "{said}");
    wait_for(&watch, "a green look", |look| look.health == Some(200));
    let green: Vec<_> = looks(&watch).into_iter().filter(|look| look.health == Some(200)).collect();
    assert!(green.iter().all(|look| look.ping == Some(200)), "green while the server was silent: {green:?}");
    let resident = sidecar.resident_bytes();
    assert!(resident <= MAX_RESIDENT, "expected at most {MAX_RESIDENT} resident bytes, got {resident}");

    // The receipt stays; the server's word does not outlive the server.
    drop(server);
    wait_for(&watch, "red again", |look| look.ping.is_none() && look.health == Some(503));

    let looks = looks(&watch);
    let from_start = looks.iter().skip_while(|look| look.livez.is_none());
    assert!(from_start.clone().all(|look| look.livez == Some(200)), "{looks:?}");
    let before_the_end: Vec<_> =
        from_start.take_while(|look| look.phase.as_deref() != Some("ready")).collect();
    assert!(before_the_end.iter().all(|look| look.health == Some(503)), "{looks:?}");
    let mut phases: Vec<_> = looks.iter().filter_map(|look| look.phase.as_deref()).collect();
    phases.dedup();
    println!(
        "observed: {}; sidecar: {resident} bytes resident; second run: {lifetime:?}",
        phases.join(" → ")
    );
}

/// What `health-sidecar check` says inside the sidecar's own container, as an exec probe would run it.
fn check(sidecar: &Running) -> (Option<i32>, String) {
    let output = sidecar.exec(&["/health-sidecar", "check"]);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), said.trim().to_owned())
}

/// The termination message, which is one line and short enough for every place that shows it.
fn one_line(ended: &Ended) -> &str {
    let message = ended.termination_message.trim_end_matches('\n');
    assert!(!message.is_empty() && !message.contains('\n'), "expected one line, got {message:?}");
    assert!(ended.termination_message.len() <= MAX_TERMINATION_MESSAGE, "{message}");
    message
}

fn looks(watch: &Running) -> Vec<Look> {
    watch.log().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn wait_for(watch: &Running, what: &str, found: impl Fn(&Look) -> bool) {
    poll::until(what, NOTICE, || looks(watch).last().is_some_and(&found).then_some(()));
}
