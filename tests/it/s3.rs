//! S3, by a real server: a catalog in a bucket, and plain prefixes and objects.

use std::fs;
use std::sync::Arc;

use plimsoll_tests::fault_proxy::FaultProxy;
use plimsoll_tests::fault_server::{Answer, FaultServer, Request};
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
    let (server, empty) = (server(), tempfile::NamedTempFile::new().unwrap());
    let folder = server.bucket("models").join("many");
    for shard in 0..10 {
        let folder = folder.join(shard.to_string());
        fs::create_dir_all(&folder).unwrap();
        for number in 0..1000 {
            fs::write(folder.join(number.to_string()), "").unwrap();
        }
    }
    // What consoles leave behind for folders.
    for marker in ["many/", "many/3/", "many/nothing/"] {
        server.put_with_checksum(empty.path(), "models", marker, "none", 1);
    }
    let fetcher = Fetcher::new().with_all(&server.environment());
    let plan = fetcher.run(&["resolve", "--uri", "s3://models/many"]).expect(0).stdout;
    assert!(plan.contains(" in 10000 files"), "{}", &plan[..300]);
}

#[test]
fn an_object_that_was_overwritten_after_it_was_listed_is_not_read() {
    // Before its checksum is asked for, and between that and its bytes; where what was there is kept, too.
    for (method, target, versions) in [
        ("GET", "/models?", false),
        ("HEAD", "/models/a/model.bin?", false),
        ("HEAD", "/models/a/model.bin?", true),
    ] {
        let (server, model) = (Arc::new(server()), tempfile::tempdir().unwrap());
        if versions {
            server.keep_versions("models");
        }
        let file = model.path().join("model.bin");
        let put = {
            let (server, file) = (Arc::clone(&server), file.clone());
            move || server.put_with_checksum(&file, "models", "a/model.bin", "crc32", 1)
        };
        fs::write(&file, "weights").unwrap();
        put();
        fs::write(&file, "changed").unwrap();
        let proxy = FaultProxy::start(server.port());
        proxy.damage(Arc::new(move |request, answer| {
            if request.method == method && request.target.starts_with(target) {
                put();
            }
            answer
        }));
        let fetcher = Fetcher::new().with_all(&server.environment()).with("AWS_ENDPOINT_URL", &proxy.url());
        let failed = fetcher.run(&["pull", "--uri", "s3://models/a"]).expect(65);
        let words = "s3://models/a/model.bin changed since it was listed";
        assert!(failed.last_words.contains(words), "{method}: {}", failed.last_words);
        assert!(tree(&fetcher.model()).is_empty());
    }
}

/// Who hands out credentials for a while, in all the ways that AWS has, and a bucket with nothing in it.
fn credentials_of_a_moment(request: &Request) -> Answer {
    let text = |text: String| Answer { body: text.into_bytes(), ..Answer::status("200 OK") };
    let session = |id: &str| {
        text(format!(
            r#"{{"Code": "Success", "AccessKeyId": "{id}", "SecretAccessKey": "c4n4ry-key", "Token": "c4n4ry-of-{id}",
                "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z"}}"#
        ))
    };
    let target = request.target.as_str();
    match target.split('?').next().unwrap() {
        _ if target.contains("Action=AssumeRoleWithWebIdentity")
            && target.contains("WebIdentityToken=c4n4ry-web") =>
        {
            text(
                "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
                 <AccessKeyId>web</AccessKeyId><SecretAccessKey>c4n4ry-key</SecretAccessKey>\
                 <SessionToken>c4n4ry-of-web</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>\
                 </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
                    .to_owned(),
            )
        }
        "/latest/api/token" => text("c4n4ry-imds".to_owned()),
        _ if target.starts_with("/latest/")
            && request.header("x-aws-ec2-metadata-token") != Some("c4n4ry-imds") =>
        {
            Answer::status("401 Unauthorized")
        }
        "/latest/meta-data/iam/security-credentials" | "/latest/meta-data/iam/security-credentials/" => {
            text("role".to_owned())
        }
        "/latest/meta-data/iam/security-credentials/role" => session("instance"),
        "/pod" if request.header("authorization") == Some("c4n4ry-pod") => session("pod"),
        _ => Answer::status("404 Not Found"),
    }
}

#[test]
fn a_session_is_had_from_whoever_the_environment_names() {
    let server = FaultServer::start(|_, request| credentials_of_a_moment(request));
    let folder = tempfile::tempdir().unwrap();
    let token = |content: &str| {
        let path = folder.path().join(content);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let s3 = || {
        let fetcher = Fetcher::new().with("AWS_ENDPOINT_URL", &server.url()).with("AWS_REGION", "eu-1");
        fetcher.with("FETCHER_RETRY_ATTEMPTS", "1").with("FETCHER_LOG_LEVEL", "trace")
    };
    let web = s3()
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", &token("c4n4ry-web"))
        .with("AWS_ROLE_ARN", "arn:aws:iam::1:role/models")
        .with("AWS_ENDPOINT_URL_STS", &server.url());
    let pod = s3()
        .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/pod", server.url()))
        .with("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token("c4n4ry-pod"));
    let instance = s3().with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &server.url());
    for (id, fetcher) in [("web", web), ("pod", pod), ("instance", instance)] {
        let missing = fetcher.run(&["pull", "--uri", "s3://bucket/a"]).expect(66);
        let requests = server.requests();
        let asked = requests.iter().rfind(|request| request.target.starts_with("/bucket")).unwrap();
        let signed = asked.header("authorization").unwrap_or_default();
        assert!(signed.starts_with(&format!("AWS4-HMAC-SHA256 Credential={id}/")), "{id}: {signed}");
        assert_eq!(asked.header("x-amz-security-token"), Some(format!("c4n4ry-of-{id}").as_str()));
        assert!(!missing.stderr.contains("c4n4ry"), "{}", missing.stderr);
    }
}

#[test]
fn a_server_of_another_make_is_read_from() {
    let (server, model) = (S3Server::rclone(), sample_model());
    server.create_bucket("models");
    for (name, content) in tree(model.path()) {
        let path = server.bucket("models").join("a/v1").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::create_dir_all(server.bucket("models").join("a/v1-2")).unwrap();
    fs::write(server.bucket("models").join("a/v1-2/other.bin"), "another model").unwrap();
    let fetcher = Fetcher::new().with_all(&server.environment());
    fetcher.run(&["pull", "--uri", "s3://models/a/v1"]).expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    let single = Fetcher::new().with_all(&server.environment());
    single.run(&["pull", "--uri", "s3://models/a/v1/größe/模型 1.bin"]).expect(0);
    assert_eq!(tree(&single.model()).into_keys().collect::<Vec<_>>(), ["模型 1.bin"]);
    let missing =
        Fetcher::new().with_all(&server.environment()).run(&["pull", "--uri", "s3://models/b"]).expect(66);
    assert_eq!(missing.last_words, "b unversioned: cannot list s3://models/b: s3://models/b does not exist");
}
