//! The components of `k8s/components/status-reporting` on top of the base: they grant what a report takes, to the sidecar
//! alone, and loosen nothing else. What the grants are worth is in `status_reports.rs`, against a real API server.

use super::*;

const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn component(name: &str) -> Manifests {
    Manifests::overlay_with(&format!("status-reporting/{name}"), "nameSuffix: -recommendation\n")
}

#[test]
fn either_component_passes_pod_security_and_gives_the_sidecar_alone_a_token() {
    for name in ["pod", "deployment"] {
        let manifests = component(name);
        assert_eq!(pod_security::violations(manifests.pod()), Vec::<String>::new(), "{name}");
        assert_eq!(manifests.pod()["automountServiceAccountToken"], false);
        let account = &manifests.kind("ServiceAccount")["metadata"]["name"];
        assert_eq!(&manifests.pod()["serviceAccountName"], account);
        assert_eq!(manifests.kind("ServiceAccount")["automountServiceAccountToken"], false);
        for container in manifests.containers() {
            let mounts = container["volumeMounts"].as_array().unwrap();
            let token = mounts.iter().find(|mount| mount["name"] == "reporter-token");
            assert_eq!(token.is_some(), container["name"] == "health-sidecar", "{}", container["name"]);
            if let Some(mount) = token {
                assert_eq!((&mount["mountPath"], &mount["readOnly"]), (&json!(TOKEN), &json!(true)));
            }
        }
        let sidecar = manifests.container("health-sidecar");
        assert_eq!(variable(sidecar, "HEALTH_REPORT")["value"], name);
        let help = process::run(Command::new(binaries::health_sidecar()).args(["serve", "--help"]));
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for variable in sidecar["env"].as_array().unwrap() {
            let setting = variable["name"].as_str().unwrap();
            assert!(help.contains(&format!("[env: {setting}=")), "the sidecar does not know {setting}");
        }
        // What the base has is still there, in its order.
        let names: Vec<_> = manifests.containers().iter().map(|it| it["name"].clone()).collect();
        assert_eq!(names, ["health-sidecar", "fetcher", "server"]);
        assert_eq!(variable(sidecar, "HEALTH_SERVER")["value"], "mlflow");
    }
}

#[test]
fn either_component_grants_one_verb_on_one_status_and_is_held_by_a_policy() {
    for (name, rule) in [
        ("pod", json!({"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]})),
        (
            "deployment",
            json!({
                "apiGroups": ["apps"], "resources": ["deployments/status"],
                "resourceNames": ["model-server-recommendation"], "verbs": ["patch"],
            }),
        ),
    ] {
        let manifests = component(name);
        let role = manifests.kind("Role");
        assert_eq!(role["rules"], json!([rule]));
        let binding = manifests.kind("RoleBinding");
        assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
        let account = &manifests.kind("ServiceAccount")["metadata"]["name"];
        assert_eq!(binding["subjects"][0]["name"], *account);
        let policy = manifests.kind("ValidatingAdmissionPolicy");
        assert_eq!(policy["spec"]["failurePolicy"], "Fail");
        assert_eq!(policy["spec"]["matchConstraints"]["resourceRules"][0]["resources"], rule["resources"]);
        let binding = &manifests.kind("ValidatingAdmissionPolicyBinding")["spec"];
        assert_eq!(binding["policyName"], policy["metadata"]["name"]);
        assert_eq!(binding["validationActions"], json!(["Deny"]));
        // By this word the policies know the account.
        assert!(account.as_str().unwrap().contains("plimsoll-reporter"), "{account}");
    }
}
