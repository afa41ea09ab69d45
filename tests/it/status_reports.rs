//! What the sidecar tells the cluster: against a real API server, with the permissions and policies of
//! `k8s/components/status-reporting` as kustomize renders them; and against faults.
//!
//! There is no kubelet and there are no controllers here, so a Pod is what the Deployment's template says, and what a
//! controller would do to a status is not seen.

mod cluster;
mod faults;

use std::time::Duration;

use plimsoll_tests::skip;
use serde_json::{Value, json};

use cluster::{MODEL_READY, Shop, condition};

const GROUP: &str = "apiserver";
const NOTICE: Duration = Duration::from_secs(60);

#[test]
fn a_pod_tells_its_whole_life() {
    if skip::asked(GROUP, "status_reports: a_pod_tells_its_whole_life") {
        return;
    }
    let shop = Shop::open("life", "pod");
    let pod = shop.pod("a");
    // As a kubelet would have it; it has to stay as it is.
    let kubelets = json!({"phase": "Pending", "podIP": "10.1.2.3", "conditions": [
        {"type": "Ready", "status": "False", "reason": "ContainersNotReady"},
    ]});
    pod.administrate(&json!({"status": kubelets}));
    let sidecar = pod.sidecar(&[]);
    let waiting = pod.until("WaitingForFetcher");
    assert_eq!(
        (&waiting["status"], &waiting["message"]),
        (&json!("False"), &json!("waiting for the fetcher"))
    );
    sidecar.fetching();
    let fetching = pod.until("Fetching");
    assert_eq!(fetching["message"], "fetching 63 % at 412.0 MiB/s, 12 s left (attempt 2)");
    assert_eq!(fetching["lastTransitionTime"], waiting["lastTransitionTime"], "its status has not changed");
    sidecar.failed("checksum mismatch on model.safetensors");
    assert_eq!(pod.until("FetchFailed")["message"], "failed: checksum mismatch on model.safetensors");
    sidecar.fetched(2, 1000);
    sidecar.set_loaded(true);
    let ready = pod.until("Loaded");
    assert_eq!((&ready["status"], &ready["message"]), (&json!("True"), &json!("loaded")));
    assert_ne!(ready["lastTransitionTime"], waiting["lastTransitionTime"]);
    sidecar.set_loaded(false);
    assert_eq!(pod.until("ServerNotLoaded")["status"], "False");

    let after = pod.get();
    assert_eq!(condition(&after, "Ready").unwrap()["reason"], "ContainersNotReady");
    assert_eq!(after["status"]["podIP"], "10.1.2.3");
    assert_eq!(after["status"]["conditions"].as_array().unwrap().len(), 2);
    let report = &sidecar.status()["report"];
    assert_eq!(report["to"], format!("Pod {}/{}", shop.namespace(), pod.name()));
    assert_eq!((&report["last"]["reason"], &report["error"]), (&json!("ServerNotLoaded"), &Value::Null));
    assert!(!sidecar.log().contains("cannot report"), "{}", sidecar.log());
}

#[test]
fn nothing_is_written_while_nothing_changes() {
    if skip::asked(GROUP, "status_reports: nothing_is_written_while_nothing_changes") {
        return;
    }
    let shop = Shop::open("quiet", "pod");
    let pod = shop.pod("a");
    let sidecar = pod.sidecar(&[]);
    sidecar.fetched(2, 1000);
    sidecar.set_loaded(true);
    pod.until("Loaded");
    let version = pod.get()["metadata"]["resourceVersion"].clone();
    // Four times as long as it would take.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(pod.get()["metadata"]["resourceVersion"], version);
}

#[test]
fn a_sidecar_may_change_its_own_condition_and_nothing_else() {
    if skip::asked(GROUP, "status_reports: a_sidecar_may_change_its_own_condition_and_nothing_else") {
        return;
    }
    let shop = Shop::open("policy", "pod");
    let (pod, other) = (shop.pod("a"), shop.pod("b"));
    pod.administrate(&json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}));
    let ours = |status: &str| json!({"status": {"conditions": [{"type": MODEL_READY, "status": status}]}});
    shop.until_policies_hold(&pod);
    assert_eq!(pod.patch_as(&pod, &ours("False")).0, 200);
    for (what, on, patch) in [
        ("its own Pod only", &other, ours("True")),
        ("no condition but", &pod, json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}})),
        (
            "no condition but",
            &pod,
            json!({"status": {"conditions": [{"type": "Ready", "$patch": "delete"}]}}),
        ),
        ("no condition but", &pod, json!({"status": {"phase": "Failed"}})),
        ("no condition but", &pod, json!({"status": {"podIP": "10.6.6.6"}})),
        ("no label", &pod, json!({"metadata": {"labels": {"app": "other"}}, "status": {}})),
        ("no label", &pod, json!({"metadata": {"annotations": {"a": "b"}}, "status": {}})),
        ("no label", &pod, json!({"metadata": {"finalizers": ["example.com/a"]}, "status": {}})),
    ] {
        let before = on.get();
        let (status, answer) = on.patch_as(&pod, &patch);
        assert_eq!(status, 403, "{patch}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(what), "{patch}: {answer}");
        assert_eq!(on.get(), before);
    }
    let path = format!("/api/v1/namespaces/{}/pods/{}", shop.namespace(), pod.name());
    for (method, path) in [("GET", path.as_str()), ("DELETE", &path), ("PATCH", &path)] {
        assert_eq!(shop.server().ask(pod.token(), method, path, Some(&json!({}))).0, 403, "{method}");
    }
}

