//! The fetcher against a real MLflow server: every way to name a version, every place for the artifacts, and
//! what it says when the answer is no.

use std::collections::BTreeMap;
use std::fs;

use handoff::{Integrity, Receipt, Sha256Digest};
use plimsoll_tests::azure_server::AzureServer;
use plimsoll_tests::gcs_server::GcsServer;
use plimsoll_tests::mlflow_server::{Artifacts, Login, MlflowServer, Options, Registered};
use plimsoll_tests::s3_server::S3Server;
use serde_json::json;

use crate::fetcher::{Fetcher, tree};

mod direct;
mod items;
mod presigned;
mod reach;
mod workspaces;

const NAME: &str = "product-recommendation";

/// Pulls a version and compares the tree with what MLflow's own client downloads.
#[track_caller]
fn assert_pulls(server: &MlflowServer, version: &str, registered: &Registered) -> Receipt {
    let fetcher = Fetcher::new().with_all(server.environment());
    let outcome = fetcher.pull(&server.registry(), NAME, version).expect(0);
    let pulled: BTreeMap<_, _> = tree(&fetcher.model())
        .iter()
        .map(|(path, content)| (path.clone(), Sha256Digest::of(content)))
        .collect();
    let expected: BTreeMap<_, _> =
        registered.files.iter().map(|file| (file.path.to_string(), file.sha256)).collect();
    assert_eq!(pulled, expected, "{version}");
    let receipt = fetcher.receipt();
    assert_eq!((receipt.digest, &receipt.resolved.version), (registered.digest(), &registered.version));
    assert_eq!(receipt.model.version, version);
    assert!(outcome.last_words.starts_with(&format!("{NAME} {version} sha256:")), "{}", outcome.last_words);
    receipt
}

#[test]
fn a_version_is_found_by_number_alias_and_tag() {
    let server = MlflowServer::start(&Options::default());
    let first = server.register_model(NAME, &[("version", "v2.2")], &["baseline"]);
    let second = server.register_model(NAME, &[("version", "v2.3")], &["champion"]);
    for version in [&second.version, "@champion", "champion", "v2.3"] {
        assert_pulls(&server, version, &second);
    }
    for version in [&first.version, "@baseline", "v2.2"] {
        assert_pulls(&server, version, &first);
    }

    let registry = server.registry();
    let missing =
        |name: &str, version: &str| Fetcher::new().pull(&registry, name, version).expect(66).last_words;
    assert_eq!(
        missing("nobody", "v2.3"),
        format!("nobody v2.3: model `nobody` does not exist in {registry}")
    );
    for version in ["v9", "77", "@nobody"] {
        assert_eq!(
            missing(NAME, version),
            format!("{NAME} {version}: version `{version}` of `{NAME}` does not exist in {registry}")
        );
    }

    // A name that two versions carry names neither.
    server.set_version_tag(NAME, &first.version, "version", "v2.3");
    let ambiguous = missing(NAME, "v2.3");
    assert!(ambiguous.contains("is ambiguous in") && ambiguous.ends_with("carry it"), "{ambiguous}");

    // By MLflow's own form of the same.
    let fetcher = Fetcher::new().with_all(server.environment());
    fetcher.run(&["pull", "--uri", &format!("models:/{NAME}@champion")]).expect(0);
    assert_eq!(fetcher.receipt().digest, second.digest());

    // A version whose files somebody deleted.
    let files = server.folder().join("artifacts");
    fs::rename(&files, server.folder().join("aside")).unwrap();
    let gone = missing(NAME, &first.version);
    assert!(gone.contains("does not exist") || gone.contains("holds no files"), "{gone}");
    fs::rename(server.folder().join("aside"), &files).unwrap();

    // A finished volume does not need the server.
    let fetcher = Fetcher::new();
    fetcher.pull(&registry, NAME, "v2.2").expect(66);
    fetcher.pull(&registry, NAME, "1").expect(0);
    drop(server);
    let again = fetcher.pull(&registry, NAME, "1").expect(0);
    assert!(again.last_words.ends_with("already in place"), "{}", again.last_words);
}

