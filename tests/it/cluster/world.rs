//! What the failures happen in: the store with its models, a namespace for each, and who looks on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use plimsoll_tests::node::Node;
use plimsoll_tests::process::{End, Server};
use plimsoll_tests::{places, poll, process, tools};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::failures::{CHANGED, Failure, VERSIONS};

const ACCESS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "e2e"),
    ("AWS_SECRET_ACCESS_KEY", "not-a-secret-of-anyone"),
    ("AWS_REGION", "us-east-1"),
];
const MODEL: &str = "product-recommendation";
const START: Duration = Duration::from_secs(120);
/// A port of the node's own network, which nobody else is in.
const PROMETHEUS: u16 = 9090;
/// The Pods to scrape.
const TARGETS: &str = "targets.json";

/// A node with everything on it.
pub struct World {
    prometheus: Server,
    node: Node,
    folder: TempDir,
}

impl World {
    pub fn start() -> Self {
        let node = Node::start();
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(places::workspace(), folder.path().join("plimsoll")).unwrap();
        store(&node, folder.path());
        let prometheus = prometheus(&node, folder.path());
        Self { prometheus, node, folder }
    }

    /// Rolls out what fails, into a namespace of its own.
    pub fn roll_out(&self, failure: &Failure) {
        let namespace = failure.namespace();
        let place = self.folder.path().join(&namespace);
        // What is the same for all of them is below, so that a failure can say anything of its own.
        fs::create_dir_all(place.join("service")).unwrap();
        fs::write(place.join("service/kustomization.yaml"), SERVICE).unwrap();
        fs::write(place.join("quota.yaml"), QUOTA).unwrap();
        fs::write(place.join("kustomization.yaml"), kustomization(failure).to_string()).unwrap();
        let mut build = Command::new(tools::kustomize());
        build.args(["build", "--load-restrictor", "LoadRestrictionsNone"]);
        let manifests = place.join("all.yaml");
        fs::write(&manifests, process::run(build.arg(&place))).unwrap();

        let kubectl = |arguments: &[&str]| {
            process::run(self.node.kubectl().args(arguments).args(["--namespace", &namespace]));
        };
        process::run(self.node.kubectl().args(["create", "namespace", &namespace]));
        // Somebody trusts a key.
        let trust = format!("--from-file=keys.pem={}", self.public_key().display());
        kubectl(&["create", "configmap", "model-trust", &trust]);
        kubectl(&["apply", "--filename", manifests.to_str().unwrap()]);
    }

    fn public_key(&self) -> std::path::PathBuf {
        let (secret, public) = (self.folder.path().join("key.pem"), self.folder.path().join("public.pem"));
        if !public.exists() {
            let make = ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"];
            process::run(Command::new("openssl").args(make).arg(&secret));
            process::run(
                Command::new("openssl").args(["ec", "-pubout", "-in"]).arg(&secret).arg("-out").arg(&public),
            );
        }
        public
    }

