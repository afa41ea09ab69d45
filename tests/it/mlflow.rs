//! The fetcher against a real MLflow server: every way to name a version, every place for the artifacts, and
//! what it says when the answer is no.

use std::collections::BTreeMap;

use handoff::Sha256Digest;
use plimsoll_tests::mlflow_server::{Artifacts, Login, MlflowServer, Options, Registered};
use plimsoll_tests::s3_server::S3Server;
use plimsoll_tests::web_server::WebServer;

use crate::fetcher::{Fetcher, tree};

const NAME: &str = "product-recommendation";

/// Pulls a version and compares the tree with what MLflow's own client downloads.
#[track_caller]
fn assert_pulls(server: &MlflowServer, version: &str, registered: &Registered) {
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
    assert_eq!((receipt.digest, receipt.resolved.version), (registered.digest(), registered.version.clone()));
    assert_eq!(receipt.model.version, version);
    assert!(outcome.last_words.starts_with(&format!("{NAME} {version} sha256:")), "{}", outcome.last_words);
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
    std::fs::rename(&files, server.folder().join("aside")).unwrap();
    let gone = missing(NAME, &first.version);
    assert!(gone.contains("does not exist") || gone.contains("holds no files"), "{gone}");
    std::fs::rename(server.folder().join("aside"), &files).unwrap();

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
    let s3 = S3Server::start();
    s3.create_bucket("models");
    for artifacts in [Artifacts::Folder, Artifacts::Bucket(&s3, "models")] {
        let server = MlflowServer::start(&Options { artifacts, ..Options::default() });
        let registered = server.register_model(NAME, &[("version", "v2.3")], &[]);
        assert_pulls(&server, "v2.3", &registered);
    }
}

/// Pulls by an address and compares the tree with what MLflow's own client downloads.
#[track_caller]
fn assert_pulls_by(server: &MlflowServer, uri: &str, registered: &Registered) {
    let fetcher = Fetcher::new().with_all(server.environment());
    fetcher.run(&["pull", "--uri", uri]).expect(0);
    let receipt = fetcher.receipt();
    assert_eq!((receipt.digest, receipt.resolved.version.as_str()), (registered.digest(), uri));
    assert_eq!(receipt.resolved.registry, server.registry());
    let again = fetcher.run(&["pull", "--uri", uri]).expect(0);
    assert!(again.last_words.ends_with("already in place"), "{}", again.last_words);
}

#[test]
fn what_is_not_registered_is_found_by_what_made_it() {
    let s3 = S3Server::start();
    s3.create_bucket("models");
    for artifacts in [Artifacts::Proxied, Artifacts::Bucket(&s3, "models")] {
        let server = MlflowServer::start(&Options { artifacts, ..Options::default() });
        let trained = server.register_model(NAME, &[], &[]);
        assert_pulls_by(&server, &format!("models:/{}", trained.model_id), &trained);
        assert_pulls_by(&server, &format!("runs:/{}/model", trained.run_id), &trained);

        // One file of the model, and what the run left beside it.
        let fetcher = Fetcher::new().with_all(server.environment());
        fetcher.run(&["pull", "--uri", &format!("runs:/{}/model/MLmodel", trained.run_id)]).expect(0);
        assert_eq!(tree(&fetcher.model()).into_keys().collect::<Vec<_>>(), ["MLmodel"]);
        let notes = Fetcher::new().with_all(server.environment());
        notes.run(&["pull", "--uri", &format!("runs:/{}/notes", trained.run_id)]).expect(0);
        assert_eq!(tree(&notes.model())["training.txt"], b"How it was trained.");
    }
}

#[test]
fn what_was_never_logged_is_told_by_what_was_looked_for() {
    let server = MlflowServer::start(&Options::default());
    let trained = server.register_model(NAME, &[], &[]);
    let registry = server.registry();
    let told = |uri: &str, code: i32| {
        let fetcher = Fetcher::new().with_all(server.environment());
        let outcome = fetcher.run(&["pull", "--uri", uri]).expect(code);
        let hint =
            outcome.stderr.lines().find(|line| line.trim_start().starts_with("hint: ")).unwrap_or_default();
        (outcome.last_words, hint.trim().to_owned())
    };
    let (words, hint) = told("models:/m-00000000000000000000000000000000", 66);
    let id = "m-00000000000000000000000000000000";
    assert_eq!(words, format!("{id} unversioned: models:/{id} does not exist in {registry}"));
    assert!(hint.starts_with("hint: looked for a logged model"), "{hint}");
    let (words, hint) = told("runs:/0000/model", 66);
    assert_eq!(words, format!("model 0000: runs:/0000/model does not exist in {registry}"));
    assert!(hint.starts_with("hint: looked for a run of that id"), "{hint}");
    let run = &trained.run_id;
    let (words, _) = told(&format!("runs:/{run}/nothing"), 66);
    assert!(words.starts_with(&format!("nothing {run}: ")) && words.ends_with("holds no files"), "{words}");
    for (uri, problem) in [
        (format!("runs:/{run}"), "--uri (MODEL_URI) names no artifact of the run"),
        (format!("runs:/{run}/../x"), "--uri (MODEL_URI) is not usable: "),
        ("models:/fraud".to_owned(), "--uri (MODEL_URI) names no version"),
    ] {
        let (words, _) = told(&uri, 64);
        assert!(words.starts_with(&format!("fetcher: {problem}")), "{words}");
    }

    server.call("POST", "runs/delete", &serde_json::json!({"run_id": run}));
    let (words, _) = told(&format!("runs:/{run}/model"), 69);
    assert!(words.ends_with(&format!("runs:/{run}/model is of a deleted run in {registry}")), "{words}");
}

