//! Servers that are divided into workspaces, and Pods that say by their service account who asks for which.

use plimsoll_tests::fault_proxy::FaultProxy;
use plimsoll_tests::mlflow_server::{MlflowServer, Options};

use super::NAME;
use crate::fetcher::{Fetcher, Outcome};

/// A server with workspaces, where `blue` and `green` have each a model of the same name.
fn server() -> (MlflowServer, [handoff::ModelDigest; 2]) {
    let variables = [("MLFLOW_ENABLE_WORKSPACES", "true")];
    let server = MlflowServer::start(&Options { variables: &variables, ..Options::default() });
    let digests = ["blue", "green"].map(|workspace| {
        server.create_workspace(workspace);
        server.register_model_in(Some(workspace), NAME, &[("version", "v2.3")], &["champion"]).digest()
    });
    assert_ne!(digests[0], digests[1]);
    (server, digests)
}

#[test]
fn of_one_name_each_workspace_has_its_own_model() {
    let (server, digests) = server();
    for (workspace, digest) in ["blue", "green"].into_iter().zip(digests) {
        for version in ["1", "v2.3", "@champion"] {
            let fetcher = Fetcher::new().with("MLFLOW_WORKSPACE", workspace);
            fetcher.pull(&server.registry(), NAME, version).expect(0);
            assert_eq!(fetcher.receipt().digest, digest, "{version} in {workspace}");
        }
    }
    server.register_model_in(Some("green"), "green-alone", &[], &[]);
    let missing = |fetcher: Fetcher, name: &str| {
        let Outcome { last_words, stderr, .. } = fetcher.pull(&server.registry(), name, "1").expect(66);
        assert_eq!(last_words, format!("{name} 1: model `{name}` does not exist in {}", server.registry()));
        let hint =
            "hint: check the name; where the server has workspaces, MLFLOW_WORKSPACE says in which it is\n";
        assert!(stderr.ends_with(hint), "{stderr}");
    };
    missing(Fetcher::new().with("MLFLOW_WORKSPACE", "blue"), "green-alone");
    missing(Fetcher::new(), NAME);
    missing(Fetcher::new().with("MLFLOW_WORKSPACE", "red"), NAME);
}

#[test]
fn a_server_without_workspaces_says_so_at_once() {
    let server = MlflowServer::start(&Options::default());
    let refused =
        Fetcher::new().with("MLFLOW_WORKSPACE", "blue").pull(&server.registry(), NAME, "1").expect(64);
    let at = format!("http://127.0.0.1:{}/api/2.0/mlflow/model-versions/get?…", server.port());
    let words = format!(
        "{NAME} 1: cannot ask {}: {at} was refused: Workspace APIs are not available: workspaces are not enabled on this \
         server (FEATURE_DISABLED)",
        server.registry()
    );
    assert_eq!(refused.last_words, words);
    // Asked once: it would be no other answer the next time.
    assert!(!refused.stderr.contains("retrying"), "{}", refused.stderr);
}

const TOKEN: &str = "c4n4ry-token-of-the-pod";

/// Pulls by a proxy as a Pod in a namespace, and gives what every request was sent with: who asks, and for which workspace.
fn as_pod(front: &FaultProxy, fetcher: &Fetcher, namespace: &str) -> Option<(Outcome, [Option<String>; 2])> {
    front.heal();
    let mount = "mount -t tmpfs tmpfs /var/run && account=/var/run/secrets/kubernetes.io/serviceaccount &&
        mkdir -p $account && echo \"$1\" >$account/token && printf %s \"$2\" >$account/namespace";
    let registry = format!("mlflow+{}", front.url());
    let named = ["--registry", &registry, "--model-name", NAME, "--model-version", "v2.3"];
    let arguments = [&["pull"][..], &named].concat();
    let outcome = fetcher.run_mounted("a Pod's service account", mount, [TOKEN, namespace], &arguments)?;
    assert!(!outcome.stderr.contains("c4n4ry"), "{}", outcome.stderr);
    let sent = front.exchanges().into_iter().map(|it| {
        ["authorization", "x-mlflow-workspace"].map(|name| it.request.header(name).map(str::to_owned))
    });
    let mut sent: Vec<_> = sent.collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    Some((outcome, sent.pop().unwrap()))
}

#[test]
fn a_pod_asks_as_its_service_account_and_for_its_namespace() {
    let (server, [blue, green]) = server();
    let front = FaultProxy::start(server.port());
    let bearer = Some(format!("Bearer {TOKEN}"));
    let fetcher = |auth: &str| {
        Fetcher::new()
            .with("MLFLOW_TRACKING_AUTH", auth)
            .with("FETCHER_LOG_LEVEL", "trace")
            // These do not count then.
            .with("MLFLOW_TRACKING_USERNAME", "nobody")
            .with("MLFLOW_TRACKING_PASSWORD", "c4n4ry-password")
    };
    let namespaced = fetcher("kubernetes-namespaced");
    let Some((outcome, sent)) = as_pod(&front, &namespaced, "blue") else { return };
    outcome.expect(0);
    assert_eq!((namespaced.receipt().digest, sent), (blue, [bearer.clone(), Some("blue".to_owned())]));

    // A workspace that is given wins over the namespace.
    let given = fetcher("kubernetes-namespaced").with("MLFLOW_WORKSPACE", "green");
    let (outcome, sent) = as_pod(&front, &given, "blue").unwrap();
    outcome.expect(0);
    assert_eq!((given.receipt().digest, sent), (green, [bearer.clone(), Some("green".to_owned())]));

    let (outcome, sent) = as_pod(&front, &fetcher("kubernetes"), "blue").unwrap();
    assert_eq!((outcome.expect(66).code, sent), (66, [bearer, None]));
}
