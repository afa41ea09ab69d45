//! Every component over the base, every overlay, and what Argo CD is told of them: the order in which the Pod starts survives each
//! patch, every Pod passes Pod Security `restricted`, and a promotion changes one line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plimsoll_tests::{places, process, tools};
use serde_json::{Value, json};

use super::pod_security;

const SERVICES: [&str; 3] = ["churn-prediction", "fraud-detection", "recommendation"];

pub fn k8s(path: &str) -> PathBuf {
    places::workspace().join("k8s").join(path)
}

pub fn build(folder: &Path) -> Vec<Value> {
    let text = process::run(Command::new(tools::kustomize()).arg("build").arg(folder));
    serde_saphyr::from_multiple(&text).unwrap()
}

/// The base with these components, as an overlay of somebody's would have it.
pub fn with_components(components: &[String]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(k8s(""), folder.path().join("k8s")).unwrap();
    let overlay = folder.path().join("overlay");
    fs::create_dir(&overlay).unwrap();
    let listed: String = components.iter().map(|name| format!("- ../k8s/components/{name}\n")).collect();
    let text = format!(
        "nameSuffix: -recommendation\nresources: [../k8s/base]\ncomponents:\n{listed}\
         configMapGenerator:\n\
         - {{name: model, behavior: merge, literals: [aws_role_arn=arn, aws_region=eu-central-1, \
         azure_account=a, azure_tenant_id=t, azure_client_id=c]}}\n\
         - {{name: smoke, literals: [smoke.yaml=requests]}}\n"
    );
    fs::write(overlay.join("kustomization.yaml"), text).unwrap();
    build(&overlay)
}

/// Every component that stands on the base, by its path below `components`.
pub fn components() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![k8s("components")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if fs::read_to_string(&entry).unwrap().contains("\nkind: Component\n") {
                let path = folder.strip_prefix(k8s("components")).unwrap();
                found.push(path.display().to_string());
            }
        }
    }
    // What two others share, and what is for Deployments that are not ours.
    found.retain(|name| name != "status-reporting/common" && name != "model-delivery");
    found.sort();
    found
}

fn assert_pods(objects: &[Value], what: &str) {
    let mut count = 0;
    for object in objects {
        let pod = match object["kind"].as_str().unwrap() {
            "Deployment" => &object["spec"]["template"]["spec"],
            "Pod" => &object["spec"],
            _ => continue,
        };
        assert_eq!(pod_security::violations(pod), Vec::<String>::new(), "{what}");
        count += 1;
    }
    assert!(count > 0, "{what}: expected a Pod");
}

/// Names of the init containers and containers, in the order in which they start.
fn order(objects: &[Value]) -> Vec<String> {
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    ["initContainers", "containers"]
        .iter()
        .flat_map(|list| pod[*list].as_array().cloned().unwrap_or_default())
        .map(|container| container["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_component_keeps_the_order_of_the_pod_and_its_restrictions() {
    let found = components();
    assert!(found.len() > 10, "{found:?}");
    for component in found {
        // The hook, too, is patched by those that patch the fetcher; and what copies the model comes last.
        let mut listed = vec!["preflight".to_owned(), component.clone(), "model-labels".to_owned()];
        listed.dedup();
        if component == "model-labels" || component == "preflight" {
            listed = vec!["preflight".to_owned(), "model-labels".to_owned()];
        }
        let objects = with_components(&listed);
        assert_pods(&objects, &component);
        let expected = match component.as_str() {
            "without-native-sidecars" => ["fetcher", "server", "health-sidecar"],
            _ => ["health-sidecar", "fetcher", "server"],
        };
        assert_eq!(order(&objects), expected, "{component}");
        let words = fs::read_to_string(k8s("README.md")).unwrap();
        assert!(
            words.contains(&format!("`components/{component}/`")),
            "k8s/README.md does not tell of {component}"
        );
    }
}

#[test]
fn a_deployment_that_knows_nothing_of_us_gets_the_model() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(k8s(""), folder.path().join("k8s")).unwrap();
    let overlay = folder.path().join("overlay");
    fs::create_dir(&overlay).unwrap();
    fs::write(
        overlay.join("theirs.yaml"),
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: triton, labels: {app: triton}}\nspec:\n  \
         selector: {matchLabels: {app: triton}}\n  template:\n    metadata: {labels: {app: triton}}\n    spec:\n      \
         containers: [{name: triton, image: 'registry.example.com/triton:25.1'}]\n",
    )
    .unwrap();
    fs::write(
        overlay.join("kustomization.yaml"),
        "resources: [theirs.yaml]\ncomponents: [../k8s/components/model-delivery]\nconfigMapGenerator:\n\
         - {name: model, literals: [model_name=resnet, model_version=v1, 'model_registry=catalog+s3://models']}\n",
    )
    .unwrap();
    let objects = build(&overlay);
    assert_eq!(order(&objects), ["health-sidecar", "fetcher", "triton"]);
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let template = &deployment["spec"]["template"];
    for labels in [&deployment["metadata"]["labels"], &template["metadata"]["labels"]] {
        assert_eq!(labels["plimsoll.dev/model-name"], "resnet");
        assert_eq!(labels["plimsoll.dev/model-version"], "v1");
    }
    assert_eq!(deployment["spec"]["selector"], json!({"matchLabels": {"app": "triton"}}));
    assert_eq!(template["spec"]["volumes"][0]["name"], "model");
    // Ours are restricted whatever theirs is.
    let mut ours = template["spec"].clone();
    ours["containers"] = json!([]);
    assert_eq!(pod_security::violations(&ours), Vec::<String>::new());
}

