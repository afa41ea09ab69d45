//! HDFS by its web interface: Hadoop's own NameNode and DataNode; what they cannot be made to show is shown by a stand-in.

use std::fs;
use std::path::Path;

use handoff::Integrity;
use plimsoll_tests::fault_server::{Answer, FaultServer, Request};
use plimsoll_tests::hdfs_server::{HdfsServer, mount};
use plimsoll_tests::web_server::WebServer;
use plimsoll_tests::{process, skip};

use crate::fetcher::{Fetcher, noise, sample_model, tree};

/// A cluster with the sample model in `/models/a/v1`, and a neighbour whose name begins in the same way.
fn server() -> (HdfsServer, tempfile::TempDir) {
    let (server, model) = (HdfsServer::start(), sample_model());
    for (path, content) in tree(model.path()) {
        // Of the large files several blocks, the last of them a short one.
        server.put_in_blocks(&format!("models/a/v1/{path}"), &content, 16_384);
    }
    server.put("models/a/v1-2/other.bin", b"another model");
    (server, model)
}

fn fetcher(server: &HdfsServer) -> Fetcher {
    Fetcher::new().with("HDFS_NAMENODE", &server.url()).with("FETCHER_RETRY_ATTEMPTS", "2")
}

fn skipped(test: &str) -> bool {
    skip::asked("hdfs", test)
}

#[test]
fn a_folder_is_pulled_and_held_to_the_clusters_checksums() {
    if skipped("a_folder_is_pulled_and_held_to_the_clusters_checksums") {
        return;
    }
    let (server, model) = server();
    server.put("models/a/v1/code/__init__.py", b"");
    server.change("PUT", "models/a/v1/nothing in it", "MKDIRS");
    let mut expected = tree(model.path());
    expected.insert("code/__init__.py".to_owned(), Vec::new());
    let fetcher = self::fetcher(&server);
    for uri in ["hdfs://models/a/v1", "hdfs://namenode:8020/models/a/v1"] {
        fetcher.run(&["pull", "--uri", uri]).expect(0);
        assert_eq!(tree(&fetcher.model()), expected);
        for file in fetcher.receipt().files {
            // Of no bytes there is nothing to check.
            let rung = if file.size == 0 { Integrity::Recorded } else { Integrity::Store };
            assert_eq!(file.checked, rung, "{file:?}");
        }
    }
    let single = Fetcher::new().with("HADOOP_USER_NAME", "reader");
    let uri = format!("webhdfs://127.0.0.1:{}/models/a/v1/größe/模型 1.bin", server.port());
    single.run(&["pull", "--uri", &uri]).expect(0);
    assert_eq!(
        tree(&single.model()).into_iter().collect::<Vec<_>>(),
        [("模型 1.bin".to_owned(), noise(70_000))]
    );

    // Files that were put together of others have blocks of any length, over which there is no checksum of ours.
    for (name, length) in [("one", 20_000), ("two", 40_000)] {
        server.put_in_blocks(&format!("together/{name}"), &noise(length), 16_384);
    }
    server.change("POST", "together/one", "CONCAT&sources=/together/two");
    let fetcher = self::fetcher(&server);
    fetcher.run(&["pull", "--uri", "hdfs://together"]).expect(0);
    assert_eq!(tree(&fetcher.model())["one"], [noise(20_000), noise(40_000)].concat());
    assert_eq!(fetcher.receipt().files[0].checked, Integrity::Recorded);
}

