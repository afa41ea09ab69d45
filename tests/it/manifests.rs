//! What `kustomize build k8s/base` must give: the Pod that the two programs are written for, fit for a cluster that
//! enforces Pod Security `restricted`, with the model's version written once.

mod environments;
mod pod_security;
mod status_reporting;
mod validation;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use handoff::duration;
use plimsoll_tests::{binaries, places, process, tools};
use serde_json::{Value, json};

const MODEL_DIR: &str = "/mnt/models";

/// What kustomize gives for a folder, by kind; there is one of each.
struct Manifests(BTreeMap<String, Value>);

impl Manifests {
    fn base() -> Self {
        Self::build(&places::workspace().join("k8s/base"))
    }

    /// The base below an overlay of these lines.
    fn overlay(kustomization: &str) -> Self {
        Self::overlay_with("model-labels", kustomization)
    }

    /// The same with this component.
    fn overlay_with(component: &str, kustomization: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        symlink(places::workspace().join("k8s"), folder.path().join("k8s")).unwrap();
        let overlay = folder.path().join("overlay");
        fs::create_dir(&overlay).unwrap();
        let head = format!("resources: [../k8s/base]\ncomponents: [../k8s/components/{component}]\n");
        fs::write(overlay.join("kustomization.yaml"), format!("{head}{kustomization}")).unwrap();
        Self::build(&overlay)
    }

    fn build(folder: &Path) -> Self {
        let text = process::run(Command::new(tools::kustomize()).arg("build").arg(folder));
        let mut documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        // With reporting there is a second account; the one that counts is the one that the Pod runs as.
        let account = documents.iter().find(|document| document["kind"] == "Deployment");
        let account = account.map(|it| it["spec"]["template"]["spec"]["serviceAccountName"].clone());
        documents
            .retain(|it| it["kind"] != "ServiceAccount" || Some(&it["metadata"]["name"]) == account.as_ref());
        let count = documents.len();
        let by_kind: BTreeMap<_, _> = documents
            .into_iter()
            .map(|document| (document["kind"].as_str().unwrap().to_owned(), document))
            .collect();
        assert_eq!(by_kind.len(), count, "expected one object of each kind");
        Self(by_kind)
    }

    fn kind(&self, kind: &str) -> &Value {
        self.0.get(kind).unwrap_or_else(|| panic!("expected a {kind}"))
    }

    fn deployment(&self) -> &Value {
        &self.kind("Deployment")["spec"]
    }

    fn template(&self) -> &Value {
        &self.deployment()["template"]
    }

    fn pod(&self) -> &Value {
        &self.template()["spec"]
    }

    fn model(&self, key: &str) -> &str {
        self.kind("ConfigMap")["data"][key].as_str().unwrap()
    }

    /// Every container, in the order in which they start.
    fn containers(&self) -> Vec<&Value> {
        ["initContainers", "containers"]
            .iter()
            .flat_map(|list| self.pod()[*list].as_array().unwrap())
            .collect()
    }

    fn container(&self, name: &str) -> &Value {
        self.containers().into_iter().find(|container| container["name"] == name).unwrap()
    }
}

/// A variable of a container: its value, or what it is taken from.
fn variable<'a>(container: &'a Value, name: &str) -> &'a Value {
    let variables = container["env"].as_array().unwrap();
    variables.iter().find(|variable| variable["name"] == name).unwrap_or(&Value::Null)
}

fn port_number(container: &Value, name: &Value) -> Value {
    let ports = container["ports"].as_array().unwrap();
    ports.iter().find(|port| &port["name"] == name).map_or(Value::Null, |port| port["containerPort"].clone())
}

fn seconds(text: &Value) -> u64 {
    duration::parse(text.as_str().unwrap()).unwrap().as_secs()
}

