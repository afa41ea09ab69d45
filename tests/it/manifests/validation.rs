//! Everything below `k8s/`, as somebody would apply it: read by Kubernetes' own schemas, by a real API server that knows the custom
//! resources by their own definitions, and by the rules of Pod Security.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use plimsoll_tests::api_server::ApiServer;
use plimsoll_tests::{places, process, skip, tools};
use serde_json::{Value, json};

use super::environments::{build, components, k8s, with_components};
use super::pod_security;

/// What is applied by itself, or as a patch of what Argo CD has.
const ALONE: [&str; 6] = [
    "argocd/applicationset/models.yaml",
    "argocd/argocd-cm-application.yaml",
    "argocd/argocd-cm-deployment.yaml",
    "argocd/argocd-cm.yaml",
    "argocd/notifications/argocd-notifications-cm.yaml",
    "argocd/root.yaml",
];
/// What is for other programs than Kubernetes.
const FOR_OTHERS: [&str; 3] =
    ["argocd/resource_customizations/", "monitoring/rules_test.yaml", "pipelines/github/"];
/// The releases of Kubernetes from the oldest that the base is for to the newest that there are schemas of here.
const RELEASES: [&str; 3] = ["1.30", "1.34", "1.37"];
/// Where the definitions of custom resources are: module, version, and files or folders in it.
const DEFINITIONS: [(&str, &str, &[&str]); 7] = [
    ("github.com/argoproj/argo-cd/v3", "v3.2.0", &["manifests/crds"]),
    ("github.com/argoproj/argo-rollouts", "v1.8.3", &["manifests/crds"]),
    ("github.com/argoproj/argo-workflows/v3", "v3.7.2", &["manifests/base/crds/full"]),
    ("github.com/fluxcd/flagger", "v1.36.1", &["artifacts/flagger/crd.yaml"]),
    (
        "github.com/kserve/kserve",
        "v0.16.0",
        &[
            "config/crd/full/serving.kserve.io_clusterservingruntimes.yaml",
            "config/crd/full/serving.kserve.io_clusterstoragecontainers.yaml",
            "config/crd/full/serving.kserve.io_inferenceservices.yaml",
        ],
    ),
    (
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        &[
            "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        ],
    ),
    ("sigs.k8s.io/gateway-api", "v1.3.0", &["config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"]),
];

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { folders.push(entry) } else { found.push(entry) }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(k8s("")).unwrap().display().to_string()
}

/// Every object that comes of `k8s/`, with where it is from.
fn everything() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for path in files(&k8s("")) {
        let is_kustomization = path.ends_with("kustomization.yaml")
            && fs::read_to_string(&path).unwrap().contains("\nkind: Kustomization\n");
        if is_kustomization {
            let folder = path.parent().unwrap();
            all.extend(build(folder).into_iter().map(|object| (relative(folder), object)));
        }
    }
    for component in components() {
        let mut listed = vec!["preflight".to_owned(), component.clone(), "model-labels".to_owned()];
        listed.dedup();
        let objects = with_components(&listed);
        all.extend(objects.into_iter().map(|object| (format!("components/{component}"), object)));
    }
    for file in ALONE {
        let object = serde_saphyr::from_str(&fs::read_to_string(k8s(file)).unwrap()).unwrap();
        all.push((file.to_owned(), object));
    }
    assert!(all.len() > 150, "expected many objects, got {}", all.len());
    all
}

