//! A namespace of a real API server with what a component of `k8s/` puts there, and Pods that report.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use plimsoll_tests::api_server::ApiServer;
use plimsoll_tests::{binaries, places, poll, process, tools};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::NOTICE;
use crate::sidecar::Sidecar;

pub const MODEL_READY: &str = "plimsoll.dev/ModelReady";
const HASH: &str = "7d4b9c6f5";

/// A namespace with the manifests of a component.
pub struct Shop {
    server: &'static ApiServer,
    namespace: String,
    account: String,
    deployment: Value,
}

/// A Pod of its Deployment, with a token of its own.
pub struct Pod<'a> {
    shop: &'a Shop,
    name: String,
    uid: String,
    token: String,
    credentials: TempDir,
}

/// One server for all tests; it ends with the process.
fn server() -> &'static ApiServer {
    static SERVER: OnceLock<ApiServer> = OnceLock::new();
    SERVER.get_or_init(ApiServer::start)
}

/// The manifests of an overlay with the component, each with a suffix to its name.
fn manifests(name: &str, component: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    symlink(places::workspace().join("k8s"), folder.path().join("k8s")).unwrap();
    let overlay = folder.path().join("overlay");
    fs::create_dir(&overlay).unwrap();
    let text = format!(
        "namespace: {name}\nnameSuffix: -{name}\nresources: [../k8s/base]\n\
         components: [../k8s/components/model-labels, ../k8s/components/status-reporting/{component}]\n"
    );
    fs::write(overlay.join("kustomization.yaml"), text).unwrap();
    let text = process::run(Command::new(tools::kustomize()).arg("build").arg(&overlay));
    serde_saphyr::from_multiple(&text).unwrap()
}

impl Shop {
    pub fn open(name: &str, component: &str) -> Self {
        let server = server();
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        server.create("", &namespace);
        let manifests = manifests(name, component);
        let of = |kind: &str| manifests.iter().find(|it| it["kind"] == kind).unwrap();
        for manifest in &manifests {
            server.create(name, manifest);
        }
        Self {
            server,
            namespace: name.to_owned(),
            account: of("Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
                .as_str()
                .unwrap()
                .to_owned(),
            deployment: of("Deployment").clone(),
        }
    }

    pub fn server(&self) -> &ApiServer {
        self.server
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    pub fn deployment_path(&self) -> String {
        let name = self.deployment["metadata"]["name"].as_str().unwrap();
        format!("/apis/apps/v1/namespaces/{}/deployments/{name}", self.namespace)
    }

    pub fn deployment(&self) -> Value {
        self.server.administrate("GET", &self.deployment_path(), None)
    }

    pub fn administrate(&self, patch: &Value) {
        self.server.administrate("PATCH", &format!("{}/status", self.deployment_path()), Some(patch));
    }

    pub fn patch_as(&self, pod: &Pod<'_>, patch: &Value) -> (u16, Value) {
        self.server.ask(pod.token(), "PATCH", &format!("{}/status", self.deployment_path()), Some(patch))
    }

    /// Waits for the Deployment's condition to be as wanted.
    #[track_caller]
    pub fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        poll::until("the Deployment's condition", NOTICE, || {
            condition(&self.deployment(), MODEL_READY).cloned().filter(&wanted)
        })
    }

    /// Waits until the API server has read the new policies, by something that they forbid.
    #[track_caller]
    pub fn until_policies_hold(&self, pod: &Pod<'_>) {
        let path = if self.deployment["spec"].to_string().contains("\"value\":\"pod\"") {
            pod.path()
        } else {
            self.deployment_path()
        };
        let mut tries = 0;
        self.server.until("the policies to hold", || {
            // Another each time: to write what is there already is no change, and allowed.
            tries += 1;
            let patch = json!({"metadata": {"annotations": {"planted": format!("{tries}")}}});
            let (status, _) = self.server.ask(pod.token(), "PATCH", &format!("{path}/status"), Some(&patch));
            (status == 403).then_some(())
        });
        let clean = json!({"metadata": {"annotations": {"planted": null}}});
        self.server.administrate("PATCH", &path, Some(&clean));
    }

    /// A Pod as the Deployment's controller would make it, except that its containers are not run by anybody.
    pub fn pod(&self, own: &str) -> Pod<'_> {
        let name = format!("{}-{HASH}-{own}", self.deployment["metadata"]["name"].as_str().unwrap());
        let mut pod = self.deployment["spec"]["template"].clone();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!(name);
        let pod = self.server.create(&self.namespace, &pod);
        let token = self.server.token(&self.namespace, &self.account, &pod);
        let credentials = tempfile::tempdir().unwrap();
        fs::write(credentials.path().join("token"), &token).unwrap();
        fs::write(credentials.path().join("namespace"), &self.namespace).unwrap();
        fs::copy(self.server.authority(), credentials.path().join("ca.crt")).unwrap();
        let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
        Pod { shop: self, name, uid, token, credentials }
    }
}

