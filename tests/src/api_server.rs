//! A real Kubernetes API server over etcd, on loopback, with RBAC and admission as in any cluster. There is no kubelet and no
//! controller: objects are what the test makes them.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{self, Server, free_port};
use crate::{poll, tools};

/// The token of a user who may do everything.
const ADMINISTRATOR: &str = "administrator";
/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(120);

/// A running API server.
#[derive(Debug)]
pub struct ApiServer {
    port: u16,
    _server: Server,
    _etcd: Server,
    folder: TempDir,
}

impl ApiServer {
    /// Starts one with nothing in it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let (etcd, program) = (tools::debian_package("etcd-server", "/usr/bin/etcd"), tools::kubernetes());
        let folder = tempfile::tempdir().expect("a folder for the server");
        let path = |name: &str| folder.path().join(name);
        let [port, client, peer] = [free_port(), free_port(), free_port()];
        let [client, peer] = [client, peer].map(|port| format!("http://{}:{port}", Ipv4Addr::LOCALHOST));
        let mut command = Command::new(etcd);
        command.arg("--data-dir").arg(path("etcd")).args([
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
            "--initial-cluster",
            &format!("default={peer}"),
        ]);
        let etcd_port: u16 = client.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        let etcd = Server::start("etcd", &command, START, || {
            crate::http::get(etcd_port, "/health").is_ok_and(|answer| answer.status == 200)
        });
        process::run(Command::new("openssl").args(["genrsa", "-out"]).arg(path("accounts.key")).arg("2048"));
        fs::write(path("tokens.csv"), format!("{ADMINISTRATOR},admin,1,system:masters\n"))
            .expect("a new file");
        let mut command = Command::new(program);
        command
            .arg("kube-apiserver")
            .arg("--token-auth-file")
            .arg(path("tokens.csv"))
            .arg("--cert-dir")
            .arg(path("certificates"))
            .arg("--service-account-key-file")
            .arg(path("accounts.key"))
            .arg("--service-account-signing-key-file")
            .arg(path("accounts.key"))
            .args(["--etcd-servers", &client, "--secure-port", &port.to_string()])
            .args(["--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1"])
            .args(["--service-account-issuer", "https://kubernetes.default.svc"])
            .args(["--authorization-mode", "RBAC", "--service-cluster-ip-range", "10.96.0.0/24"]);
        let server = Server::spawn("kube-apiserver", &command, process::End::Kill);
        let mut server = Self { port, _server: server, _etcd: etcd, folder };
        let (authority, at) = (server.authority(), server.port);
        server._server.wait_ready(START, || {
            authority.exists() && call(&authority, at, ADMINISTRATOR, "GET", "/readyz", None).0 == 200
        });
        server
    }

    /// Its port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The file with the certificate authority that vouches for it.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("certificates/apiserver.crt")
    }

    /// What it answers to whoever may do everything.
    ///
    /// # Panics
    /// When it does not do what it is asked for.
    #[track_caller]
    pub fn administrate(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.ask(ADMINISTRATOR, method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// `kubectl`, as whoever may do everything.
    ///
    /// # Panics
    /// When there is nowhere to write the file that says where the server is.
    pub fn kubectl(&self) -> Command {
        let place = self.folder.path().join("kubeconfig");
        let cluster = json!({
            "server": format!("https://127.0.0.1:{}", self.port), "certificate-authority": self.authority(),
        });
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "here", "user": {"token": ADMINISTRATOR}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
        });
        fs::write(&place, config.to_string()).expect("a new file");
        let mut command = Command::new(tools::kubernetes());
        command.arg("kubectl").arg("--kubeconfig").arg(place);
        command
    }

    /// What it answers to the owner of a token.
    pub fn ask(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        call(&self.authority(), self.port, token, method, path, body)
    }

    /// Makes the object of a manifest, in this namespace if it is of one.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn create(&self, namespace: &str, manifest: &Value) -> Value {
        let (version, kind) = (&manifest["apiVersion"], &manifest["kind"]);
        let api = version.as_str().expect("a version");
        let root = if api.contains('/') { format!("/apis/{api}") } else { format!("/api/{api}") };
        let kind = kind.as_str().expect("a kind").to_lowercase();
        let plural = match kind.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None => format!("{kind}s"),
        };
        let is_of_cluster = kind == "namespace" || kind.starts_with("validating");
        let place = if is_of_cluster { String::new() } else { format!("/namespaces/{namespace}") };
        self.administrate("POST", &format!("{root}{place}/{plural}"), Some(manifest))
    }

    /// A token as the kubelet puts it into a Pod.
    ///
    /// # Panics
    /// When there is none to be had.
    pub fn token(&self, namespace: &str, account: &str, pod: &Value) -> String {
        let (name, uid) = (&pod["metadata"]["name"], &pod["metadata"]["uid"]);
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {
                "expirationSeconds": 3600,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid},
            },
        });
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let answer = self.administrate("POST", &path, Some(&request));
        answer["status"]["token"].as_str().expect("a token").to_owned()
    }

    /// Waits until it gives something.
    ///
    /// # Panics
    /// When it takes too long.
    #[track_caller]
    pub fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        poll::until(what, START, look)
    }
}

/// Asks with `curl`, which checks the certificate. The token goes by a file, not by the command line.
fn call(
    authority: &Path,
    port: u16,
    token: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> (u16, Value) {
    let folder = tempfile::tempdir().expect("a folder for the request");
    let write = |name: &str, content: &str| {
        fs::write(folder.path().join(name), content).expect("a new file");
        format!("@{}", folder.path().join(name).display())
    };
    let content_type =
        if method == "PATCH" { "application/strategic-merge-patch+json" } else { "application/json" };
    let headers = write("headers", &format!("Authorization: Bearer {token}\nContent-Type: {content_type}\n"));
    let mut curl = Command::new(tools::debian_package("curl", "/usr/bin/curl"));
    curl.args(["--silent", "--max-time", "60", "--write-out", "\n%{http_code}", "--request", method]);
    curl.arg("--cacert").arg(authority).args(["--header", &headers]);
    if let Some(body) = body {
        curl.args(["--data-binary", &write("body", &body.to_string())]);
    }
    let output = process::output(curl.arg(format!("https://127.0.0.1:{port}{path}")));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (answer, status) = text.rsplit_once('\n').unwrap_or_default();
    let answer = serde_json::from_str(answer).unwrap_or_else(|_| Value::String(answer.to_owned()));
    (status.parse().unwrap_or_default(), answer)
}
