//! Catalogs and files behind real web servers.

use std::fs;

use plimsoll_tests::web_server::WebServer;

use crate::fetcher::{Fetcher, digest_by_coreutils, noise, sample_model, tree};

#[test]
fn a_catalog_behind_webdav_is_published_to_and_pulled_from() {
    let (server, model, fetcher) = (WebServer::webdav(), sample_model(), Fetcher::new());
    let registry = format!("catalog+{}/models", server.url());
    fetcher.publish(model.path(), &registry, "v1", &["--alias", "champion"]).expect(0);
    fetcher.pull(&registry, "a", "@champion").expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    assert_eq!(fetcher.receipt().digest.to_string(), digest_by_coreutils(model.path()));

    fs::write(model.path().join("config.json"), "{\"second\": true}").unwrap();
    let before = tree(&server.folder());
    let refused = fetcher.publish(model.path(), &registry, "v1", &[]).expect(64);
    assert!(refused.stderr.contains("a v1 exists already"), "{}", refused.stderr);
    assert_eq!(tree(&server.folder()), before);

    fetcher.publish(model.path(), &registry, "v2", &["--alias", "champion"]).expect(0);
    fetcher.pull(&registry, "a", "@champion").expect(0);
    assert_eq!(fetcher.receipt().resolved.version, "v2");
}

#[test]
fn a_server_that_ignores_conditions_is_no_place_to_publish_to() {
    let (server, model, fetcher) = (WebServer::nginx(), sample_model(), Fetcher::new());
    let registry = format!("catalog+{}/models", server.url());
    let refused = fetcher.publish(model.path(), &registry, "v1", &[]).expect(64);
    assert!(
        refused.stderr.contains("overwrites a file in answer to a create-only write"),
        "{}",
        refused.stderr
    );
    assert_eq!(tree(&server.folder()).into_keys().collect::<Vec<_>>(), ["up"], "nothing is left behind");
}

#[test]
fn a_catalog_that_nginx_serves_is_pulled_from() {
    let (server, model, fetcher) = (WebServer::nginx(), sample_model(), Fetcher::new());
    let local = format!("catalog+file://{}/models", server.folder().display());
    fetcher.publish(model.path(), &local, "v1", &["--alias", "best"]).expect(0);
    let registry = format!("catalog+{}/models", server.url());
    fetcher.pull(&registry, "a", "@best").expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    fetcher.pull(&registry, "a", "v2").expect(66);
}

#[test]
fn one_file_is_pulled_by_its_url() {
    let (server, fetcher) = (WebServer::nginx(), Fetcher::new());
    fs::create_dir(server.folder().join("a b")).unwrap();
    fs::write(server.folder().join("a b/größe 1.bin"), noise(2_000_000)).unwrap();
    let url = format!("{}/a%20b/gr%C3%B6%C3%9Fe%201.bin?token=canary", server.url());
    let outcome = fetcher.run(&["pull", "--uri", &url]).expect(0);
    assert_eq!(tree(&fetcher.model())["größe 1.bin"], noise(2_000_000));
    let receipt = fs::read_to_string(fetcher.layout().receipt()).unwrap();
    assert!(!receipt.contains("canary") && !outcome.stderr.contains("canary"), "{receipt}");
    let missing = fetcher.run(&["pull", "--uri", &format!("{}/none.bin", server.url())]).expect(66);
    assert!(missing.last_words.ends_with("/none.bin does not exist"), "{}", missing.last_words);
}

#[test]
fn tls_is_checked_against_the_authorities_that_are_named() {
    let (server, model) = (WebServer::nginx_with_tls(), sample_model());
    let local = format!("catalog+file://{}/models", server.folder().display());
    Fetcher::new().publish(model.path(), &local, "v1", &[]).expect(0);
    let registry = format!("catalog+{}/models", server.tls_url());
    let untrusting = Fetcher::new();
    let refused = untrusting.pull(&registry, "a", "v1").expect(64);
    assert!(refused.last_words.contains("is not trusted: "), "{}", refused.last_words);
    assert!(
        refused.stderr.contains("hint: name the file of its certificate authority"),
        "{}",
        refused.stderr
    );
    assert!(tree(&untrusting.model()).is_empty());
    let trusting = Fetcher::new().with("SSL_CERT_FILE", server.authority().to_str().unwrap());
    trusting.pull(&registry, "a", "v1").expect(0);
    assert_eq!(tree(&trusting.model()), tree(model.path()));
    let misconfigured = Fetcher::new().with("SSL_CERT_FILE", "/does/not/exist");
    let refused = misconfigured.pull(&registry, "a", "v1").expect(64);
    assert!(refused.last_words.contains("SSL_CERT_FILE: cannot read certificates"), "{}", refused.last_words);
}
