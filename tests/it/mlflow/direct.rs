//! Files in stores that are read from without the tracking server: registry and store are each shown what is for them.

use plimsoll_tests::fault_proxy::FaultProxy;
use plimsoll_tests::mlflow_server::{Artifacts, Login, MlflowServer, Options};
use serde_json::json;

use super::NAME;
use crate::fetcher::{Fetcher, tree};
use crate::{azure, gcs};

/// What was sent as `authorization`, once for each way.
fn shown(front: &FaultProxy) -> Vec<Option<String>> {
    let words = front.exchanges().into_iter().map(|it| it.request.header("authorization").map(str::to_owned));
    words.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

#[test]
fn registry_and_store_are_each_shown_their_own_credentials() {
    let login = Login { username: "admin".into(), password: "a-long-password-1234".into() };
    let server = MlflowServer::start(&Options { login: Some(login), ..Options::default() });
    let registry = FaultProxy::start(server.port());
    server.call("POST", "registered-models/create", &json!({"name": NAME}));
    let register = |source: &str| {
        let version = json!({"name": NAME, "source": source});
        let answer = server.call("POST", "model-versions/create", &version);
        answer["model_version"]["version"].as_str().unwrap().to_owned()
    };
    let pull = |fetcher: Fetcher, version: &str, code: i32| {
        registry.heal();
        let fetcher = fetcher.with_all(server.environment());
        let address = format!("mlflow+{}", registry.url());
        let outcome = fetcher.pull(&address, NAME, version).expect(code);
        let basic = "Basic YWRtaW46YS1sb25nLXBhc3N3b3JkLTEyMzQ=".to_owned();
        assert_eq!(shown(&registry), [Some(basic)]);
        (fetcher, outcome)
    };

    let (google, model) = gcs::server();
    let (folder, front) = (tempfile::tempdir().unwrap(), FaultProxy::start(google.port()));
    let version = register("gs://models/a/v1");
    let fetcher = gcs::with_account(&front.url(), folder.path(), &gcs::account(folder.path()).to_string());
    let (fetcher, _) = pull(fetcher, &version, 0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    for words in shown(&front) {
        let token = words.as_deref().and_then(|words| words.strip_prefix("Bearer ")).unwrap();
        assert_eq!(gcs::verified(folder.path(), token)["iss"], "reader@plimsoll.example");
    }

    let (azure, model) = azure::server();
    let front = FaultProxy::start(azure.port());
    let version = register("wasbs://models@plimsoll.blob.core.windows.net/a/v1");
    let by_proxy = azure.connection_string().replace(&azure.port().to_string(), &front.port().to_string());
    let with = |connection: &str| Fetcher::new().with("AZURE_STORAGE_CONNECTION_STRING", connection);
    let (fetcher, _) = pull(with(&by_proxy), &version, 0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    for words in shown(&front) {
        assert!(words.as_deref().is_some_and(|words| words.starts_with("SharedKey plimsoll:")), "{words:?}");
    }
    // Where the store does not know us, the registry is not what is to be looked at.
    let (_, refused) = pull(with(&by_proxy.replace("AccountKey=bm90", "AccountKey=Y2Fu")), &version, 77);
    let words = "access to https://plimsoll.blob.core.windows.net/models/a/v1 was refused (403 ";
    assert!(refused.last_words.contains(words), "{}", refused.last_words);
    assert!(refused.stderr.contains("hint: check the store's credentials"), "{}", refused.stderr);
}

#[test]
fn another_server_of_artifacts_is_not_told_who_asks() {
    let other = MlflowServer::start(&Options::default());
    let front = FaultProxy::start(other.port());
    let login = Login { username: "admin".into(), password: "a-long-password-1234".into() };
    let artifacts = Artifacts::Server(front.port());
    let server = MlflowServer::start(&Options { login: Some(login), artifacts, ..Options::default() });
    server.register_model(NAME, &[], &[]);
    // MLflow's own client tells anybody.
    assert_eq!(shown(&front), [Some("Basic YWRtaW46YS1sb25nLXBhc3N3b3JkLTEyMzQ=".to_owned())]);
    front.heal();
    let fetcher = Fetcher::new().with_all(server.environment());
    fetcher.pull(&server.registry(), NAME, "1").expect(0);
    assert!(!tree(&fetcher.model()).is_empty());
    assert_eq!(shown(&front), [None]);
}
