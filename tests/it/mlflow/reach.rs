//! How a server is reached: below a path, by certificates, by whom its credentials say.

use std::fs;

use plimsoll_tests::mlflow_server::{Login, MlflowServer, Options};
use plimsoll_tests::web_server::WebServer;
use serde_json::json;

use super::NAME;
use crate::fetcher::{Fetcher, tree};

#[test]
fn a_server_below_a_path_and_behind_certificates_is_reached() {
    let server = MlflowServer::start(&Options::default());
    let front = WebServer::nginx_with_client_certificates_before(server.port(), "/team/mlflow");
    let registered = server.register_model(NAME, &[("version", "v2.3")], &["champion"]);
    let paths: Vec<_> = registered.files.iter().map(|file| file.path.to_string()).collect();
    let pull = |fetcher: &Fetcher, registry: &str, code| {
        let outcome = fetcher.pull(registry, NAME, "v2.3").expect(code);
        if code == 0 {
            assert_eq!(fetcher.receipt().digest, registered.digest());
            assert_eq!(tree(&fetcher.model()).into_keys().collect::<Vec<_>>(), paths);
        }
        outcome
    };
    let below = format!("mlflow+{}/team/mlflow", front.url());
    pull(&Fetcher::new(), &below, 0);
    pull(&Fetcher::new(), &format!("{below}/"), 0);
    let wrong = pull(&Fetcher::new(), &format!("mlflow+{}/nothing", front.url()), 64);
    assert!(wrong.last_words.ends_with("and not in MLflow's words"), "{}", wrong.last_words);

    // Beyond plain HTTP the server wants to know us, and we want to know it.
    let over_tls = format!("mlflow+{}/team/mlflow", front.tls_url());
    let (authority, client) = (front.authority(), front.client_certificate());
    let authority = ("MLFLOW_TRACKING_SERVER_CERT_PATH", authority.to_str().unwrap());
    let client = ("MLFLOW_TRACKING_CLIENT_CERT_PATH", client.to_str().unwrap());
    let with = |pairs: &[(&str, &str)]| {
        pairs.iter().fold(Fetcher::new(), |fetcher, (name, value)| fetcher.with(name, value))
    };
    pull(&with(&[authority, client]), &over_tls, 0);
    let unknown = pull(&with(&[authority]), &over_tls, 64);
    assert!(unknown.last_words.contains("was refused: 400 Bad Request"), "{}", unknown.last_words);
    let untrusted = pull(&with(&[client]), &over_tls, 64);
    assert!(untrusted.last_words.contains("is not trusted: "), "{}", untrusted.last_words);
    let hint = "hint: name the file of its certificate authority in MLFLOW_TRACKING_SERVER_CERT_PATH, or in SSL_CERT_FILE where that is not set";
    assert!(untrusted.stderr.contains(hint), "{}", untrusted.stderr);
    // Named for MLflow, it counts there alone, and no other does.
    let other = ("SSL_CERT_FILE", authority.1);
    pull(&with(&[other, client]), &over_tls, 0);
    let no_authority = ("MLFLOW_TRACKING_SERVER_CERT_PATH", "/does/not/exist");
    let missing = pull(&with(&[no_authority]), &over_tls, 64);
    assert_eq!(
        missing.last_words,
        format!(
            "{NAME} v2.3: MLFLOW_TRACKING_SERVER_CERT_PATH: cannot read certificates from /does/not/exist: \
             I/O error: No such file or directory (os error 2)"
        )
    );
    let no_key = ("MLFLOW_TRACKING_CLIENT_CERT_PATH", authority.1);
    let keyless = pull(&with(&[authority, no_key]), &over_tls, 64);
    assert!(
        keyless.last_words.contains("MLFLOW_TRACKING_CLIENT_CERT_PATH: cannot read"),
        "{}",
        keyless.last_words
    );
}

#[test]
fn credentials_of_the_home_directory_are_used_and_refusals_are_said() {
    let admin = Login { username: "admin".into(), password: "a-long-password-1234".into() };
    let server = MlflowServer::start(&Options { login: Some(admin), ..Options::default() });
    server.register_model(NAME, &[], &[]);
    server.call("POST", "users/create", &json!({"username": "stranger", "password": "another-password-1"}));
    let home = |username: &str, password: &str| {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".mlflow")).unwrap();
        let text = format!(
            "[mlflow]\nmlflow_tracking_username = {username}\nmlflow_tracking_password = {password}\n"
        );
        fs::write(home.path().join(".mlflow/credentials"), text).unwrap();
        home
    };
    let pull = |username: &str, password: &str, code: i32| {
        let home = home(username, password);
        let fetcher = Fetcher::new().with("HOME", home.path().to_str().unwrap());
        let outcome = fetcher.pull(&server.registry(), NAME, "1").expect(code);
        let hint = outcome.stderr.split("hint: ").nth(1).unwrap_or_default().trim().to_owned();
        (outcome.last_words.replace(&server.registry(), "REGISTRY"), hint)
    };
    pull("admin", "a-long-password-1234", 0);
    let at = format!("http://127.0.0.1:{}/api/2.0/mlflow/model-versions/get?…", server.port());
    let hint = "check the registry's credentials and that they may read this model".to_owned();
    for (username, password, status) in
        [("admin", "wrong", "401 Unauthorized"), ("stranger", "another-password-1", "403 Forbidden")]
    {
        let words = format!("{NAME} 1: cannot ask REGISTRY: access to {at} was refused ({status})");
        assert_eq!(pull(username, password, 77), (words, hint.clone()));
    }
}

#[test]
fn settings_that_are_not_honoured_are_refused_before_anything_is_asked() {
    for (name, value, words, hint) in [
        (
            "MLFLOW_TRACKING_INSECURE_TLS",
            "true",
            "fetcher: MLFLOW_TRACKING_INSECURE_TLS is set, and a server that nobody vouches for is not asked",
            "hint: name the file of its certificate authority in MLFLOW_TRACKING_SERVER_CERT_PATH instead",
        ),
        (
            "MLFLOW_TRACKING_URI",
            "databricks",
            "fetcher: MLFLOW_TRACKING_URI is not the http or https address of a tracking server",
            "hint: write http(s)://host[:port][/prefix]",
        ),
        (
            "MLFLOW_TRACKING_URI",
            "https://me:canary@host",
            "fetcher: MLFLOW_TRACKING_URI is not usable: the https URI holds credentials, expected none",
            "hint: give credentials by the environment: MLFLOW_TRACKING_USERNAME and _PASSWORD",
        ),
    ] {
        let fetcher = Fetcher::new().with("MLFLOW_TRACKING_URI", "http://127.0.0.1:1").with(name, value);
        let refused = fetcher.run(&["pull", "--uri", "models:/a/1"]).expect(64);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
        assert!(refused.stderr.contains(hint) && !refused.stderr.contains("canary"), "{}", refused.stderr);
    }
    let fetcher = Fetcher::new().with("MLFLOW_TRACKING_AUTH", "kubernetes");
    let refused = fetcher.pull("mlflow+http://127.0.0.1:1", "a", "1").expect(64);
    assert!(
        refused.last_words.starts_with(
            "a 1: cannot read credentials from /var/run/secrets/kubernetes.io/serviceaccount/token: "
        ),
        "{}",
        refused.last_words
    );
}
