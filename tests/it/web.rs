//! Catalogs and files behind real web servers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use plimsoll_tests::fault_server::{Answer, FaultServer};
use plimsoll_tests::process;
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

/// A server that tells files apart by the query alone, as many download services do.
fn by_query() -> FaultServer {
    FaultServer::start(|_, request| match request.target.split_once("?file=") {
        Some(("/get", name)) => Answer::file(request, format!("content of {name}").as_bytes(), "\"1\""),
        _ => Answer::status("404 Not Found"),
    })
}

#[test]
fn urls_that_differ_in_their_query_are_different_files() {
    let (server, model, store) = (by_query(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["one", "two"] {
        fs::write(model.path().join(name), format!("content of {name}")).unwrap();
    }
    let registry = format!("catalog+file://{}", store.path().display());
    let fetcher = Fetcher::new();
    fetcher.publish(model.path(), &registry, "v1", &[]).expect(0);
    // The same version, with its bytes elsewhere.
    let descriptor = store.path().join("a/v1/model.yaml");
    let mut text = fs::read_to_string(&descriptor).unwrap();
    for name in ["one", "two"] {
        let uri = format!("- path: {name}\n  uri: {}/get?file={name}\n", server.url());
        text = text.replace(&format!("- path: {name}\n"), &uri);
        fs::remove_file(store.path().join("a/v1").join(name)).unwrap();
    }
    fs::write(&descriptor, text).unwrap();
    fetcher.pull(&registry, "a", "v1").expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
}

#[test]
fn a_volume_filled_from_one_query_is_not_taken_for_that_of_another() {
    let (server, fetcher) = (by_query(), Fetcher::new());
    for name in ["one", "two"] {
        fetcher.run(&["pull", "--uri", &format!("{}/get?file={name}", server.url())]).expect(0);
        assert_eq!(tree(&fetcher.model())["get"], format!("content of {name}").as_bytes());
    }
}

#[test]
fn a_catalog_keeps_the_query_of_its_address() {
    let (model, store) = (sample_model(), tempfile::tempdir().unwrap());
    let local = format!("catalog+file://{}", store.path().display());
    Fetcher::new().publish(model.path(), &local, "v1", &[]).expect(0);
    let files = tree(store.path());
    let server = FaultServer::start(move |_, request| {
        let path = request.target.strip_prefix("/models/").and_then(|rest| rest.strip_suffix("?sas=canary"));
        let file = files.iter().find(|(name, _)| path == Some(&encoded(name)));
        file.map_or(Answer::status("404 Not Found"), |(_, content)| Answer::file(request, content, "\"1\""))
    });
    let fetcher = Fetcher::new();
    let outcome = fetcher.pull(&format!("catalog+{}/models?sas=canary", server.url()), "a", "v1").expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    let receipt = fs::read_to_string(fetcher.layout().receipt()).unwrap();
    assert!(!receipt.contains("canary") && !outcome.stderr.contains("canary"), "{receipt}");
}

/// A path as it stands in a URL.
fn encoded(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[test]
fn headers_and_passwords_are_for_the_server_that_they_are_for() {
    let content = noise(300_000);
    let elsewhere = {
        let content = content.clone();
        FaultServer::start(move |_, request| Answer::file(request, &content, "\"1\""))
    };
    let other = elsewhere.url();
    let server = {
        let content = content.clone();
        FaultServer::start(move |_, request| {
            let key = request.header("x-api-key") == Some("c4n4ry-key");
            let basic = request.header("authorization") == Some("Basic bWU6YzRuNHJ5LXB3");
            match request.target.as_str() {
                "/moved.bin" => Answer::status("302 Found").with("Location", &format!("{other}/moved.bin")),
                _ if key || basic => Answer::file(request, &content, "\"1\""),
                _ => Answer::status("401 Unauthorized"),
            }
        })
    };
    let uri = format!("{}/model.bin", server.url());
    let headers = tempfile::NamedTempFile::new().unwrap();
    fs::write(headers.path(), "X-Api-Key: c4n4ry-key\n").unwrap();
    let netrc = tempfile::NamedTempFile::new().unwrap();
    fs::write(netrc.path(), "machine 127.0.0.1 login me password c4n4ry-pw\n").unwrap();
    let known = [
        Fetcher::new().with("FETCHER_HTTP_HEADERS", "X-Api-Key: c4n4ry-key"),
        Fetcher::new().with("FETCHER_HTTP_HEADERS", headers.path().to_str().unwrap()),
        Fetcher::new().with("127.0.0.1-headers", r#"{"x-api-key": "c4n4ry-key"}"#),
        Fetcher::new().with("NETRC", netrc.path().to_str().unwrap()),
    ];
    for fetcher in &known {
        let done = fetcher.run(&["pull", "--uri", &uri]).expect(0);
        assert_eq!(tree(&fetcher.model())["model.bin"], content);
        assert!(!done.stderr.contains("c4n4ry"), "{}", done.stderr);
    }
    let refused = Fetcher::new().run(&["pull", "--uri", &uri]).expect(77);
    let words =
        format!("model.bin unversioned: cannot list {uri}: access to {uri} was refused (401 Unauthorized)");
    assert_eq!(refused.last_words, words);

    // A redirect leads away with the password left behind, and not at all with headers that may be anything.
    let moved = format!("{}/moved.bin", server.url());
    known[3].run(&["pull", "--uri", &moved]).expect(0);
    let asked = elsewhere.requests();
    assert!(!asked.is_empty() && asked.iter().all(|request| request.header("authorization").is_none()));
    let stopped = known[0].run(&["pull", "--uri", &moved]).expect(64);
    assert!(stopped.last_words.contains("302 Found"), "{}", stopped.last_words);
    assert!(elsewhere.requests().iter().all(|request| request.header("x-api-key").is_none()));

    let wrong = Fetcher::new().with("FETCHER_HTTP_HEADERS", "c4n4ry");
    let wrong = wrong.run(&["pull", "--uri", &uri]).expect(64);
    assert_eq!(wrong.last_words, "fetcher: --http-headers (FETCHER_HTTP_HEADERS) holds no headers");
}

#[test]
fn a_folder_is_what_its_sums_say() {
    let (server, model) = (WebServer::nginx(), sample_model());
    let folder = server.folder().join("models/fraud");
    fs::create_dir_all(&folder).unwrap();
    process::run(Command::new("cp").arg("-r").arg(model.path().join(".")).arg(&folder));
    fs::write(folder.join("not-listed.txt"), "of nobody").unwrap();
    let names = "find . -type f -not -name not-listed.txt -not -name sums -printf '%P\\0' | xargs -0 sha256sum >sums; \
                 mv sums SHA256SUMS";
    process::run(Command::new("sh").args(["-ec", names]).current_dir(&folder));
    let uri = format!("{}/models/fraud/", server.url());

    let fetcher = Fetcher::new();
    fetcher.run(&["pull", "--uri", &uri]).expect(0);
    let mut expected = tree(model.path());
    expected.insert("SHA256SUMS".into(), fs::read(folder.join("SHA256SUMS")).unwrap());
    assert_eq!(tree(&fetcher.model()), expected);
    let receipt = fetcher.receipt();
    assert_eq!((receipt.integrity, receipt.model.name.as_str()), (handoff::Integrity::Manifest, "fraud"));

    fs::write(folder.join("config.json"), "[]\n").unwrap();
    let wrong = Fetcher::new().run(&["pull", "--uri", &uri]).expect(65);
    assert!(
        wrong.last_words.contains("checksum mismatch on config.json: expected sha256 "),
        "{}",
        wrong.last_words
    );
    fs::remove_file(folder.join("config.json")).unwrap();
    let missing = Fetcher::new().run(&["pull", "--uri", &uri]).expect(66);
    let words = format!("fraud unversioned: cannot list {uri}: {uri}config.json does not exist");
    assert_eq!(missing.last_words, words);
    fs::remove_file(folder.join("SHA256SUMS")).unwrap();
    let bare = Fetcher::new().run(&["pull", "--uri", &uri]).expect(66);
    assert_eq!(
        bare.last_words,
        format!("fraud unversioned: cannot list {uri}: {uri}SHA256SUMS does not exist")
    );
}

#[test]
fn a_home_of_somebody_else_is_none_of_our_business() {
    let (server, root) = (WebServer::nginx(), tempfile::tempdir().unwrap());
    fs::write(server.folder().join("model.bin"), "weights").unwrap();
    let (home, volume) = (root.path().join("home"), root.path().join("volume"));
    for (folder, mode) in [(root.path(), 0o755), (&home, 0o700), (&volume, 0o777)] {
        let _ = fs::create_dir(folder);
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    }
    let fetcher = Fetcher::on(&volume).with("HOME", home.to_str().unwrap());
    let inner = fetcher.command(&["pull", "--uri", &format!("{}/model.bin", server.url())]);
    // As a container does that runs as any user.
    let mut nobody = Command::new("setpriv");
    nobody
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(inner.get_program())
        .args(inner.get_args());
    nobody.env_clear().envs(inner.get_envs().map(|(name, value)| (name, value.unwrap())));
    let outcome = fetcher.outcome(&process::output(&mut nobody)).expect(0);
    assert_eq!(tree(&fetcher.model())["model.bin"], b"weights", "{}", outcome.stderr);
}
