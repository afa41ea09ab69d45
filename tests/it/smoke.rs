//! The example of smoke requests against the model that it was written for, behind MLflow's own scoring server; and
//! against one that loads as well, and predicts something else.

use std::path::Path;
use std::process::Command;

use plimsoll_tests::mlflow_server::{MlflowServer, Options};
use plimsoll_tests::model_server::ModelServer;
use plimsoll_tests::{binaries, places, process, tools};

use crate::fetcher::Fetcher;

const NAME: &str = "product-recommendation";
const VERSION: &str = "v2.3";

#[test]
fn smoke_requests_tell_the_right_model_from_one_that_only_loads() {
    let registry = MlflowServer::start(&Options::default());
    registry.register_model(NAME, &[("version", VERSION)], &[]);
    let fetcher = Fetcher::new().with("MODEL_REGISTRY", &registry.registry());
    let fetcher = fetcher.with("MODEL_NAME", NAME).with("MODEL_VERSION", VERSION);
    fetcher.run(&["pull"]).expect(0);
    drop(registry);
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    let mut swap = tools::python().command("python");
    process::run(swap.arg(places::data("mlflow/swap_classes.py")).arg(fetcher.model()).arg(&other));

    let (code, line) = check(&fetcher.model());
    assert!(code == Some(0) && line.starts_with("3 smoke requests passed in "), "{line}");

    let (code, line) = check(&other);
    let expected = "smoke request \"known customer\": expected 1 ± 0.01 at /predictions/0, got 0";
    assert_eq!((code, line.as_str()), (Some(69), expected));
}

/// What `check --smoke` says of a server with this model, once that says that the model is loaded.
fn check(model: &Path) -> (Option<i32>, String) {
    let mut server = ModelServer::start_mlflow(model);
    server.wait_for("/ping");
    let mut command = Command::new(binaries::health_sidecar());
    command.env_clear().args(["check", "--url", "none", "--smoke"]);
    command.arg(places::workspace().join("health-sidecar/examples/smoke.yaml"));
    command.arg("--server-url").arg(format!("http://127.0.0.1:{}", server.port()));
    let output = process::output(&mut command);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (output.status.code(), String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned())
}