#[test]
fn credentials_are_sent_and_their_lack_is_said() {
    let login = Login { username: "admin".into(), password: "a-long-password-1234".into() };
    let server = MlflowServer::start(&Options { login: Some(login.clone()), ..Options::default() });
    let registered = server.register_model(NAME, &[("version", "v2.3")], &[]);
    assert_pulls(&server, "v2.3", &registered);
    let wrong = Fetcher::new()
        .with("MLFLOW_TRACKING_USERNAME", &login.username)
        .with("MLFLOW_TRACKING_PASSWORD", "wrong-canary-secret");
    for fetcher in [Fetcher::new(), wrong] {
        let refused = fetcher.pull(&server.registry(), NAME, "v2.3").expect(77);
        assert!(refused.last_words.contains("was refused (401 Unauthorized)"), "{}", refused.last_words);
        assert!(refused.stderr.contains("hint: check the registry's credentials"), "{}", refused.stderr);
        assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
    }
}

#[test]
fn artifacts_are_read_from_where_the_registry_says() {
    let (s3, google) = (S3Server::start(), tempfile::tempdir().unwrap());
    s3.create_bucket("models");
    fs::create_dir(google.path().join("models")).unwrap();
    let (google, azure) = (GcsServer::start(google.path()), AzureServer::start());
    azure.does(&[json!({"do": "create", "container": "models"})]);
    let other = MlflowServer::start(&Options::default());
    let behind_other = format!("mlflow-artifacts of http://127.0.0.1:{}: of-others/", other.port());
    for (artifacts, address, rung) in [
        (Artifacts::Folder, "file:///", Integrity::Recorded),
        (Artifacts::Bucket(&s3, "models"), "s3://models/mlflow/", Integrity::Store),
        (Artifacts::GoogleBucket(&google, "models"), "gs://models/mlflow/", Integrity::Store),
        (
            Artifacts::Container(&azure, "models"),
            "https://plimsoll.blob.core.windows.net/models/mlflow/",
            Integrity::Store,
        ),
        (Artifacts::Server(other.port()), &behind_other, Integrity::Recorded),
    ] {
        let server = MlflowServer::start(&Options { artifacts, ..Options::default() });
        let registered = server.register_model(NAME, &[("version", "v2.3")], &[]);
        let receipt = assert_pulls(&server, "v2.3", &registered);
        assert!(receipt.resolved.uri.starts_with(address), "{}", receipt.resolved.uri);
        assert_eq!(receipt.integrity, rung, "{:?}", receipt.files);
    }
}

#[test]
fn a_version_whose_registration_is_not_over_is_refused() {
    let server = MlflowServer::start(&Options::default());
    let registered = server.register_model(NAME, &[], &["champion"]);
    // Only other registries than MLflow's own, which speak its protocol, take their time.
    for (status, code, hint) in [
        ("FAILED_REGISTRATION", 66, "register the version again"),
        ("PENDING_REGISTRATION", 69, "its files are not all there yet: who registers it has to finish"),
    ] {
        server.set_status(NAME, &registered.version, status);
        for version in ["1", "@champion", "latest"] {
            let fetcher = Fetcher::new().with("FETCHER_ALLOW_FLOATING", "true");
            let refused = fetcher.pull(&server.registry(), NAME, version).expect(code);
            let registry = server.registry();
            assert_eq!(
                refused.last_words,
                format!("{NAME} {version}: version `1` of `{NAME}` is {status} in {registry}")
            );
            assert!(refused.stderr.ends_with(&format!("hint: {hint}\n")), "{}", refused.stderr);
            assert!(!fetcher.has_receipt() && tree(&fetcher.model()).is_empty());
        }
    }
    server.set_status(NAME, &registered.version, "READY");
    assert_pulls(&server, "1", &registered);
}