#[test]
fn who_may_not_read_and_what_is_not_there_are_said() {
    if skipped("who_may_not_read_and_what_is_not_there_are_said") {
        return;
    }
    let (server, _) = server();
    let pull = |fetcher: Fetcher, code| fetcher.run(&["pull", "--uri", "hdfs://models/a/v1"]).expect(code);
    let missing = self::fetcher(&server).run(&["pull", "--uri", "hdfs://models/a/v9"]).expect(66);
    let words =
        format!("cannot list hdfs://models/a/v9: {}/webhdfs/v1/models/a/v9?… does not exist", server.url());
    assert!(missing.last_words.ends_with(&words), "{}", missing.last_words);

    server.change("PUT", "models/a", "SETPERMISSION&permission=700");
    let refused = pull(self::fetcher(&server).with("HADOOP_USER_NAME", "reader"), 77);
    assert!(
        refused.last_words.contains(
            "(403 Forbidden, AccessControlException: Permission denied: user=reader, access=EXECUTE"
        ),
        "{}",
        refused.last_words
    );
    server.change("PUT", "models/a", "SETOWNER&owner=reader");
    pull(self::fetcher(&server).with("HADOOP_USER_NAME", "reader"), 0);

    let nowhere = pull(Fetcher::new(), 64);
    assert!(
        nowhere.last_words.contains("HDFS_NAMENODE is not set, expected the web address"),
        "{}",
        nowhere.last_words
    );
}

#[test]
fn a_standby_is_passed_over_and_a_gateway_is_known_by_its_certificate() {
    if skipped("a_standby_is_passed_over_and_a_gateway_is_known_by_its_certificate") {
        return;
    }
    let (server, model) = server();
    let standby = FaultServer::start(|_, _| {
        let body =
            r#"{"RemoteException": {"exception": "StandbyException", "message": "Operation category READ"}}"#;
        Answer { body: body.into(), ..Answer::status("403 Forbidden") }
    });
    let closed = process::free_port();
    let addresses = format!("http://127.0.0.1:{closed};{};{}", standby.url(), server.url());
    let fetcher = Fetcher::new().with("HDFS_NAMENODE", &addresses);
    fetcher.run(&["pull", "--uri", "hdfs://models/a/v1"]).expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    let questions = standby.requests().len();
    assert!((1..=2).contains(&questions), "the one that is active is remembered, got {questions} questions");

    let gateway = WebServer::nginx_with_client_certificates_before(server.port(), "/gateway/default");
    let secret = tempfile::tempdir().unwrap();
    let pem = |path: &Path| fs::read_to_string(path).unwrap();
    let address = format!("{}/gateway/default", gateway.tls_url());
    let certificate = pem(&gateway.client_certificate());
    mount(
        secret.path(),
        &[("HDFS_NAMENODE", &address), ("HDFS_ROOTPATH", "/models/a"), ("TLS_CERT", &certificate)],
    );
    mount(secret.path(), &[("TLS_KEY", &certificate), ("TLS_CA", &pem(&gateway.authority()))]);
    let with_secret = || Fetcher::new().with("HDFS_SECRET_DIR", secret.path().to_str().unwrap());
    let fetcher = with_secret();
    fetcher.run(&["pull", "--uri", "hdfs://v1"]).expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    fs::remove_file(secret.path().join("TLS_CA")).unwrap();
    let failed =
        with_secret().with("FETCHER_RETRY_ATTEMPTS", "1").run(&["pull", "--uri", "hdfs://v1"]).expect(64);
    assert!(failed.last_words.contains("the certificate of https://localhost"), "{}", failed.last_words);
}

/// A gateway that has the file `/a/model.bin`, which somebody wrote at `time`, and hands out these bytes as it.
fn gateway(content: &'static [u8], time: impl Fn(&Request) -> u32 + Send + Sync + 'static) -> FaultServer {
    FaultServer::start(move |_, request| {
        let json =
            |value: serde_json::Value| Answer { body: value.to_string().into(), ..Answer::status("200 OK") };
        let status = |name: &str, kind: &str| serde_json::json!({"pathSuffix": name, "type": kind, "length": 7, "blockSize": 1024, "modificationTime": time(request)});
        match request.target.split_once("?op=").unwrap() {
            ("/webhdfs/v1/a", "GETFILESTATUS") => {
                json(serde_json::json!({"FileStatus": status("", "DIRECTORY")}))
            }
            ("/webhdfs/v1/a", "LISTSTATUS") => {
                json(serde_json::json!({"FileStatuses": {"FileStatus": [status("model.bin", "FILE")]}}))
            }
            ("/webhdfs/v1/a/model.bin", "GETFILESTATUS") => {
                json(serde_json::json!({"FileStatus": status("", "FILE")}))
            }
            ("/webhdfs/v1/a/model.bin", "GETFILECHECKSUM") => {
                // Of `weights`.
                json(
                    serde_json::json!({"FileChecksum": {"algorithm": "COMPOSITE-CRC32C", "bytes": "923eaa45", "length": 4}}),
                )
            }
            _ => Answer { body: content.to_vec(), ..Answer::status("200 OK") },
        }
    })
}

