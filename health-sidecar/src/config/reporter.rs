//! Whom in the cluster to tell. The Pod says through its environment who it is, and the kubelet where the cluster's API is.
//! Every name is held to what Kubernetes allows, so that none can be more than a name in an address.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::ServerName;

use super::{ConfigError, Setting, directory, duration_within, invalid, parsed};
use crate::cli::ServeFlags;
use crate::condition::decide::LONGEST_PAUSE;
use crate::condition::{Cluster, Reporter, Target};

/// Where the kubelet mounts a token.
const CREDENTIALS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Least time between two reports, where nothing else is said.
const INTERVAL: Duration = Duration::from_secs(5);
/// Longest name in Kubernetes.
const MAX_NAME_BYTES: usize = 253;
/// How many characters of a Pod's name are its own, beside the ReplicaSet's.
const OWN_CHARACTERS: usize = 5;

/// The settings of reports, if any are to be made.
pub fn reporter(flags: &ServeFlags) -> Result<Option<Reporter>, ConfigError> {
    let Some(kind) = &flags.report else {
        return match idle(flags) {
            None => Ok(None),
            Some(setting) => Err(ConfigError::Idle { setting, without: "HEALTH_REPORT" }),
        };
    };
    let setting = Setting("HEALTH_REPORT");
    let is_pod = match kind.as_str() {
        "pod" => true,
        "deployment" => false,
        other => return Err(invalid(setting, "`pod` or `deployment`", other)),
    };
    if is_pod && flags.report_name.is_some() {
        let setting = Setting("HEALTH_REPORT_NAME");
        return Err(ConfigError::Idle { setting, without: "HEALTH_REPORT=deployment" });
    }
    let folder = flags.report_credentials.clone().unwrap_or_else(|| OsString::from(CREDENTIALS));
    let credentials = directory(Setting("HEALTH_REPORT_CREDENTIALS"), folder)?;
    let name = pod("POD_NAME", flags.pod_name.as_deref(), "from the field metadata.name of the Pod")?;
    let namespace = namespace(flags.pod_namespace.as_deref(), &credentials)?;
    let target = if is_pod {
        let hint = "from the field metadata.uid of the Pod";
        Target::Pod { namespace, name, uid: pod("POD_UID", flags.pod_uid.as_deref(), hint)? }
    } else {
        let hint = "from the field metadata.labels['pod-template-hash'] of the Pod";
        let hash = pod("POD_TEMPLATE_HASH", flags.pod_template_hash.as_deref(), hint)?;
        let deployment = match &flags.report_name {
            Some(deployment) => object_name(Setting("HEALTH_REPORT_NAME"), deployment)?,
            None => deployment_of(&name, &hash).ok_or(ConfigError::Missing {
                setting: Setting("HEALTH_REPORT_NAME"),
                hint: "set it to the name of the Deployment: the Pod's name does not begin with that",
            })?,
        };
        let replica_set = format!("{deployment}-{hash}");
        Target::Deployment { namespace, name: deployment, pod: name, replica_set }
    };
    let interval = match &flags.report_interval {
        None => INTERVAL,
        Some(text) => {
            let allowed = Duration::from_secs(1)..=LONGEST_PAUSE;
            duration_within(Setting("HEALTH_REPORT_INTERVAL"), text, allowed)?
        }
    };
    Ok(Some(Reporter { target, cluster: cluster(flags, credentials)?, interval }))
}

/// A setting that is there for nothing.
fn idle(flags: &ServeFlags) -> Option<Setting> {
    let settings = [
        ("HEALTH_REPORT_NAME", flags.report_name.is_some()),
        ("HEALTH_REPORT_INTERVAL", flags.report_interval.is_some()),
        ("HEALTH_REPORT_CREDENTIALS", flags.report_credentials.is_some()),
    ];
    settings.into_iter().find_map(|(name, is_set)| is_set.then_some(Setting(name)))
}

fn cluster(flags: &ServeFlags, credentials: PathBuf) -> Result<Cluster, ConfigError> {
    let hint = "the kubelet sets it in every container; there is nobody to report to outside a cluster";
    let [host, port] = [
        ("KUBERNETES_SERVICE_HOST", &flags.kubernetes_service_host),
        ("KUBERNETES_SERVICE_PORT", &flags.kubernetes_service_port),
    ]
    .map(|(name, value)| value.as_ref().ok_or(ConfigError::Missing { setting: Setting(name), hint }));
    let (host, port) = (host?, port?);
    let setting = Setting("KUBERNETES_SERVICE_HOST");
    let name =
        ServerName::try_from(host.clone()).map_err(|_| invalid(setting, "a name or an address", host))?;
    let setting = Setting("KUBERNETES_SERVICE_PORT");
    Ok(Cluster { host: host.clone(), name, port: parsed(setting, port, "a port")?, credentials })
}

fn pod(name: &'static str, value: Option<&str>, hint: &'static str) -> Result<String, ConfigError> {
    object_name(Setting(name), value.ok_or(ConfigError::Missing { setting: Setting(name), hint })?)
}

/// The Pod's namespace; where nobody says it, that of its token.
fn namespace(value: Option<&str>, credentials: &Path) -> Result<String, ConfigError> {
    let setting = Setting("POD_NAMESPACE");
    if let Some(value) = value {
        return object_name(setting, value);
    }
    let text = fs::read_to_string(credentials.join("namespace")).map_err(|_| ConfigError::Missing {
        setting,
        hint: "from the field metadata.namespace of the Pod, or from the file `namespace` beside the token",
    })?;
    object_name(setting, text.trim())
}

/// A name as objects in Kubernetes have it, or a UID or a hash, which use the same characters.
fn object_name(setting: Setting, text: &str) -> Result<String, ConfigError> {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let ends = [text.bytes().next(), text.bytes().next_back()];
    let is_name = text.len() <= MAX_NAME_BYTES
        && text.bytes().all(is_inner)
        && ends.iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()));
    if is_name { Ok(text.to_owned()) } else { Err(invalid(setting, "a name as Kubernetes has it", text)) }
}

/// The Deployment of a Pod that is named `<Deployment>-<hash>-<five characters>`, as all are whose names are not too long.
fn deployment_of(pod: &str, hash: &str) -> Option<String> {
    let (replica_set, own) = pod.rsplit_once('-')?;
    let deployment = replica_set.strip_suffix(hash)?.strip_suffix('-')?;
    (own.len() == OWN_CHARACTERS && !deployment.is_empty()).then(|| deployment.to_owned())
}

#[cfg(test)]
mod tests {
    use super::deployment_of;

    #[test]
    fn a_pod_is_named_after_its_deployment() {
        let of = |pod| deployment_of(pod, "7d4b9c6f5");
        assert_eq!(of("model-server-7d4b9c6f5-x2k4z").as_deref(), Some("model-server"));
        for other in [
            "model-server-0",
            "-7d4b9c6f5-x2k4z",
            "7d4b9c6f5-x2k4z",
            "m7d4b9c6f5-x2k4z",
            "m-7d4b9c6f5",
            "m-7d4b9c6f5x2k4z",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
