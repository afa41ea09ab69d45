//! What is written, and where: a strategic merge patch of the status of one object, which changes the conditions of the
//! types that it names and leaves every other field alone.
//!
//! A patch says all of a condition each time, so what is there afterwards does not depend on what was there before.

use hyper::body::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::readiness::{Phase, Verdict};
use crate::reason::ReasonCode;

/// The condition's type.
pub const MODEL_READY: &str = "plimsoll.dev/ModelReady";
/// The type of the condition whose message names the ReplicaSet of whoever wrote [`MODEL_READY`].
pub const REPLICA_SET: &str = "plimsoll.dev/ModelReplicaSet";

/// Whose status it is. Every name was checked to be one, so a path is only what it looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The sidecar's own Pod.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its UID: the server refuses to change that, and so does not take the patch for another Pod of that name.
        uid: String,
    },
    /// The Deployment that the Pod belongs to.
    Deployment {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The name of the Pod.
        pod: String,
        /// The name of the Pod's ReplicaSet.
        replica_set: String,
    },
}

/// What is told.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The judgement.
    pub verdict: Verdict,
    /// Since when it has been ready, or has not.
    pub since: Timestamp,
    /// The time of the judgement.
    pub now: Timestamp,
}

impl Condition {
    /// `True` or `False`, as Kubernetes writes it.
    pub fn status(&self) -> &'static str {
        if self.verdict.phase == Phase::Ready { "True" } else { "False" }
    }

    /// The code of the reason, in Kubernetes' own way of writing those.
    pub fn reason(&self) -> String {
        camel_case(self.verdict.code)
    }
}

impl Target {
    /// What is patched, as permissions name it.
    pub fn resource(&self) -> &'static str {
        match self {
            Self::Pod { .. } => "pods/status",
            Self::Deployment { .. } => "deployments/status",
        }
    }

    /// The object, for people.
    pub fn object(&self) -> String {
        match self {
            Self::Pod { namespace, name, .. } => format!("Pod {namespace}/{name}"),
            Self::Deployment { namespace, name, .. } => format!("Deployment {namespace}/{name}"),
        }
    }

    /// Where to send the patch. The name of this program stands beside the fields that it owns. A field that the server does
    /// not know is an error: it would be lost.
    pub fn path(&self) -> String {
        let place = match self {
            Self::Pod { namespace, name, .. } => format!("/api/v1/namespaces/{namespace}/pods/{name}"),
            Self::Deployment { namespace, name, .. } => {
                format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
            }
        };
        format!("{place}/status?fieldManager=plimsoll&fieldValidation=Strict")
    }

    /// The patch.
    pub fn patch(&self, condition: &Condition) -> Bytes {
        self.body(condition).to_string().into()
    }

    fn body(&self, condition: &Condition) -> Value {
        let (now, since) = (seconds(condition.now), seconds(condition.since));
        let (status, reason) = (condition.status(), condition.reason());
        let words = &condition.verdict.reason;
        match self {
            Self::Pod { uid, .. } => json!({
                "metadata": {"uid": uid},
                "status": {"conditions": [{
                    "type": MODEL_READY, "status": status, "reason": reason, "message": words,
                    "lastProbeTime": now, "lastTransitionTime": since,
                }]},
            }),
            Self::Deployment { pod, replica_set, .. } => json!({
                "status": {"conditions": [
                    {
                        "type": MODEL_READY, "status": status, "reason": reason,
                        "message": format!("{pod}: {words}"),
                        "lastUpdateTime": now, "lastTransitionTime": since,
                    },
                    {
                        "type": REPLICA_SET, "status": status, "reason": "Reporting", "message": replica_set,
                        "lastUpdateTime": now, "lastTransitionTime": since,
                    },
                ]},
            }),
        }
    }
}

/// The time as the API has it: in whole seconds.
fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

fn camel_case(code: ReasonCode) -> String {
    code.name().split('_').fold(String::new(), |mut all, word| {
        let mut characters = word.chars();
        all.extend(characters.next().map(|first| first.to_ascii_uppercase()));
        all.push_str(characters.as_str());
        all
    })
}

#[cfg(test)]
mod tests;
