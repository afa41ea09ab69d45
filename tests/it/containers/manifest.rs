//! The Pod that `kustomize build` makes of the manifests, as far as a container engine can run it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use plimsoll_tests::{process, tools};
use serde::Deserialize;
use serde_json::Value;

/// A Pod with its configuration resolved.
#[derive(Clone, Debug)]
pub struct Pod {
    pub spec: PodSpec,
    config: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    pub init_containers: Vec<Container>,
    pub containers: Vec<Container>,
    #[serde(default)]
    pub volumes: Vec<Volume>,
    #[serde(default)]
    pub security_context: Security,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    pub name: String,
    #[serde(default)]
    pub command: Vec<String>,
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default)]
    pub env: Vec<Value>,
    #[serde(default)]
    pub env_from: Vec<Value>,
    pub restart_policy: Option<String>,
    #[serde(default)]
    pub security_context: Security,
    #[serde(default)]
    pub volume_mounts: Vec<Mount>,
    #[serde(default)]
    pub resources: Resources,
    pub termination_message_path: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Security {
    pub run_as_user: Option<u32>,
    pub run_as_group: Option<u32>,
    pub fs_group: Option<u32>,
    #[serde(default)]
    pub read_only_root_filesystem: bool,
    pub allow_privilege_escalation: Option<bool>,
    #[serde(default)]
    pub capabilities: Capabilities,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Capabilities {
    #[serde(default)]
    pub drop: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Resources {
    #[serde(default)]
    pub limits: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    pub name: String,
    pub empty_dir: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    pub name: String,
    pub mount_path: String,
    #[serde(default)]
    pub read_only: bool,
}

impl Pod {
    /// The Pod of the one Deployment in a kustomization.
    pub fn of(kustomization: &Path) -> Self {
        let rendered = process::run(Command::new(tools::kustomize()).arg("build").arg(kustomization));
        let documents: Vec<Value> = serde_saphyr::from_multiple(&rendered).unwrap();
        let of_kind = |kind: &'static str| documents.iter().filter(move |document| document["kind"] == kind);
        let deployments: Vec<_> = of_kind("Deployment").collect();
        assert_eq!(deployments.len(), 1, "expected one Deployment in {}", kustomization.display());
        let spec = serde_json::from_value(deployments[0]["spec"]["template"]["spec"].clone()).unwrap();
        let config = of_kind("ConfigMap").map(|map| {
            let name = map["metadata"]["name"].as_str().unwrap().to_owned();
            (name, serde_json::from_value(map["data"].clone()).unwrap())
        });
        Self { spec, config: config.collect() }
    }

    /// Changes a value of the ConfigMaps, as the commit of a new version does.
    pub fn set(&mut self, key: &str, value: &str) {
        let values: Vec<_> = self.config.values_mut().filter_map(|map| map.get_mut(key)).collect();
        assert!(!values.is_empty(), "expected {key} in a ConfigMap");
        values.into_iter().for_each(|old| value.clone_into(old));
    }

    /// The environment of a container, as the kubelet resolves it: `envFrom` first, then `env`.
    pub fn environment(&self, container: &Container) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::new();
        for source in &container.env_from {
            if let Some(map) = self.referred(source, "/configMapRef") {
                environment.extend(map.clone());
            }
        }
        for entry in &container.env {
            let name = entry["name"].as_str().unwrap().to_owned();
            let value = match &entry["valueFrom"] {
                Value::Null => Some(entry["value"].as_str().unwrap_or_default().to_owned()),
                source => self.referred(source, "/configMapKeyRef").map(|map| {
                    let key = source["configMapKeyRef"]["key"].as_str().unwrap();
                    map.get(key).unwrap_or_else(|| panic!("expected {key} in a ConfigMap for {name}")).clone()
                }),
            };
            environment.extend(value.map(|value| (name, value)));
        }
        environment
    }

    /// The ConfigMap that a source names; `None` for what is optional and not in the manifests.
    fn referred(&self, source: &Value, kind: &str) -> Option<&BTreeMap<String, String>> {
        if let Some(map) = source.pointer(kind).and_then(|reference| reference["name"].as_str()) {
            return Some(self.config.get(map).unwrap_or_else(|| panic!("expected a ConfigMap {map}")));
        }
        let optional = source.as_object().unwrap().values().all(|reference| reference["optional"] == true);
        assert!(optional, "expected a ConfigMap or something optional, got {source}");
        None
    }
}

impl Container {
    /// Whether it is an init container that goes on running beside the others.
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }

    /// Its memory limit in bytes.
    pub fn memory_limit(&self) -> Option<u64> {
        let limit = self.resources.limits.get("memory")?;
        let text =
            limit.as_str().unwrap_or_else(|| panic!("expected a memory limit with a unit, got {limit}"));
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let factor = match unit {
            "" => 1,
            "Ki" => 1 << 10,
            "Mi" => 1 << 20,
            "Gi" => 1 << 30,
            unit => panic!("expected Ki, Mi or Gi, got {unit}"),
        };
        Some(number.parse::<u64>().unwrap() * factor)
    }
}