#[test]
fn the_sidecar_starts_before_the_fetcher_and_decides_whether_the_pod_is_ready() {
    let base = Manifests::base();
    let names: Vec<_> =
        base.containers().iter().map(|container| container["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["health-sidecar", "fetcher", "server"]);
    assert_eq!(base.pod()["initContainers"].as_array().unwrap().len(), 2);

    let sidecar = base.container("health-sidecar");
    assert_eq!(sidecar["restartPolicy"], "Always");
    assert_eq!(sidecar["args"], json!(["serve"]));
    assert_eq!(sidecar["startupProbe"], Value::Null, "it would keep the fetcher from starting");
    for (probe, path) in [("readinessProbe", "/health"), ("livenessProbe", "/livez")] {
        let request = &sidecar[probe]["httpGet"];
        assert_eq!(request["path"], path);
        assert_eq!(port_number(sidecar, &request["port"]), 8090);
    }
    assert_eq!(variable(sidecar, "HEALTH_SERVER")["value"], "mlflow");

    let fetcher = base.container("fetcher");
    assert_eq!(fetcher["args"], json!(["pull"]));
    assert_eq!(fetcher["restartPolicy"], Value::Null);
    assert_eq!(fetcher["terminationMessagePolicy"], "File");
    assert_eq!(fetcher["terminationMessagePath"], Value::Null);
    for container in base.containers().into_iter().filter(|container| container["name"] != "health-sidecar") {
        for probe in ["readinessProbe", "livenessProbe", "startupProbe"] {
            assert_eq!(container[probe], Value::Null, "{probe} of {}", container["name"]);
        }
    }
}

#[test]
fn every_container_passes_pod_security_restricted() {
    let base = Manifests::base();
    assert_eq!(pod_security::violations(base.pod()), Vec::<String>::new());
    assert_eq!(base.pod()["automountServiceAccountToken"], false);
    for container in base.containers() {
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{}", container["name"]);
    }
}

#[test]
fn only_the_fetcher_writes_to_the_model_and_sees_credentials() {
    let base = Manifests::base();
    let volumes = base.pod()["volumes"].as_array().unwrap();
    for volume in volumes {
        assert!(volume["emptyDir"]["sizeLimit"].is_string(), "expected a bound for {}", volume["name"]);
    }
    for container in base.containers() {
        let mounts = container["volumeMounts"].as_array().unwrap();
        let model = mounts.iter().find(|mount| mount["mountPath"] == MODEL_DIR).unwrap();
        assert_eq!(model["name"], "model");
        let is_fetcher = container["name"] == "fetcher";
        assert_eq!(model["readOnly"] == true, !is_fetcher, "{}", container["name"]);
        assert_eq!(container["envFrom"] != Value::Null, is_fetcher, "{}", container["name"]);
    }
    let secret = json!([{ "secretRef": { "name": "mlflow-credentials", "optional": true } }]);
    assert_eq!(base.container("fetcher")["envFrom"], secret);
    // The server needs somewhere to write, as its root is read-only.
    let server = base.container("server");
    assert_eq!(variable(server, "HOME")["value"], "/tmp");
    assert!(server["volumeMounts"].as_array().unwrap().iter().any(|mount| mount["mountPath"] == "/tmp"));
}

#[test]
fn the_server_loads_what_the_fetcher_leaves() {
    let base = Manifests::base();
    let server = base.container("server");
    assert_eq!(server["command"], json!(["mlflow", "models", "serve"]));
    let args =
        json!(["--model-uri", MODEL_DIR, "--host", "0.0.0.0", "--port", "8080", "--env-manager", "local"]);
    assert_eq!(server["args"], args);
    let service = &base.kind("Service")["spec"];
    assert_eq!(service["ports"][0]["port"], 80);
    assert_eq!(port_number(server, &service["ports"][0]["targetPort"]), 8080);
}

#[test]
fn every_container_has_requests_and_limits_and_a_fixed_image() {
    for container in Manifests::base().containers() {
        let name = &container["name"];
        for kind in ["requests", "limits"] {
            for resource in ["cpu", "memory"] {
                assert!(
                    container["resources"][kind][resource].is_string(),
                    "{name} has no {kind}.{resource}"
                );
            }
        }
        let image = container["image"].as_str().unwrap();
        let (_, tag) = image.rsplit('/').next().unwrap().split_once(':').unwrap_or_default();
        assert!(!tag.is_empty() && tag != "latest", "expected a version, got {image}");
    }
}

/// The first block of YAML below a heading of `k8s/README.md`.
fn documented(heading: &str) -> String {
    let text = fs::read_to_string(places::workspace().join("k8s/README.md")).unwrap();
    let section = text.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    section.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[test]
fn the_documented_exec_probe_runs_the_copy_that_an_init_container_made() {
    let base = Manifests::base();
    let overlay = Manifests::overlay(&documented("Instead of the sidecar's probe: the server's own"));
    assert_eq!(pod_security::violations(overlay.pod()), Vec::<String>::new());
    let (installer, server) = (overlay.container("install-check"), overlay.container("server"));
    assert_eq!(installer["image"], base.container("health-sidecar")["image"]);
    assert_eq!(installer["restartPolicy"], Value::Null, "it has to end before the server starts");
    assert_eq!(installer["securityContext"]["readOnlyRootFilesystem"], true);
    let arguments: Vec<_> =
        installer["args"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    // The arguments of the manifest, with a folder of this machine for the mounted one.
    let ["install", mount] = arguments[..] else { panic!("{arguments:?}") };
    let program = process::run(Command::new(binaries::health_sidecar()).arg("install").arg(folder.path()));
    let program = program.trim().strip_prefix("installed ").unwrap();
    let probe: Vec<_> = server["readinessProbe"]["exec"]["command"].as_array().unwrap().iter().collect();
    assert_eq!(probe, [&json!(program.replace(&*folder.path().to_string_lossy(), mount)), &json!("check")]);
    for (container, read_only) in [(installer, Value::Null), (server, json!(true))] {
        let mounts = container["volumeMounts"].as_array().unwrap();
        let found = mounts.iter().find(|found| found["mountPath"] == mount).unwrap();
        assert_eq!((&found["name"], &found["readOnly"]), (&json!("plimsoll"), &read_only));
    }
    assert!(
        overlay.pod()["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .any(|volume| { volume["name"] == "plimsoll" && volume["emptyDir"]["sizeLimit"].is_string() })
    );
    // What was there is there still.
    for name in ["health-sidecar", "fetcher"] {
        assert_eq!(overlay.container(name), base.container(name));
    }
}

#[test]
fn whoever_gives_up_first_knows_why() {
    let base = Manifests::base();
    let deployment = base.deployment();
    let fetching = seconds(&variable(base.container("fetcher"), "FETCHER_DEADLINE")["value"]);
    assert!(fetching < deployment["progressDeadlineSeconds"].as_u64().unwrap());
    let stopping = base.container("server")["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap();
    assert!(stopping < base.pod()["terminationGracePeriodSeconds"].as_u64().unwrap());
}

#[test]
fn the_model_is_named_once_and_everyone_reads_it_there() {
    let base = Manifests::base();
    assert_eq!(base.model("model_name"), "product-recommendation");
    assert_eq!(base.model("model_version"), "v2.3");
    assert_eq!(base.model("model_registry"), "mlflow+http://mlflow.mlops:5000");
    let config_map = &base.kind("ConfigMap")["metadata"]["name"];
    for (container, variables) in [
        ("fetcher", &["MODEL_REGISTRY", "MODEL_NAME", "MODEL_VERSION"][..]),
        ("health-sidecar", &["MODEL_NAME", "MODEL_VERSION"]),
    ] {
        for name in variables {
            let source = &variable(base.container(container), name)["valueFrom"]["configMapKeyRef"];
            assert_eq!(source, &json!({ "name": config_map, "key": name.to_lowercase() }), "{container}");
        }
    }
    assert_labels(&base);

    let sources: String = [
        "base/kustomization.yaml",
        "base/deployment.yaml",
        "base/service.yaml",
        "components/model-labels/kustomization.yaml",
    ]
    .iter()
    .map(|file| fs::read_to_string(places::workspace().join("k8s").join(file)).unwrap())
    .collect();
    for value in ["v2.3", "product-recommendation"] {
        assert_eq!(sources.matches(value).count(), 1, "expected {value} to be written once");
    }
}

/// The labels that Argo CD's check reads are what the ConfigMap says, and no selector depends on the version.
fn assert_labels(manifests: &Manifests) {
    let (name, version) = (manifests.model("model_name"), manifests.model("model_version"));
    let template = &manifests.template()["metadata"]["labels"];
    for labels in [&manifests.kind("Deployment")["metadata"]["labels"], template] {
        assert_eq!(labels["plimsoll.dev/model-name"], name);
        assert_eq!(labels["plimsoll.dev/model-version"], version);
        assert_eq!(labels["app.kubernetes.io/name"], "model-server");
    }
    for selector in
        [&manifests.deployment()["selector"]["matchLabels"], &manifests.kind("Service")["spec"]["selector"]]
    {
        assert_eq!(
            selector,
            &json!({ "app.kubernetes.io/name": "model-server", "plimsoll.dev/model-name": name })
        );
    }
}

#[test]
fn a_new_version_changes_the_pods_and_nothing_but_what_names_it() {
    let base = Manifests::base();
    let bumped = Manifests::overlay(
        "configMapGenerator:\n- {name: model, behavior: merge, literals: [model_version=v2.4]}\n",
    );
    assert_eq!(bumped.model("model_version"), "v2.4");
    assert_labels(&bumped);
    let config_map =
        |manifests: &Manifests| manifests.kind("ConfigMap")["metadata"]["name"].as_str().unwrap().to_owned();
    assert_ne!(config_map(&bumped), config_map(&base));
    assert_ne!(bumped.template(), base.template());
    let renamed = serde_json::to_string(&bumped.0).unwrap().replace("v2.4", "v2.3");
    let renamed = renamed.replace(&config_map(&bumped), &config_map(&base));
    assert_eq!(renamed, serde_json::to_string(&base.0).unwrap());

    let back = Manifests::overlay(
        "configMapGenerator:\n- {name: model, behavior: merge, literals: [model_version=v2.3]}\n",
    );
    assert_eq!(back.0, base.0, "expected a rollback to give what was there before");
}

#[test]
fn an_overlay_may_rename_things_and_use_a_version_that_looks_like_a_number() {
    let overlay = Manifests::overlay(
        "namePrefix: shop-\nconfigMapGenerator:\n- {name: model, behavior: merge, literals: [model_version=7]}\n",
    );
    assert_eq!(overlay.kind("Deployment")["metadata"]["name"], "shop-model-server");
    assert_labels(&overlay);
    let source = &variable(overlay.container("fetcher"), "MODEL_VERSION")["valueFrom"]["configMapKeyRef"];
    assert_eq!(source["name"], overlay.kind("ConfigMap")["metadata"]["name"]);
}

#[test]
fn the_programs_know_every_setting_that_the_manifest_gives_them() {
    let base = Manifests::base();
    for (name, program) in [("fetcher", binaries::fetcher()), ("health-sidecar", binaries::health_sidecar())]
    {
        let container = base.container(name);
        let help =
            process::run(Command::new(program).arg(container["args"][0].as_str().unwrap()).arg("--help"));
        for variable in container["env"].as_array().unwrap() {
            let setting = variable["name"].as_str().unwrap();
            assert!(help.contains(&format!("[env: {setting}=")), "{name} does not know {setting}:\n{help}");
        }
    }
}