fn name(place: &str, object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{place}: {} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

#[test]
fn every_file_belongs_to_something() {
    let mut lost = Vec::new();
    for path in files(&k8s("")) {
        let (file, relative) = (path.file_name().unwrap().to_str().unwrap(), relative(&path));
        let is_data = !relative.ends_with(".yaml") || file == "kustomization.yaml";
        if is_data
            || ALONE.contains(&&*relative)
            || FOR_OTHERS.iter().any(|other| relative.starts_with(other))
        {
            continue;
        }
        let is_named =
            path.ancestors().skip(1).take_while(|folder| folder.starts_with(k8s(""))).any(|folder| {
                let list = fs::read_to_string(folder.join("kustomization.yaml")).unwrap_or_default();
                list.contains(path.strip_prefix(folder).unwrap().to_str().unwrap())
            });
        if !is_named {
            lost.push(relative);
        }
    }
    assert_eq!(lost, Vec::<String>::new(), "expected a kustomization to name these");
}

#[test]
fn kubernetes_own_schemas_know_every_field() {
    if skip::asked("manifests", "kubernetes_own_schemas_know_every_field") {
        return;
    }
    let is_builtin = |object: &Value| {
        let group = object["apiVersion"].as_str().unwrap().split_once('/').map_or("", |(group, _)| group);
        !group.contains('.') || group.ends_with(".k8s.io") && group != "gateway.networking.k8s.io"
    };
    let objects: Vec<_> = everything().into_iter().filter(|(_, object)| is_builtin(object)).collect();
    assert!(objects.len() > 100);
    let wrong = |objects: &[(String, Value)], release: &str| {
        let mut input = tempfile::NamedTempFile::new().unwrap();
        for (place, object) in objects {
            writeln!(input, "{}", json!({ "name": name(place, object), "object": object })).unwrap();
        }
        let mut python = tools::manifests_python().command("python");
        process::run(python.arg(places::data("manifests/validate.py")).arg(release).arg(input.path()))
    };
    for release in RELEASES {
        assert_eq!(wrong(&objects, release), "", "Kubernetes {release}");
    }
    // What this is worth: a field that is misspelled is found.
    let (place, mut object) = objects.into_iter().find(|(_, object)| object["kind"] == "Deployment").unwrap();
    object["spec"]["template"]["spec"]["containers"][0]["imagePulPolicy"] = json!("Always");
    assert!(wrong(&[(place, object)], RELEASES[0]).contains("imagePulPolicy"));
}

#[test]
fn a_real_api_server_takes_every_object_strictly() {
    if skip::asked("apiserver", "a_real_api_server_takes_every_object_strictly") {
        return;
    }
    let server = ApiServer::start();
    for (module, version, places) in DEFINITIONS {
        let source = tools::go_module(module, version);
        for place in places {
            let definitions: Vec<_> = match source.join(place) {
                folder if folder.is_dir() => files(&folder),
                file => vec![file],
            };
            for file in definitions.iter().filter(|file| file.to_string_lossy().contains("crd")) {
                if !file.ends_with("kustomization.yaml") && file.extension().is_some_and(|it| it == "yaml") {
                    process::run(server.kubectl().args(["create", "--filename"]).arg(file));
                }
            }
        }
    }
    let served =
        ["wait", "--for=condition=Established", "--timeout=60s", "--all", "customresourcedefinitions"];
    process::run(server.kubectl().args(served));
    let everything = everything();
    let is_named = |object: &Value| object["metadata"]["namespace"].as_str().map(str::to_owned);
    let mut namespaces: BTreeSet<_> = everything.iter().filter_map(|(_, object)| is_named(object)).collect();
    namespaces.insert("somewhere".into());
    for namespace in &namespaces {
        let labels = json!({
            "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted",
        });
        let metadata = json!({ "name": namespace, "labels": labels });
        server.create("", &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata }));
        let metadata = json!({ "name": "default" });
        server.create(
            namespace,
            &json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }),
        );
    }
    // A Pod needs its account to be there; what is tried is not.
    let mut accounts = BTreeSet::new();
    for (_, object) in &everything {
        let namespace = is_named(object).unwrap_or_else(|| "somewhere".into());
        let account = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if object["kind"] == "ServiceAccount" && accounts.insert((namespace.clone(), account)) {
            server.create(&namespace, object);
        }
    }
    let take = |objects: &[(String, Value)]| {
        let mut file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
        let items: Vec<_> = objects.iter().map(|(_, object)| somewhere(object)).collect();
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        file.write_all(list.to_string().as_bytes()).unwrap();
        let mut kubectl = server.kubectl();
        kubectl.args(["create", "--dry-run=server", "--validate=strict"]);
        let output = process::output(kubectl.arg("--filename").arg(file.path()));
        let said = String::from_utf8(output.stderr).unwrap();
        // Argo CD's finalizer is called as Argo CD calls it.
        said.lines()
            .filter(|line| !line.contains("resources-finalizer.argocd.argoproj.io"))
            .collect::<String>()
    };
    let objects: Vec<_> =
        everything.into_iter().filter(|(_, object)| object["kind"] != "ServiceAccount").collect();
    assert_eq!(take(&objects), "", "expected neither an error nor a warning");

    // What this is worth, for a kind that Kubernetes knows and for one that it does not.
    for (kind, path) in [("Deployment", "/spec/strategy"), ("AnalysisTemplate", "/spec/metrics/0")] {
        let (place, mut object) = objects.iter().find(|(_, object)| object["kind"] == kind).unwrap().clone();
        object.pointer_mut(path).unwrap()["nosuchfield"] = json!(1);
        let said = take(&[(place, object)]);
        assert!(said.contains("unknown field") && said.contains("nosuchfield"), "{kind}: {said}");
    }
}

