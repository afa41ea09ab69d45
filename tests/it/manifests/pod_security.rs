//! Pod Security `restricted`, field by field, after the Kubernetes documentation's table of the standard.

use serde_json::{Value, json};

const VOLUME_KINDS: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// What a cluster that enforces `restricted` would refuse in a Pod's spec.
pub fn violations(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut refuse = |holds: bool, what: &str| {
        if !holds {
            found.push(what.to_owned());
        }
    };
    for shared in ["hostNetwork", "hostPID", "hostIPC"] {
        refuse(is_unset(&pod[shared]) || pod[shared] == false, shared);
    }
    for volume in list(&pod["volumes"]) {
        let mut kinds = volume.as_object().unwrap().keys().filter(|key| *key != "name");
        refuse(kinds.all(|kind| VOLUME_KINDS.contains(&kind.as_str())), "volumes");
    }
    let of_pod = &pod["securityContext"];
    refuse(list(&of_pod["sysctls"]).is_empty(), "sysctls");
    check_context(of_pod, "pod", &mut refuse);
    for container in
        ["initContainers", "containers", "ephemeralContainers"].iter().flat_map(|kind| list(&pod[*kind]))
    {
        let name = container["name"].as_str().unwrap();
        check_container(container, of_pod, &mut |holds, what| refuse(holds, &format!("{name}: {what}")));
    }
    found
}

fn check_container(container: &Value, of_pod: &Value, refuse: &mut impl FnMut(bool, &str)) {
    let own = &container["securityContext"];
    let effective = |field: &str| if is_unset(&own[field]) { &of_pod[field] } else { &own[field] };
    refuse(effective("runAsNonRoot") == true, "runAsNonRoot");
    refuse(is_unset(effective("runAsUser")) || effective("runAsUser").as_u64() > Some(0), "runAsUser");
    let profile = &effective("seccompProfile")["type"];
    refuse(profile == "RuntimeDefault" || profile == "Localhost", "seccompProfile");
    refuse(own["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation");
    refuse(is_unset(&own["privileged"]) || own["privileged"] == false, "privileged");
    refuse(is_unset(&own["procMount"]) || own["procMount"] == "Default", "procMount");
    refuse(list(&own["capabilities"]["drop"]).contains(&json!("ALL")), "capabilities.drop");
    refuse(
        list(&own["capabilities"]["add"]).iter().all(|added| added == "NET_BIND_SERVICE"),
        "capabilities.add",
    );
    refuse(
        list(&container["ports"]).iter().all(|port| is_unset(&port["hostPort"]) || port["hostPort"] == 0),
        "hostPort",
    );
    for handler in ["livenessProbe", "readinessProbe", "startupProbe"]
        .map(|probe| &container[probe])
        .into_iter()
        .chain(["postStart", "preStop"].map(|hook| &container["lifecycle"][hook]))
    {
        refuse(
            ["httpGet", "tcpSocket"].iter().all(|kind| is_unset(&handler[*kind]["host"])),
            "host of a probe or hook",
        );
    }
    check_context(own, "container", refuse);
}

/// What is forbidden in the security context of a Pod and of a container alike.
fn check_context(context: &Value, owner: &str, refuse: &mut impl FnMut(bool, &str)) {
    let linux = &context["seLinuxOptions"];
    refuse(is_unset(&linux["user"]) && is_unset(&linux["role"]), &format!("seLinuxOptions of the {owner}"));
    let types = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    refuse(
        types.contains(&linux["type"].as_str().unwrap_or_default()),
        &format!("seLinuxOptions of the {owner}"),
    );
    let profile = context["appArmorProfile"]["type"].as_str().unwrap_or("RuntimeDefault");
    refuse(["RuntimeDefault", "Localhost"].contains(&profile), &format!("appArmorProfile of the {owner}"));
    refuse(context["windowsOptions"]["hostProcess"] != true, &format!("windowsOptions of the {owner}"));
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn is_unset(value: &Value) -> bool {
    value.is_null() || value == ""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good_pod() -> Value {
        json!({
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "volumes": [{ "name": "a", "emptyDir": {} }],
            "containers": [{ "name": "c", "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] }
            } }],
        })
    }

    #[test]
    fn each_rule_is_noticed_when_it_is_broken() {
        assert_eq!(violations(&good_pod()), Vec::<String>::new());
        for (place, value, expected) in [
            ("/hostNetwork", json!(true), "hostNetwork"),
            ("/hostPID", json!(true), "hostPID"),
            ("/hostIPC", json!(true), "hostIPC"),
            ("/volumes", json!([{ "name": "a", "hostPath": { "path": "/" } }]), "volumes"),
            ("/securityContext/runAsNonRoot", json!(null), "c: runAsNonRoot"),
            ("/securityContext/runAsUser", json!(0), "c: runAsUser"),
            ("/securityContext/seccompProfile", json!(null), "c: seccompProfile"),
            ("/securityContext/sysctls", json!([{ "name": "a", "value": "1" }]), "sysctls"),
            ("/securityContext/windowsOptions", json!({ "hostProcess": true }), "windowsOptions of the pod"),
            ("/containers/0/securityContext/runAsNonRoot", json!(false), "c: runAsNonRoot"),
            ("/containers/0/securityContext/runAsUser", json!(0), "c: runAsUser"),
            (
                "/containers/0/securityContext/seccompProfile",
                json!({ "type": "Unconfined" }),
                "c: seccompProfile",
            ),
            (
                "/containers/0/securityContext/allowPrivilegeEscalation",
                json!(null),
                "c: allowPrivilegeEscalation",
            ),
            ("/containers/0/securityContext/privileged", json!(true), "c: privileged"),
            ("/containers/0/securityContext/procMount", json!("Unmasked"), "c: procMount"),
            ("/containers/0/securityContext/capabilities/drop", json!(["NET_RAW"]), "c: capabilities.drop"),
            ("/containers/0/securityContext/capabilities/add", json!(["SYS_ADMIN"]), "c: capabilities.add"),
            (
                "/containers/0/securityContext/seLinuxOptions",
                json!({ "type": "spc_t" }),
                "c: seLinuxOptions of the container",
            ),
            (
                "/containers/0/securityContext/appArmorProfile",
                json!({ "type": "Unconfined" }),
                "c: appArmorProfile of the container",
            ),
            ("/containers/0/ports", json!([{ "containerPort": 1, "hostPort": 1 }]), "c: hostPort"),
            (
                "/containers/0/readinessProbe",
                json!({ "httpGet": { "host": "10.0.0.1" } }),
                "c: host of a probe or hook",
            ),
        ] {
            let mut pod = good_pod();
            let (parent, field) = place.rsplit_once('/').unwrap();
            pod.pointer_mut(parent).unwrap()[field] = value;
            assert_eq!(violations(&pod), [expected], "{place}");
        }
    }

    #[test]
    fn init_containers_are_held_to_the_same() {
        let mut pod = good_pod();
        pod["initContainers"] = json!([{ "name": "i" }]);
        assert_eq!(violations(&pod), ["i: allowPrivilegeEscalation", "i: capabilities.drop"]);
    }
}