#[test]
fn what_floats_is_resolved_where_that_is_allowed() {
    let server = MlflowServer::start(&Options::default());
    let first = server.register_model(NAME, &[], &[]);
    let second = server.register_model(NAME, &[], &[]);
    let stage = |version: &str, stage: &str| {
        let body = serde_json::json!({"name": NAME, "version": version, "stage": stage, "archive_existing_versions": true});
        server.call("POST", "model-versions/transition-stage", &body);
    };
    stage(&first.version, "Production");
    let floating = || Fetcher::new().with_all(server.environment()).with("FETCHER_ALLOW_FLOATING", "true");
    let resolved = |fetcher: &Fetcher, uri: &str| {
        fetcher.run(&["pull", "--uri", &format!("models:/{NAME}/{uri}")]).expect(0);
        fetcher.receipt().resolved.version
    };
    assert_eq!(resolved(&floating(), "latest"), second.version);
    assert_eq!(resolved(&floating(), "Latest"), second.version);
    let production = floating();
    assert_eq!(resolved(&production, "production"), first.version);
    // It is asked for anew each time.
    stage(&second.version, "Production");
    assert_eq!(resolved(&production, "Production"), second.version);

    let nothing = floating().pull(&server.registry(), NAME, "Staging").expect(66).last_words;
    let expected =
        format!("{NAME} Staging: version `Staging` of `{NAME}` does not exist in {}", server.registry());
    assert_eq!(nothing, expected);
    let refused = Fetcher::new().pull(&server.registry(), NAME, "latest").expect(64);
    assert!(refused.stderr.contains("FETCHER_ALLOW_FLOATING=true lets it be"), "{}", refused.stderr);
    // Without leave, a stage is but a name.
    Fetcher::new().pull(&server.registry(), NAME, "Production").expect(66);
}

#[test]
fn credentials_come_from_the_file_of_mlflows_client_too() {
    let login = Login { username: "admin".into(), password: "a-long-password-1234".into() };
    let server = MlflowServer::start(&Options { login: Some(login.clone()), ..Options::default() });
    let registered = server.register_model(NAME, &[], &[]);
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".mlflow")).unwrap();
    let text = format!(
        "[mlflow]\nmlflow_tracking_username = {}\nmlflow_tracking_password = {}\n",
        login.username, login.password
    );
    std::fs::write(home.path().join(".mlflow/credentials"), text).unwrap();
    let fetcher = Fetcher::new().with("HOME", home.path().to_str().unwrap());
    fetcher.pull(&server.registry(), NAME, &registered.version).expect(0);
    assert_eq!(fetcher.receipt().digest, registered.digest());
}

#[test]
fn a_server_below_a_path_that_wants_a_certificate_is_shown_one() {
    let server = MlflowServer::start(&Options::default());
    let registered = server.register_model(NAME, &[], &[]);
    let front = WebServer::nginx_that_wants_a_certificate_before(server.port(), "/tracking");
    let registry = format!("mlflow+{}/tracking", front.tls_url());
    let authority = front.authority().display().to_string();
    let known = Fetcher::new()
        .with("MLFLOW_TRACKING_SERVER_CERT_PATH", &authority)
        .with("MLFLOW_TRACKING_CLIENT_CERT_PATH", &front.client_certificate().display().to_string());
    known.pull(&registry, NAME, &registered.version).expect(0);
    assert_eq!(known.receipt().digest, registered.digest());

    let nobody = Fetcher::new()
        .with("MLFLOW_TRACKING_SERVER_CERT_PATH", &authority)
        .with("FETCHER_RETRY_ATTEMPTS", "1");
    let refused = nobody.pull(&registry, NAME, &registered.version);
    assert!(refused.code != 0 && refused.last_words.contains("400 Bad Request"), "{}", refused.last_words);
    let untrusted = Fetcher::new().pull(&registry, NAME, &registered.version);
    assert!(untrusted.last_words.contains("certificate"), "{}", untrusted.last_words);
    let empty = Fetcher::new().with("MLFLOW_TRACKING_CLIENT_CERT_PATH", &authority);
    let broken = empty.pull(&registry, NAME, &registered.version).expect(64);
    let words = "MLFLOW_TRACKING_CLIENT_CERT_PATH: cannot read a certificate and its key from";
    assert!(broken.last_words.contains(words), "{}", broken.last_words);

    let careless = Fetcher::new().with("MLFLOW_TRACKING_INSECURE_TLS", "true");
    let refused = careless.pull(&registry, NAME, &registered.version).expect(64);
    assert!(
        refused.last_words.contains("MLFLOW_TRACKING_INSECURE_TLS is not supported"),
        "{}",
        refused.last_words
    );
}
