//! Files behind a server that signs addresses in the store behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plimsoll_tests::fault_server::{Answer, FaultServer, Request};
use plimsoll_tests::mlflow_server::{Artifacts, MlflowServer, Options};
use plimsoll_tests::s3_server::S3Server;

use super::{NAME, assert_pulls};
use crate::fetcher::{Fetcher, noise, tree};

#[test]
fn bytes_come_from_the_store_by_signed_addresses() {
    let s3 = S3Server::start();
    s3.create_bucket("models");
    // Over before they are used a second time.
    let variables = [("MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS", "1")];
    let artifacts = Artifacts::ProxiedBucket(&s3, "models");
    let server = MlflowServer::start(&Options { artifacts, variables: &variables, ..Options::default() });
    let registered = server.register_model(NAME, &[("version", "v2.3")], &[]);
    assert_pulls(&server, "v2.3", &registered);
    super::items::assert_all_lead_there(&server, &server.log_items("others"));

    // The plan pins what the store had, and needs no credentials for the store.
    let arguments =
        ["resolve", "--registry", &server.registry(), "--model-name", NAME, "--model-version", "1"];
    let plan = Fetcher::new().run(&[&arguments[..], &["--output", "json"]].concat()).expect(0).stdout;
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let files = plan["files"].as_array().unwrap();
    assert_eq!(files.len(), registered.files.len());
    for file in files {
        assert!(file["source"]["identity"].is_string(), "{file}");
    }
    assert!(!plan.to_string().contains("X-Amz-Signature"), "{plan}");
}

/// A stand-in for a tracking server that signs addresses, and for the store behind it. A real server's addresses
/// cannot be made to fail at a given moment.
struct World {
    tracking: FaultServer,
    store: FaultServer,
}

/// How the store answers the request for an address of this number, which is the `n`th of its file.
type Store = fn(&Request, address: usize, n: usize, content: &[u8]) -> Answer;

const WEIGHTS: usize = 20_000_000;

impl World {
    fn start(answer: Store) -> Self {
        let content = noise(WEIGHTS);
        let asked = AtomicUsize::new(0);
        let store = FaultServer::start(move |_, request| {
            let number = request.target.split("sig=canary-").nth(1).and_then(|text| text.parse().ok());
            match number {
                Some(number) => {
                    answer(request, number, asked.fetch_add(1, Ordering::SeqCst), &content).kept()
                }
                None => Answer::status("404 Not Found"),
            }
        });
        let (address, signed) = (store.url(), Arc::new(AtomicUsize::new(0)));
        let tracking = FaultServer::start(move |_, request| {
            let json = |text: String| Answer { body: text.into_bytes(), ..Answer::status("200 OK") };
            let path = request.target.split('?').next().unwrap();
            match path.strip_prefix("/team/ml").unwrap_or_default() {
                "/api/3.0/mlflow/server-info" => json(r#"{"multipart_downloads_enabled": true}"#.into()),
                "/api/2.0/mlflow-artifacts/artifacts" => {
                    json(format!(r#"{{"files": [{{"path": "w.bin", "file_size": {WEIGHTS}}}]}}"#))
                }
                "/api/2.0/mlflow-artifacts/presigned/1/m/w.bin" => {
                    let number = signed.fetch_add(1, Ordering::SeqCst);
                    let url = format!("{address}/bucket/w.bin?sig=canary-{number}");
                    json(format!(r#"{{"url": "{url}", "headers": {{"x-ms-version": "7"}}}}"#))
                }
                _ => Answer::status("404 Not Found"),
            }
        });
        Self { tracking, store }
    }

    fn fetcher(&self) -> Fetcher {
        Fetcher::new()
            .with("MLFLOW_TRACKING_URI", &format!("{}/team/ml/", self.tracking.url()))
            .with("MLFLOW_TRACKING_TOKEN", "canary-token")
            .with("MLFLOW_WORKSPACE", "blue")
            .with("FETCHER_RETRY_ATTEMPTS", "2")
    }
}

const URI: [&str; 3] = ["pull", "--uri", "mlflow-artifacts:/1/m"];

#[test]
fn the_store_is_sent_what_the_server_signed_and_no_more() {
    let world = World::start(|request, _, _, content| Answer::file(request, content, "\"1\""));
    let fetcher = world.fetcher();
    fetcher.run(&URI).expect(0);
    assert_eq!(tree(&fetcher.model())["w.bin"], noise(WEIGHTS));
    for request in world.store.requests() {
        assert_eq!(request.header("x-ms-version"), Some("7"));
        assert_eq!(request.header("authorization"), None);
        assert_eq!(request.header("x-mlflow-workspace"), None);
    }
    for request in world.tracking.requests() {
        assert_eq!(request.header("authorization"), Some("Bearer canary-token"), "{request:?}");
        assert_eq!(request.header("x-mlflow-workspace"), Some("blue"), "{request:?}");
    }
    // In parts, side by side, from where a listing by its first byte saw it.
    let offsets: std::collections::BTreeSet<_> =
        world.store.requests().iter().filter_map(Request::offset).collect();
    assert!(offsets.len() > 2, "{offsets:?}");
}

#[test]
fn an_address_that_is_over_is_asked_for_anew() {
    // The first is good for the listing only.
    let world = World::start(|request, address, _, content| match address {
        0 if request.offset() != Some(0) || request.range().unwrap().1 != Some(0) => {
            Answer::status("403 Forbidden")
        }
        _ => Answer::file(request, content, "\"1\""),
    });
    let fetcher = world.fetcher();
    fetcher.run(&URI).expect(0);
    assert_eq!(tree(&fetcher.model())["w.bin"], noise(WEIGHTS));
}

#[test]
fn what_the_store_refuses_or_sends_elsewhere_is_said() {
    let shown = |world: &World, text: &str| text.replace(&world.store.url(), "STORE");
    let world = World::start(|_, _, _, _| Answer::status("403 Forbidden"));
    let refused = world.fetcher().run(&URI).expect(77);
    assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
    let words = shown(&world, &refused.last_words);
    let of = format!("mlflow-artifacts of {}/team/ml: 1/m", world.tracking.url());
    assert_eq!(
        words,
        format!(
            "m unversioned: cannot list {of}: access to STORE/bucket/w.bin?… was refused (403 Forbidden)"
        )
    );
    // It is given one more chance, and then believed.
    assert_eq!(world.store.requests().len(), 2);

    let world =
        World::start(|_, _, _, _| Answer::status("302 Found").with("Location", "http://127.0.0.1:1/x"));
    let elsewhere = world.fetcher().run(&URI).expect(64);
    assert!(
        shown(&world, &elsewhere.last_words).ends_with("STORE/bucket/w.bin?… was refused: 302 Found"),
        "{}",
        elsewhere.last_words
    );
}

#[test]
fn a_file_that_changes_after_it_was_listed_is_an_error() {
    let world = World::start(|request, _, n, content| {
        Answer::file(request, content, if n == 0 { "\"1\"" } else { "\"2\"" })
    });
    let fetcher = world.fetcher();
    let changed = fetcher.run(&URI).expect(65);
    assert!(changed.last_words.contains("changed since it was listed"), "{}", changed.last_words);
    assert!(!fetcher.has_receipt());
}
