//! S3, by a real server: a catalog in a bucket, and plain prefixes and objects.

use std::fs;

use plimsoll_tests::fault_server::{Answer, FaultServer};
use plimsoll_tests::s3_server::S3Server;

use crate::fetcher::{Fetcher, digest_by_coreutils, noise, sample_model, tree};

fn server() -> S3Server {
    let server = S3Server::start();
    server.create_bucket("models");
    server
}

#[test]
fn a_catalog_in_a_bucket_is_published_to_and_pulled_from() {
    let (server, model) = (server(), sample_model());
    let fetcher = Fetcher::new().with_all(&server.environment());
    let registry = "catalog+s3://models/production";
    fetcher.publish(model.path(), registry, "v1", &["--alias", "champion"]).expect(0);
    fetcher.pull(registry, "a", "@champion").expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    assert_eq!(fetcher.receipt().digest.to_string(), digest_by_coreutils(model.path()));

    fs::write(model.path().join("config.json"), "{\"second\": true}").unwrap();
    let refused = fetcher.publish(model.path(), registry, "v1", &[]).expect(64);
    assert!(refused.stderr.contains("a v1 exists already in catalog+s3://models/production"));
    let unchanged = Fetcher::new().with_all(&server.environment());
    unchanged.pull(registry, "a", "v1").expect(0);
    assert_eq!(unchanged.receipt().digest, fetcher.receipt().digest);

    // The alias moves by compare-and-swap.
    fetcher.publish(model.path(), registry, "v2", &["--alias", "champion"]).expect(0);
    fetcher.pull(registry, "a", "@champion").expect(0);
    assert_eq!(fetcher.receipt().resolved.version, "v2");
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
}

#[test]
fn a_large_file_is_uploaded_in_parts() {
    let (server, model) = (server(), tempfile::tempdir().unwrap());
    let fetcher = Fetcher::new().with_all(&server.environment());
    fs::write(model.path().join("weights.bin"), noise(70 * 1024 * 1024)).unwrap();
    fetcher.publish(model.path(), "catalog+s3://models", "v1", &[]).expect(0);
    fetcher.pull("catalog+s3://models", "a", "v1").expect(0);
    assert_eq!(fetcher.receipt().digest.to_string(), digest_by_coreutils(model.path()));
}

#[test]
fn a_prefix_is_listed_and_a_single_object_is_found() {
    let (server, model) = (server(), sample_model());
    let fetcher = Fetcher::new().with_all(&server.environment());
    fetcher.publish(model.path(), "catalog+s3://models", "v1", &[]).expect(0);
    fetcher.publish(model.path(), "catalog+s3://models", "v10", &[]).expect(0);
    let pulled = |uri: &str| {
        let fetcher = Fetcher::new().with_all(&server.environment());
        fetcher.run(&["pull", "--uri", uri]).expect(0);
        tree(&fetcher.model())
    };
    let mut expected = tree(model.path());
    let prefix = pulled("s3://models/a/v1");
    assert!(prefix.contains_key("model.yaml"), "a plain prefix is taken as it is");
    expected.insert("model.yaml".to_owned(), prefix["model.yaml"].clone());
    assert_eq!(prefix, expected, "`v1` is not `v10`");
    let single = pulled("s3://models/a/v1/größe/模型 1.bin");
    assert_eq!(single.into_iter().collect::<Vec<_>>(), [("模型 1.bin".to_owned(), noise(70_000))]);
}

#[test]
fn a_bucket_says_no_in_the_same_words_as_everything_else() {
    let server = server();
    let with = |name: &str, value: &str| {
        let mut environment = server.environment();
        environment.retain(|(given, _)| given != name);
        environment.push((name.to_owned(), value.to_owned()));
        Fetcher::new().with_all(&environment).with("FETCHER_RETRY_ATTEMPTS", "2")
    };
    let refused = with("AWS_SECRET_ACCESS_KEY", "canary-secret").run(&["pull", "--uri", "s3://models/a"]);
    let refused = refused.expect(77);
    assert!(refused.last_words.contains("access to s3://models/a was refused"), "{}", refused.last_words);
    assert!(refused.stderr.contains("hint: check the store's credentials"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("canary"));
    let anonymous = with("AWS_SKIP_SIGNATURE", "true").run(&["pull", "--uri", "s3://models/a"]);
    anonymous.expect(77);
    for uri in ["s3://models/nothing", "s3://no-such-bucket/a"] {
        let missing = with("AWS_REGION", "us-east-1").run(&["pull", "--uri", uri]).expect(66);
        assert!(missing.last_words.contains("does not exist"), "{}", missing.last_words);
    }
    let dead = format!("http://127.0.0.1:{}", plimsoll_tests::process::free_port());
    let dead = with("AWS_ENDPOINT_URL", &dead).run(&["pull", "--uri", "s3://models/a"]).expect(69);
    assert!(dead.last_words.contains("gave up after 2 attempts"), "{}", dead.last_words);
}

#[test]
fn the_settings_of_kserve_are_understood_and_a_proxy_is_used() {
    let proxy = FaultServer::start(|_, _| Answer::status("404 Not Found"));
    let kserve = || {
        Fetcher::new()
            .with("S3_ENDPOINT", "s3.plimsoll.test")
            .with("S3_USE_HTTPS", "0")
            .with("AWS_REGION", "us-east-1")
            .with("http_proxy", &proxy.url())
    };
    kserve().with("awsAnonymousCredential", "True").run(&["pull", "--uri", "s3://models/a"]).expect(66);
    let payer = kserve().with("AWS_ACCESS_KEY_ID", "id").with("AWS_SECRET_ACCESS_KEY", "canary");
    let payer = payer.with("S3_USER_VIRTUAL_BUCKET", "True").with("AWS_REQUEST_PAYER", "true");
    payer.run(&["pull", "--uri", "s3://models/a"]).expect(66);
    let requests = proxy.requests();
    let (first, last) = (&requests[0], requests.last().unwrap());
    assert!(first.target.starts_with("http://s3.plimsoll.test/models?"), "{}", first.target);
    assert_eq!(first.header("authorization"), None);
    assert!(last.target.starts_with("http://models.s3.plimsoll.test/"), "{}", last.target);
    assert_eq!(last.header("x-amz-request-payer"), Some("requester"));
}

#[test]
fn a_bucket_is_listed_page_by_page() {
    let server = server();
    let folder = server.bucket("models").join("many");
    for shard in 0..3 {
        let folder = folder.join(shard.to_string());
        fs::create_dir_all(&folder).unwrap();
        for number in 0..400 {
            fs::write(folder.join(number.to_string()), "").unwrap();
        }
    }
    let fetcher = Fetcher::new().with_all(&server.environment());
    let plan = fetcher.run(&["resolve", "--uri", "s3://models/many"]).expect(0).stdout;
    assert!(plan.contains(" in 1200 files"), "{}", &plan[..300]);
}