/// An object of no namespace, in one, unless it is of the cluster.
fn somewhere(object: &Value) -> Value {
    const OF_CLUSTER: [&str; 5] = [
        "ClusterServingRuntime",
        "ClusterStorageContainer",
        "Namespace",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ];
    let mut object = object.clone();
    let is_of_cluster = OF_CLUSTER.contains(&object["kind"].as_str().unwrap());
    if !is_of_cluster && !object["metadata"]["namespace"].is_string() {
        object["metadata"]["namespace"] = json!("somewhere");
    }
    object
}

/// Every specification of Pods in an object.
fn pods(object: &Value) -> Vec<Value> {
    let spec = &object["spec"];
    match object["kind"].as_str().unwrap() {
        "Pod" => vec![spec.clone()],
        "Deployment" => vec![spec["template"]["spec"].clone()],
        // The predictor's Pod is made of both; the restrictions of the Pod are the InferenceService's.
        "ClusterServingRuntime" => {
            vec![json!({ "containers": spec["containers"], "volumes": spec["volumes"] })]
        }
        "ClusterStorageContainer" => vec![json!({ "containers": [spec["container"]] })],
        "WorkflowTemplate" => {
            let templates = spec["templates"].as_array().unwrap().iter();
            let containers = templates.filter(|template| template["container"].is_object()).map(|template| {
                let mut container = template["container"].clone();
                container["name"] = template["name"].clone();
                container
            });
            let containers: Vec<_> = containers.collect();
            vec![json!({ "securityContext": spec["securityContext"], "containers": containers })]
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_pod_is_restricted_and_every_image_is_of_a_version() {
    let mut count = 0;
    for (place, object) in everything() {
        for pod in pods(&object) {
            let name = name(&place, &object);
            assert_eq!(pod_security::violations(&pod), Vec::<String>::new(), "{name}");
            for container in ["initContainers", "containers"].iter().flat_map(|list| pod[*list].as_array()) {
                for container in container {
                    let image = container["image"].as_str().unwrap();
                    let (_, version) =
                        image.rsplit('/').next().unwrap().split_once([':', '@']).unwrap_or_default();
                    assert!(!version.is_empty() && version != "latest", "{name}: {image}");
                }
            }
            count += 1;
        }
    }
    assert!(count > 20, "expected many Pods, got {count}");
}

#[test]
fn nothing_is_taken_from_elsewhere_when_it_is_applied() {
    for path in files(&k8s("")).iter().filter(|path| path.ends_with("kustomization.yaml")) {
        let list: Value = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        for part in ["resources", "components"] {
            for entry in list[part].as_array().into_iter().flatten() {
                let entry = entry.as_str().unwrap();
                assert!(path.parent().unwrap().join(entry).exists(), "{}: {entry}", relative(path));
            }
        }
    }
    // kustomize itself is of one version, and no folder asks for a plugin of it.
    let version = process::run(Command::new(tools::kustomize()).arg("version"));
    assert!(version.starts_with("v5."), "{version}");
}
