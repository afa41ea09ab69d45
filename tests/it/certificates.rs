//! What is behind TLS with an authority of one's own, as an enterprise has it: whoever trusts that gets it, and everybody
//! else is told what to do. Web servers, MLflow and databases have tests of their own.

use std::fs;

use plimsoll_tests::azure_server::AzureServer;
use plimsoll_tests::gcs_server::GcsServer;
use plimsoll_tests::oci_server::OciServer;
use plimsoll_tests::web_server::WebServer;
use serde_json::json;

use crate::fetcher::{Fetcher, tree};

/// Pulls from what is behind `server`, as who trusts the right authority, none and a wrong one; `what` is of its address.
fn assert_needs_authority(server: &WebServer, what: &str, uri: &str, fetcher: impl Fn() -> Fetcher) {
    let trusting = fetcher().with("SSL_CERT_FILE", server.authority().to_str().unwrap());
    trusting.run(&["pull", "--uri", uri]).expect(0);
    assert_eq!(tree(&trusting.model())["model.bin"], b"weights");
    let other = WebServer::nginx_with_tls();
    let of_another = fetcher().with("SSL_CERT_FILE", other.authority().to_str().unwrap());
    for fetcher in [fetcher(), of_another] {
        let refused = fetcher.run(&["pull", "--uri", uri]).expect(64);
        let words = format!("the certificate of {what} is not trusted: ");
        assert!(refused.last_words.contains(&words), "{}", refused.last_words);
        let hint = "hint: name the file of its certificate authority in SSL_CERT_FILE";
        assert!(refused.stderr.contains(hint), "{}", refused.stderr);
    }
}

#[test]
fn google_cloud_storage_behind_an_authority_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("models/a")).unwrap();
    fs::write(folder.path().join("models/a/model.bin"), "weights").unwrap();
    let upstream = GcsServer::start(folder.path());
    let server = WebServer::nginx_with_tls_before(upstream.port());
    assert_needs_authority(&server, "gs://models/a", "gs://models/a", || {
        Fetcher::new().with("STORAGE_EMULATOR_HOST", &server.tls_url())
    });
}

#[test]
fn azure_behind_an_authority_of_ones_own() {
    let upstream = AzureServer::start();
    let put = json!({"do": "put", "container": "models", "name": "a/model.bin", "content": "d2VpZ2h0cw=="});
    upstream.does(&[json!({"do": "create", "container": "models"}), put]);
    let server = WebServer::nginx_with_tls_before(upstream.port());
    let plain = format!("http://127.0.0.1:{}", upstream.port());
    let connection = upstream.connection_string().replace(&plain, &server.tls_url());
    assert_needs_authority(&server, "az://models/a", "az://models/a", || {
        Fetcher::new().with("AZURE_STORAGE_CONNECTION_STRING", &connection)
    });
}

#[test]
fn an_oci_registry_behind_an_authority_of_ones_own() {
    let (upstream, folder) = (OciServer::start(), tempfile::tempdir().unwrap());
    fs::write(folder.path().join("model.bin"), "weights").unwrap();
    upstream.push(folder.path(), "a:v1", &["model.bin"]);
    let server = WebServer::nginx_with_tls_before(upstream.port());
    // Registries on this machine are spoken to without TLS, and `localhost` is known for that.
    let host = format!("registry.localhost:{}", server.tls_port().unwrap());
    let what = format!("https://{host}/v2/models/a/manifests/v1");
    assert_needs_authority(&server, &what, &format!("oci://{host}/models/a:v1"), Fetcher::new);
}