#[test]
fn what_the_api_server_refuses_is_told_with_what_to_do_and_tried_again() {
    if skip::asked(GROUP, "status_reports: what_the_api_server_refuses_is_told_…") {
        return;
    }
    let shop = Shop::open("refusals", "pod");
    let (pod, other) = (shop.pod("a"), shop.pod("b"));
    shop.until_policies_hold(&pod);
    let told = |settings: &[(&str, String)], kind: &str, words: &str| {
        let sidecar = pod.sidecar(settings);
        let error = cluster::until_error(&sidecar, kind);
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
        sidecar.fetched(1, 10);
        sidecar.set_loaded(true);
        sidecar.until("ready");
        let log = sidecar.log();
        assert_eq!(log.matches(&format!("kind=\"{kind}\"")).count(), 1, "{log}");
        assert!(!log.contains(pod.token()), "{log}");
        (sidecar, log)
    };
    let uid = other.get()["metadata"]["uid"].as_str().unwrap().to_owned();
    let (_, log) = told(&[("POD_UID", uid.clone())], "refused", "metadata.uid: Invalid value");
    assert!(log.contains("hint: POD_UID has to come from the field metadata.uid"), "{log}");
    let (_, log) = told(&[("POD_NAME", "nobody".to_owned())], "not_found", "\"nobody\" not found");
    assert!(log.contains("hint: POD_NAME and POD_NAMESPACE have to come"), "{log}");
    let (_, log) =
        told(&[("POD_NAME", other.name().to_owned()), ("POD_UID", uid)], "forbidden", "its own Pod only");
    assert!(log.contains("with the verb `patch` on `pods/status` for the Pod"), "{log}");
    let (_, log) = told(&[("POD_NAMESPACE", "default".to_owned())], "forbidden", "cannot patch resource");
    assert!(log.contains("k8s/components/status-reporting has what it takes"), "{log}");

    // A token that is none, and then the next one, in its place.
    let token = pod.credentials().join("token");
    std::fs::write(&token, "e30.e30.e30").unwrap();
    let (sidecar, _) = told(&[], "unauthorized", "401");
    std::fs::write(&token, pod.token()).unwrap();
    pod.until("Loaded");
    assert_eq!(sidecar.status()["report"]["error"], Value::Null);
}

#[test]
fn the_pods_of_a_deployment_tell_it_until_each_is_ready() {
    if skip::asked(GROUP, "status_reports: the_pods_of_a_deployment_tell_it_until_each_is_ready") {
        return;
    }
    let shop = Shop::open("deployment", "deployment");
    let (first, second) = (shop.pod("aaaaa"), shop.pod("bbbbb"));
    let progressing = json!({"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"});
    shop.administrate(&json!({"status": {"replicas": 2, "conditions": [progressing]}}));
    let one = first.sidecar(&[]);
    one.fetching();
    let told = shop.until(|it| it["reason"] == "Fetching");
    assert_eq!(
        told["message"],
        format!("{}: fetching 63 % at 412.0 MiB/s, 12 s left (attempt 2)", first.name())
    );
    assert_eq!(told["status"], "False");
    one.fetched(1, 10);
    one.set_loaded(true);
    shop.until(|it| it["status"] == "True");
    let two = second.sidecar(&[]);
    shop.until(|it| it["message"] == format!("{}: waiting for the fetcher", second.name()));
    two.fetched(1, 10);
    two.set_loaded(true);
    shop.until(|it| it["message"] == format!("{}: loaded", second.name()));

    let deployment = shop.deployment();
    let replica_set = condition(&deployment, "plimsoll.dev/ModelReplicaSet").unwrap();
    assert_eq!(replica_set["message"], second.name().strip_suffix("-bbbbb").unwrap());
    assert_eq!(condition(&deployment, "Progressing").unwrap()["reason"], "ReplicaSetUpdated");
    assert_eq!(deployment["metadata"]["generation"], 1, "nothing that a controller acts on has changed");

    shop.until_policies_hold(&first);
    for (what, patch) in [
        ("its own two", json!({"status": {"conditions": [{"type": "Progressing", "status": "False"}]}})),
        ("its own two", json!({"status": {"readyReplicas": 2, "replicas": 2}})),
        ("no annotation", json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "x"}}})),
    ] {
        let (status, answer) = shop.patch_as(&first, &patch);
        assert_eq!(status, 403, "{patch}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(what), "{patch}: {answer}");
    }
    // The Role is for this Deployment, and for its status.
    let sidecar = first.sidecar(&[("HEALTH_REPORT_NAME", "other".to_owned())]);
    let error = cluster::until_error(&sidecar, "forbidden");
    assert!(
        error["message"].as_str().unwrap().contains("deployments.apps \"other\" is forbidden"),
        "{error}"
    );
    let path = shop.deployment_path();
    assert_eq!(shop.server().ask(first.token(), "PATCH", &path, Some(&json!({}))).0, 403);
}