    /// What the API server gives for a path, or null.
    pub fn get(&self, path: &str) -> Value {
        let output = process::output(self.node.kubectl().args(["get", "--raw", path]));
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// Tells Prometheus which Pods there are, with the labels that `PodMonitor` gives them.
    pub fn look(&self) {
        let pods = self.get("/api/v1/pods?labelSelector=plimsoll.dev/model-name");
        let targets = pods["items"].as_array().into_iter().flatten().filter_map(|pod| {
            let lists =
                ["initContainers", "containers"].iter().filter_map(|list| pod["spec"][*list].as_array());
            let mut ports = lists.flatten().filter_map(|container| container["ports"].as_array()).flatten();
            ports.find(|port| port["name"] == "health")?;
            let (metadata, address) = (&pod["metadata"], pod["status"]["podIP"].as_str()?);
            let labels = json!({
                "namespace": metadata["namespace"], "pod": metadata["name"],
                "model": metadata["labels"]["plimsoll.dev/model-name"],
                "model_version": metadata["labels"]["plimsoll.dev/model-version"],
            });
            Some(json!({ "targets": [format!("{address}:8090")], "labels": labels }))
        });
        let targets: Vec<_> = targets.collect();
        let new = self.folder.path().join("targets.new");
        fs::write(&new, json!(targets).to_string()).unwrap();
        fs::rename(new, self.folder.path().join(TARGETS)).unwrap();
    }

    /// The names of the alerts that fire in a namespace.
    pub fn alerts(&self, namespace: &str) -> Vec<String> {
        let mut curl = self.node.command("curl");
        curl.args([
            "--silent",
            "--get",
            &format!("http://127.0.0.1:{PROMETHEUS}/api/v1/query"),
            "--data-urlencode",
        ]);
        curl.arg(format!("query=ALERTS{{alertstate=\"firing\", namespace=\"{namespace}\"}}"));
        let answer: Value = serde_json::from_str(&process::run(&mut curl)).unwrap();
        let mut names: Vec<_> = answer["data"]["result"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer}: {}", self.prometheus.log()))
            .iter()
            .map(|alert| alert["metric"]["alertname"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Failure {
    /// Its namespace.
    pub fn namespace(&self) -> String {
        self.name.to_lowercase().replace(' ', "-").replace('\'', "")
    }
}

/// What a failure says of its own, over the service, with its version.
fn kustomization(failure: &Failure) -> Value {
    let own = if failure.overlay.is_empty() { "{}" } else { failure.overlay };
    let mut whole: Value = serde_saphyr::from_str(own).unwrap();
    let list = |key: &str| whole[key].as_array().cloned().unwrap_or_default();
    let resources = [vec![json!("service")], list("resources")].concat();
    let components = [list("components"), vec![json!("../plimsoll/k8s/components/model-labels")]].concat();
    let version = json!(format!("model_version={}", failure.version));
    let mut generated = list("configMapGenerator");
    match generated.iter_mut().find(|it| it["name"] == "model") {
        Some(model) => model["literals"].as_array_mut().unwrap().push(version),
        None => generated.push(json!({ "name": "model", "behavior": "merge", "literals": [version] })),
    }
    whole["namespace"] = json!(failure.namespace());
    whole["resources"] = json!(resources);
    whole["components"] = json!(components);
    whole["configMapGenerator"] = json!(generated);
    whole
}

/// Less than a Pod of the service may use, and enough for the preflight.
const QUOTA: &str = "
apiVersion: v1
kind: ResourceQuota
metadata: {name: models}
spec: {hard: {limits.memory: 150Mi}}
";

/// The model service with everything that has a word on a failure.
const SERVICE: &str = "
resources: [../../plimsoll/tests/e2e/model]
components:
- ../../plimsoll/k8s/components/preflight
- ../../plimsoll/k8s/components/status-reporting/deployment
images: [{name: ghcr.io/plimsoll/fetcher, newName: plimsoll.test/fetcher, newTag: dev}]
patches:
- target: {kind: Deployment}
  patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: any}
    spec:
      progressDeadlineSeconds: 600
      template:
        spec:
          initContainers:
          - name: health-sidecar
            env: [{name: HEALTH_REPORT_INTERVAL, value: 1s}]
          - name: fetcher
- target: {kind: Pod, name: model-preflight}
  patch: |
    apiVersion: v1
    kind: Pod
    metadata: {name: any}
    spec:
      containers:
      - name: fetcher
        env: [{name: AWS_ENDPOINT_URL, value: 'http://store.plimsoll-e2e'}, {name: AWS_REGION, value: us-east-1}]
        envFrom: [{secretRef: {name: e2e-store}}]
        resources: {requests: {cpu: 10m}}
";

/// The store of the story, with every version in it.
pub fn store(node: &Node, folder: &Path) {
    process::run(
        node.kubectl().args(["apply", "--kustomize"]).arg(places::workspace().join("tests/e2e/store")),
    );
    process::run(node.kubectl().args([
        "rollout",
        "status",
        "deployment/store",
        "--namespace=plimsoll-e2e",
        "--timeout=120s",
    ]));
    publish(node, folder);
}

/// Puts every version into the store.
fn publish(node: &Node, folder: &Path) {
    let forward = Server::spawn(
        "port-forward",
        node.kubectl().args(["port-forward", "--namespace=plimsoll-e2e", "service/store", "7070:80"]),
        End::Kill,
    );
    poll::until("a way to the store", START, || {
        forward.log().contains("Forwarding from 127.0.0.1").then_some(())
    });
    let address = "http://127.0.0.1:7070";
    let put = |path: &str, file: &Path| {
        let sum = process::run(Command::new("sha256sum").arg(file));
        let header = format!("x-amz-content-sha256: {}", sum.split(' ').next().unwrap());
        let mut curl = node.command("curl");
        curl.args(["--silent", "--fail", "--request", "PUT", "--aws-sigv4", "aws:amz:us-east-1:s3"]);
        curl.args(["--user", &format!("{}:{}", ACCESS[0].1, ACCESS[1].1), "--header", &header]);
        process::run(curl.arg("--upload-file").arg(file).arg(format!("{address}{path}")));
    };
    for (version, lines) in VERSIONS {
        let model = folder.join(version);
        fs::create_dir(&model).unwrap();
        let large = format!("comment {}\n", "x".repeat(24 * 1024 * 1024));
        fs::write(model.join("model.txt"), lines.replace("{large}", &large)).unwrap();
        let mut fetcher = node.command(places::target().join("images/fetcher"));
        fetcher.arg("publish").arg(&model).args(["--registry", "catalog+s3://models", "--model-name", MODEL]);
        process::run(
            fetcher.args(["--model-version", version]).envs(ACCESS).env("AWS_ENDPOINT_URL", address),
        );
    }
    let changed = folder.join("changed");
    fs::write(&changed, CHANGED.1).unwrap();
    put(&format!("/models/{MODEL}/{}/model.txt", CHANGED.0), &changed);
}

/// Prometheus with the rules of `k8s/monitoring`, where each minute is a second. Debian's cannot ask Kubernetes which Pods there
/// are; [`World::look`] tells it.
fn prometheus(node: &Node, folder: &Path) -> Server {
    let rule: Value = serde_saphyr::from_str(
        &fs::read_to_string(places::workspace().join("k8s/monitoring/rules.yaml")).unwrap(),
    )
    .unwrap();
    let minutes = regex_lite::Regex::new(r"\b(\d+)m\b").unwrap();
    let rules = minutes.replace_all(&rule["spec"].to_string(), "${1}s").replace("[1d:", "[1h:");
    fs::write(folder.join("rules.json"), rules).unwrap();
    let configuration = json!({
        "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
        "rule_files": ["rules.json"],
        "scrape_configs": [{ "job_name": "monitoring/plimsoll", "file_sd_configs": [{ "files": [TARGETS] }] }],
    });
    fs::write(folder.join(TARGETS), "[]").unwrap();
    fs::write(folder.join("prometheus.yml"), configuration.to_string()).unwrap();
    let program = tools::debian_package("prometheus", "/usr/bin/prometheus");
    let mut command = node.command(program);
    command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{PROMETHEUS}"));
    let server = Server::spawn("prometheus", &command, End::Kill);
    poll::until("Prometheus", START, || server.log().contains("Server is ready").then_some(()));
    server
}