#[test]
fn every_overlay_builds_and_a_promotion_is_one_line() {
    let mut names = BTreeSet::new();
    for environment in ["staging", "production"] {
        for service in SERVICES {
            let folder = k8s(&format!("overlays/{environment}/{service}"));
            let objects = build(&folder);
            assert_pods(&objects, service);
            assert_eq!(order(&objects), ["health-sidecar", "fetcher", "server"]);
            for object in &objects {
                let name = (object["kind"].to_string(), object["metadata"]["name"].to_string());
                let place = object["metadata"]["namespace"].to_string();
                assert_eq!(place, format!("\"models-{environment}\""), "{name:?}");
                assert!(names.insert((name.clone(), place)), "two services have a {name:?}");
            }
            let text = fs::read_to_string(folder.join("kustomization.yaml")).unwrap();
            assert_eq!(text.matches("model_version=").count(), 1, "{service}");
            assert_edited_in_one_line(&text);
            let config = objects.iter().find(|object| object["data"]["model_version"].is_string()).unwrap();
            let version = config["data"]["model_version"].as_str().unwrap();
            // The hooks run before the ConfigMap is there, so they have it by value.
            let hook = objects.iter().find(|object| object["kind"] == "Pod").unwrap();
            let variables = hook["spec"]["containers"][0]["env"].as_array().unwrap();
            assert!(variables.contains(&json!({"name": "MODEL_VERSION", "value": version})), "{hook}");
        }
    }
}

/// What a pipeline does with such a file changes one line of it: the file is as kustomize writes it.
fn assert_edited_in_one_line(text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kustomization.yaml");
    fs::write(&path, text).unwrap();
    let mut edit = Command::new(tools::kustomize());
    edit.args(["edit", "set", "configmap", "model", "--from-literal=model_version=v9.9"]);
    process::run(edit.current_dir(folder.path()));
    let edited = fs::read_to_string(&path).unwrap();
    let changed: Vec<_> =
        text.lines().zip(edited.lines()).filter(|(before, after)| before != after).collect();
    assert_eq!(
        changed.iter().map(|(_, after)| *after).collect::<Vec<_>>(),
        ["  - model_version=v9.9"],
        "{edited}"
    );
    assert_eq!(text.lines().count(), edited.lines().count());
}

#[test]
fn argo_cd_is_told_of_folders_that_are_there_and_of_every_kind_that_is_in_them() {
    let applications = build(&k8s("argocd/apps"));
    let projects = build(&k8s("argocd/projects"));
    assert_eq!(applications.len(), 2 * SERVICES.len() + 1);
    for application in &applications {
        let spec = &application["spec"];
        let path = spec["source"]["path"].as_str().unwrap().strip_prefix("k8s/").unwrap().to_owned();
        let project = projects.iter().find(|it| it["metadata"]["name"] == spec["project"]).unwrap();
        let is_allowed = |list: &str, kind: &Value, group: &str| {
            project["spec"][list]
                .as_array()
                .into_iter()
                .flatten()
                .any(|it| &it["kind"] == kind && it["group"] == group)
        };
        for object in build(&k8s(&path)) {
            let version = object["apiVersion"].as_str().unwrap();
            let group = version.split_once('/').map_or("", |(group, _)| group);
            let kind = &object["kind"];
            let list = if object["metadata"]["namespace"].is_string() {
                "namespaceResourceWhitelist"
            } else {
                "clusterResourceWhitelist"
            };
            assert!(is_allowed(list, kind, group), "{path}: {kind} is not in the project's {list}");
        }
        let namespace = &spec["destination"]["namespace"];
        let places = project["spec"]["destinations"].as_array().unwrap();
        assert!(places.iter().any(|it| &it["namespace"] == namespace), "{path}");
        let automated = &spec["syncPolicy"]["automated"];
        assert_eq!(automated.is_object(), !path.contains("production"), "{path}");
    }
}