impl Pod<'_> {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn credentials(&self) -> &Path {
        self.credentials.path()
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/pods/{}", self.shop.namespace, self.name)
    }

    pub fn get(&self) -> Value {
        self.shop.server.administrate("GET", &self.path(), None)
    }

    pub fn administrate(&self, patch: &Value) {
        self.shop.server.administrate("PATCH", &format!("{}/status", self.path()), Some(patch));
    }

    /// What happens if `who` patches the status of this Pod.
    pub fn patch_as(&self, who: &Pod<'_>, patch: &Value) -> (u16, Value) {
        self.shop.server.ask(who.token(), "PATCH", &format!("{}/status", self.path()), Some(patch))
    }

    /// Its sidecar, with the settings that the manifest gives it, resolved as the kubelet does. `settings` come on top.
    pub fn sidecar(&self, settings: &[(&str, String)]) -> Sidecar {
        self.sidecar_of(binaries::health_sidecar(), settings)
    }

    pub fn sidecar_of(&self, program: PathBuf, settings: &[(&str, String)]) -> Sidecar {
        let containers =
            self.shop.deployment["spec"]["template"]["spec"]["initContainers"].as_array().unwrap();
        let container = containers.iter().find(|it| it["name"] == "health-sidecar").unwrap();
        let report = container["env"].as_array().unwrap().iter().filter_map(|variable| {
            let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
                Some("metadata.name") => &self.name,
                Some("metadata.namespace") => &self.shop.namespace,
                Some("metadata.uid") => &self.uid,
                Some("metadata.labels['pod-template-hash']") => HASH,
                Some(other) => panic!("no such field: {other}"),
                None => variable["value"].as_str()?,
            };
            let name = variable["name"].as_str()?;
            (name.starts_with("POD_") || name.starts_with("HEALTH_REPORT")).then(|| (name, value.to_owned()))
        });
        let mut all = vec![
            ("KUBERNETES_SERVICE_HOST", "127.0.0.1".to_owned()),
            ("KUBERNETES_SERVICE_PORT", self.shop.server.port().to_string()),
            ("HEALTH_REPORT_CREDENTIALS", self.credentials().display().to_string()),
            ("HEALTH_REPORT_INTERVAL", "1s".to_owned()),
        ];
        all.extend(report);
        all.extend(settings.iter().cloned());
        Sidecar::start_with(program, "product-recommendation", "v2.3", &all)
    }

    /// Waits for its condition to have this reason.
    #[track_caller]
    pub fn until(&self, reason: &str) -> Value {
        poll::until(reason, NOTICE, || {
            condition(&self.get(), MODEL_READY).filter(|it| it["reason"] == reason).cloned()
        })
    }
}

/// The condition of that type.
pub fn condition<'a>(object: &'a Value, of: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == of)
}

/// Waits until the sidecar says that its reports fail in this way.
#[track_caller]
pub fn until_error(sidecar: &Sidecar, kind: &str) -> Value {
    poll::until(kind, NOTICE, || {
        let error = sidecar.status()["report"]["error"].clone();
        (error["kind"] == kind).then_some(error)
    })
}
