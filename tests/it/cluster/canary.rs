//! A canary of Argo Rollouts, with its own controller, on a real node: a model that does not load is taken back while the version before
//! serves. Requests are not split here, as the plugin for that is not a Go module; Argo Rollouts then goes by the number of Pods.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use plimsoll_tests::node::Node;
use plimsoll_tests::process::{End, Server};
use plimsoll_tests::{places, poll, process, skip, tools};
use serde_json::Value;

use super::world;
use crate::argocd::oracle;

const NAMESPACE: &str = "canary";
/// Where the definitions of the custom resources are that the component has.
const DEFINITIONS: [(&str, &str, &str); 3] = [
    ("github.com/argoproj/argo-rollouts", "v1.8.3", "manifests/crds"),
    (
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
    ),
    ("sigs.k8s.io/gateway-api", "v1.3.0", "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"),
];
/// The service of the story as a canary, without what the plugin would do.
const OVERLAY: &str = "
namespace: canary
resources: [../plimsoll/tests/e2e/model]
components: [../plimsoll/k8s/components/canary/argo-rollouts, ../plimsoll/k8s/components/model-labels]
configMapGenerator:
- {name: model, behavior: merge, literals: [model_version={version}]}
patches:
- target: {kind: Rollout}
  patch: |
    - {op: remove, path: /spec/strategy/canary/trafficRouting}
";

/// The controller, which finds the names of the cluster as a Pod would.
fn controller(node: &Node, folder: &Path) -> Server {
    let names = folder.join("resolv.conf");
    fs::write(&names, "nameserver 10.244.0.1\nsearch svc.cluster.local cluster.local\noptions ndots:5\n")
        .unwrap();
    let mut command = node.command("unshare");
    let run = "mount --bind \"$0\" /etc/resolv.conf && exec \"$1\" --kubeconfig \"$2\" --loglevel info";
    command
        .args(["--mount", "sh", "-c", run])
        .arg(names)
        .arg(tools::rollouts_controller())
        .arg(node.kubeconfig());
    Server::spawn("rollouts-controller", &command, End::Kill)
}

fn roll_out(node: &Node, folder: &Path, version: &str) {
    let place = folder.join("overlay");
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("kustomization.yaml"), OVERLAY.replace("{version}", version)).unwrap();
    let mut build = Command::new(tools::kustomize());
    build.args(["build", "--load-restrictor", "LoadRestrictionsNone"]);
    let manifests = folder.join("all.yaml");
    fs::write(&manifests, process::run(build.arg(&place))).unwrap();
    process::run(node.kubectl().args(["apply", "--filename"]).arg(manifests));
}

fn rollout(node: &Node) -> Value {
    let mut get = node.kubectl();
    get.args(["get", "rollout", "model-server", "--namespace", NAMESPACE, "--output", "json"]);
    serde_json::from_slice(&process::output(&mut get).stdout).unwrap_or(Value::Null)
}

/// Waits for what Argo CD, with our check, says of the Rollout.
fn until_health(node: &Node, limit: Duration, wanted: impl Fn(&str) -> bool) -> String {
    let health = |node: &Node| {
        let rollout = rollout(node);
        let answer = oracle::ask(std::slice::from_ref(&rollout)).pop()?.customized?;
        Some(format!("{}: {}", answer.status, answer.message))
    };
    poll::within(limit, || health(node).filter(|words| wanted(words)))
        .unwrap_or_else(|| panic!("got {:?} of {:#}", health(node), rollout(node)["status"]))
}

#[test]
fn a_canary_whose_model_does_not_load_is_taken_back_in_minutes() {
    if skip::asked("cluster", "a_canary_whose_model_does_not_load_is_taken_back_in_minutes") {
        return;
    }
    let node = Node::start();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(places::workspace(), folder.path().join("plimsoll")).unwrap();
    for (module, version, place) in DEFINITIONS {
        let place = tools::go_module(module, version).join(place);
        let flag = if place.is_dir() { "--kustomize" } else { "--filename" };
        process::run(node.kubectl().args(["create", flag]).arg(place));
    }
    let served =
        ["wait", "--for=condition=Established", "--timeout=60s", "--all", "customresourcedefinitions"];
    process::run(node.kubectl().args(served));
    world::store(&node, folder.path());
    for namespace in [NAMESPACE, "argo-rollouts"] {
        process::run(node.kubectl().args(["create", "namespace", namespace]));
    }
    let _controller = controller(&node, folder.path());

    roll_out(&node, folder.path(), "v2.3");
    let minute = Duration::from_secs(60);
    until_health(&node, minute * 2, |words| words == "Healthy: product-recommendation v2.3: ready 2/2");

    let began = Instant::now();
    roll_out(&node, folder.path(), "v2.5");
    let words = until_health(&node, minute * 5, |words| words.starts_with("Degraded"));
    assert!(words.contains("v2.5: ready 2/2, aborted, the version before serves on"), "{words}");
    assert!(words.contains("\"model-load\" assessed Failed"), "{words}");
    skip::say(&format!("a canary was taken back after {} s", began.elapsed().as_secs()));

    roll_out(&node, folder.path(), "v2.3");
    until_health(&node, minute, |words| words == "Healthy: product-recommendation v2.3: ready 2/2");
}
