use std::collections::BTreeSet;

use super::*;

fn condition(phase: Phase, code: ReasonCode, reason: &str) -> Condition {
    Condition {
        verdict: Verdict { phase, code, reason: reason.to_owned() },
        since: "2026-11-20T10:00:00.999Z".parse().unwrap(),
        now: "2026-11-20T10:00:42.5Z".parse().unwrap(),
    }
}

#[test]
fn a_pod_gets_one_condition() {
    let target =
        Target::Pod { namespace: "shop".into(), name: "model-server-7d4b9-x2k4z".into(), uid: "3f1c".into() };
    assert_eq!(
        target.path(),
        "/api/v1/namespaces/shop/pods/model-server-7d4b9-x2k4z/status?fieldManager=plimsoll&fieldValidation=Strict"
    );
    let fetching = condition(Phase::Fetching, ReasonCode::Fetching, "fetching 63 % at 412 MiB/s, 12 s left");
    assert_eq!(
        target.body(&fetching),
        json!({
            "metadata": {"uid": "3f1c"},
            "status": {"conditions": [{
                "type": "plimsoll.dev/ModelReady",
                "status": "False",
                "reason": "Fetching",
                "message": "fetching 63 % at 412 MiB/s, 12 s left",
                "lastProbeTime": "2026-11-20T10:00:42Z",
                "lastTransitionTime": "2026-11-20T10:00:00Z",
            }]},
        })
    );
}

#[test]
fn a_deployment_is_told_by_whom_and_of_which_replica_set() {
    let target = Target::Deployment {
        namespace: "shop".into(),
        name: "model-server".into(),
        pod: "model-server-7d4b9-x2k4z".into(),
        replica_set: "model-server-7d4b9".into(),
    };
    assert_eq!(
        target.path(),
        "/apis/apps/v1/namespaces/shop/deployments/model-server/status?fieldManager=plimsoll&fieldValidation=Strict"
    );
    let (now, since) = ("2026-11-20T10:00:42Z", "2026-11-20T10:00:00Z");
    assert_eq!(
        target.body(&condition(Phase::Ready, ReasonCode::LoadedInDoubt, "loaded")),
        json!({
            "status": {"conditions": [
                {
                    "type": "plimsoll.dev/ModelReady", "status": "True", "reason": "LoadedInDoubt",
                    "message": "model-server-7d4b9-x2k4z: loaded",
                    "lastUpdateTime": now, "lastTransitionTime": since,
                },
                {
                    "type": "plimsoll.dev/ModelReplicaSet", "status": "True", "reason": "Reporting",
                    "message": "model-server-7d4b9",
                    "lastUpdateTime": now, "lastTransitionTime": since,
                },
            ]},
        })
    );
}

#[test]
fn every_code_is_a_reason_of_its_own_as_kubernetes_writes_them() {
    let reasons: BTreeSet<_> = ReasonCode::ALL.map(camel_case).into_iter().collect();
    assert_eq!(reasons.len(), ReasonCode::ALL.len());
    for (code, reason) in ReasonCode::ALL.map(|code| (code, camel_case(code))) {
        assert_eq!(reason, format!("{code:?}"));
    }
}