#[test]
fn a_file_that_is_damaged_or_was_overwritten_is_not_let_in() {
    let pull = |server: &FaultServer| {
        let fetcher = Fetcher::new().with("HDFS_NAMENODE", &server.url()).with("FETCHER_RETRY_ATTEMPTS", "2");
        (fetcher.run(&["pull", "--uri", "hdfs://a"]), fetcher)
    };
    let whole = gateway(b"weights", |_| 1);
    let (outcome, fetcher) = pull(&whole);
    outcome.expect(0);
    assert_eq!(fetcher.receipt().files[0].checked, Integrity::Store);

    let (outcome, fetcher) = pull(&gateway(b"weighty", |_| 1));
    let failed = outcome.expect(65);
    assert!(
        failed.last_words.contains("checksum mismatch on model.bin: expected crc32c"),
        "{}",
        failed.last_words
    );
    assert!(tree(&fetcher.model()).is_empty());

    let overwritten = gateway(b"weights", |request| if request.target.contains("model.bin") { 2 } else { 1 });
    let (outcome, fetcher) = pull(&overwritten);
    let failed = outcome.expect(65);
    assert!(
        failed.last_words.contains("hdfs:///a/model.bin changed since it was listed"),
        "{}",
        failed.last_words
    );
    assert!(tree(&fetcher.model()).is_empty());
}

#[test]
fn headers_and_tokens_are_for_the_name_node_alone() {
    let data_node = FaultServer::start(|_, _| Answer { body: b"weights".into(), ..Answer::status("200 OK") });
    let address = data_node.url();
    let name_node = FaultServer::start(move |_, request| {
        let status = r#"{"FileStatus": {"pathSuffix": "", "type": "FILE", "length": 7, "blockSize": 1024, "modificationTime": 1}}"#;
        match request.target.split(['=', '&']).nth(1) {
            Some("GETFILESTATUS") => Answer { body: status.into(), ..Answer::status("200 OK") },
            Some("OPEN") => Answer::status("307 Temporary Redirect")
                .with("Location", &format!("{address}/data?ticket=canary-2")),
            _ => Answer::status("400 Bad Request"),
        }
    });
    let fetcher = Fetcher::new()
        .with("HDFS_NAMENODE", &name_node.url())
        .with("HDFS_HEADERS", r#"{"X-Ticket": "canary-1"}"#)
        .with("HDFS_DELEGATION_TOKEN", "canary-3")
        .with("HADOOP_USER_NAME", "nobody")
        .with("HDFS_USER_PROXY", "me");
    let outcome = fetcher.run(&["pull", "--uri", "hdfs://a/model.bin"]).expect(0);
    assert!(!outcome.stderr.contains("canary"), "{}", outcome.stderr);
    assert!(name_node.requests().iter().all(|request| request.header("x-ticket") == Some("canary-1")));
    assert!(
        name_node.requests().iter().all(|request| request.target.ends_with("&doas=me&delegation=canary-3"))
    );
    let asked = data_node.requests();
    assert!(
        !asked.is_empty() && asked.iter().all(|request| request.header("x-ticket").is_none()),
        "{asked:?}"
    );
    assert!(asked.iter().all(|request| request.target == "/data?ticket=canary-2"), "{asked:?}");
}
