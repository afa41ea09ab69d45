//! Kubeflow's model registry: the real one, with models in a real bucket.

use plimsoll_tests::fault_proxy::FaultProxy;
use plimsoll_tests::fault_server::{Answer, FaultServer};
use plimsoll_tests::model_registry::ModelRegistry;
use plimsoll_tests::s3_server::S3Server;
use serde_json::{Value, json};

use crate::fetcher::{Fetcher, digest_by_coreutils, sample_model, tree};

const NAME: &str = "product-recommendation";

/// A bucket with the sample model in each of these folders, and its environment.
fn bucket(folders: &[&str]) -> (S3Server, tempfile::TempDir) {
    let (server, model) = (S3Server::start(), sample_model());
    server.create_bucket("models");
    for folder in folders {
        let root = server.bucket("models").join(folder);
        for (name, content) in tree(model.path()) {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
    }
    (server, model)
}

fn text(value: &str) -> Value {
    json!({"metadataType": "MetadataStringValue", "string_value": value})
}

#[test]
fn a_version_is_found_by_its_name_and_its_newest_model_is_fetched() {
    let ((s3, model), registry) = (bucket(&["v2.2", "v2.3"]), ModelRegistry::start());
    let registered = registry.model(NAME);
    let old = registry.version(&registered, "v2.2");
    registry.artifact(&old, "weights", "s3://models/v2.2", &json!({}));
    let new = registry.version(&registered, "v2.3");
    registry.artifact(&new, "draft", "s3://models/nothing", &json!({}));
    let digest = digest_by_coreutils(model.path());
    let vouched = json!({"customProperties": {"digest": text(&digest)}, "state": "LIVE"});
    registry.artifact(&new, "weights", "s3://models/v2.3", &vouched);
    // What is written about a model is newer than the model, and is none.
    registry.artifact(&new, "card", "https://host/card.md", &json!({"artifactType": "doc-artifact"}));

    let fetcher = || Fetcher::new().with_all(&s3.environment());
    let pulled = fetcher();
    pulled.pull(&registry.registry(), NAME, "v2.3").expect(0);
    assert_eq!(tree(&pulled.model()), tree(model.path()));
    let receipt = pulled.receipt();
    assert_eq!(receipt.resolved.version, "v2.3");
    assert_eq!(receipt.resolved.uri, "s3://models/v2.3");
    assert_eq!((receipt.digest.to_string(), receipt.integrity), (digest, handoff::Integrity::Registry));

    // The same as KServe writes it, and the newest where that is allowed.
    let host = registry.registry().replace("model-registry+http://", "");
    let by_kserve = fetcher().with("MODEL_REGISTRY_BASE_URL", &host);
    by_kserve.run(&["pull", "--uri", &format!("model-registry://{NAME}/v2.2")]).expect(0);
    assert_eq!(by_kserve.receipt().resolved.uri, "s3://models/v2.2");
    let uri = format!("model-registry://{NAME}");
    let refused = by_kserve.run(&["pull", "--uri", &uri]).expect(64);
    assert!(refused.stderr.contains("FETCHER_ALLOW_FLOATING"), "{}", refused.stderr);
    let floating = by_kserve.with("FETCHER_ALLOW_FLOATING", "true");
    floating.run(&["pull", "--uri", &uri]).expect(0);
    assert_eq!(floating.receipt().resolved.version, "v2.3");

    // Bytes that are not those that were registered.
    std::fs::write(s3.bucket("models").join("v2.3/config.json"), "{ }").unwrap();
    let wrong = fetcher();
    let words = wrong.pull(&registry.registry(), NAME, "v2.3").expect(65).last_words;
    assert!(words.contains("digest mismatch on the whole model: expected sha256:"), "{words}");
    assert!(!wrong.has_receipt() && tree(&wrong.model()).is_empty());
}

#[test]
fn the_registry_says_which_server_has_the_bucket() {
    let ((s3, model), registry) = (bucket(&["v1"]), ModelRegistry::start());
    let version = registry.version(&registry.model(NAME), "v1");
    let uri = format!("s3://models/v1?endpoint={}&defaultRegion=us-east-1", s3.url());
    registry.artifact(&version, "weights", &uri, &json!({}));
    // By the environment alone it would be looked for at another server.
    let others = ["AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"];
    let credentials: Vec<_> =
        s3.environment().into_iter().filter(|(name, _)| !others.contains(&name.as_str())).collect();
    let fetcher = Fetcher::new().with_all(&credentials).with("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    fetcher.pull(&registry.registry(), NAME, "v1").expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    assert_eq!(fetcher.receipt().resolved.uri, format!("s3://models/v1 at {}/", s3.url()));
}

#[test]
fn the_newest_model_counts_on_whatever_page_it_is() {
    let ((s3, model), registry) = (bucket(&["v1"]), ModelRegistry::start());
    let version = registry.version(&registry.model(NAME), "v1");
    registry.artifact(&version, "draft", "s3://models/nothing", &json!({}));
    // In the middle of three pages, in whatever order they are.
    let cards = |from: u32| {
        for number in from..from + 110 {
            let card = json!({"artifactType": "doc-artifact"});
            registry.artifact(&version, &format!("card {number}"), "https://host/card.md", &card);
        }
    };
    cards(0);
    registry.artifact(&version, "weights", "s3://models/v1", &json!({}));
    cards(110);
    let front = FaultProxy::start(registry.port());
    let fetcher = Fetcher::new().with_all(&s3.environment());
    fetcher.pull(&format!("model-registry+{}", front.url()), NAME, "v1").expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    let targets = front.exchanges().into_iter().map(|exchange| exchange.request.target);
    let pages: Vec<_> = targets.filter(|target| target.contains("/artifacts?")).collect();
    assert_eq!(pages.len(), 3, "{pages:?}");
    assert!(pages[1..].iter().all(|page| page.contains("nextPageToken=")), "{pages:?}");
}

#[test]
fn a_version_that_moved_after_it_was_resolved_is_held_to_its_digest() {
    let ((s3, model), registry) = (bucket(&["v1", "copy", "other"]), ModelRegistry::start());
    std::fs::write(s3.bucket("models").join("other/config.json"), "{\"another\": \"model\"}").unwrap();
    let version = registry.version(&registry.model(NAME), "v1");
    let artifact = registry.artifact(&version, "weights", "s3://models/v1", &json!({}));
    let moved = |uri: &str, more: &Value| {
        let mut change = json!({"artifactType": "model-artifact", "uri": uri});
        change.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        registry.call("PATCH", &format!("model_artifacts/{artifact}"), &change);
    };
    let fetcher = || Fetcher::new().with_all(&s3.environment());
    let resolve = |fetcher: &Fetcher| -> Value {
        let named = ["--registry", &registry.registry(), "--model-name", NAME, "--model-version", "v1"];
        let plan = fetcher.run(&[&["resolve", "--output", "json"][..], &named].concat()).expect(0).stdout;
        serde_json::from_str(&plan).unwrap()
    };
    let pull = |fetcher: &Fetcher, code: i32| fetcher.pull(&registry.registry(), NAME, "v1").expect(code);
    let digest = digest_by_coreutils(model.path());
    let pinned = || fetcher().with("MODEL_DIGEST", &digest);

    let first = fetcher();
    assert_eq!(resolve(&first)["resolved"]["uri"], "s3://models/v1");
    pull(&first, 0);
    assert_eq!(first.receipt().digest.to_string(), digest);

    // The registry keeps no digest: what is in place stays, and a pin tells a copy from another model.
    moved("s3://models/other", &json!({}));
    assert!(pull(&first, 0).last_words.ends_with("already in place"));
    assert_eq!(tree(&first.model()), tree(model.path()));
    let unpinned = fetcher();
    pull(&unpinned, 0);
    assert_eq!(unpinned.receipt().resolved.uri, "s3://models/other");
    assert_ne!(unpinned.receipt().digest.to_string(), digest);
    let refused = |fetcher: &Fetcher, words: &str| {
        let told = pull(fetcher, 65).last_words;
        assert!(told.contains(words), "{told}");
        assert!(!fetcher.has_receipt() && tree(&fetcher.model()).is_empty());
    };
    let mismatch = format!("digest mismatch on the whole model: expected {digest}, got sha256:");
    refused(&pinned(), &mismatch);
    moved("s3://models/copy", &json!({}));
    pull(&pinned(), 0);

    // The registry does: the plan has it.
    let vouched = json!({"customProperties": {"digest": text(&digest)}});
    moved("s3://models/copy", &vouched);
    let plan = resolve(&fetcher());
    assert_eq!((&plan["resolved"]["uri"], &plan["digest"]), (&json!("s3://models/copy"), &json!(digest)));
    moved("s3://models/other", &vouched);
    refused(&fetcher(), &mismatch);
    // Another model with a digest of its own is one, and not the one that is pinned.
    let other = unpinned.receipt().digest.to_string();
    let newer = json!({"customProperties": {"digest": text(&other)}});
    registry.artifact(&version, "weights 2", "s3://models/other", &newer);
    pull(&fetcher(), 0);
    let words = format!("digest mismatch: expected {digest} (pinned), got {other} from the registry");
    refused(&pinned(), &words);
}

#[test]
fn what_is_not_to_be_fetched_is_told_in_a_line() {
    let registry = ModelRegistry::start();
    let told = |name: &str, version: &str, code: i32| {
        let outcome = Fetcher::new().pull(&registry.registry(), name, version).expect(code);
        outcome.last_words.strip_prefix(&format!("{name} {version}: ")).unwrap().to_owned()
    };
    let shown = registry.registry();
    assert_eq!(told("nobody", "v1", 66), format!("model `nobody` does not exist in {shown}"));
    let model = registry.model(NAME);
    let missing = |version: &str| format!("version `{version}` of `{NAME}` does not exist in {shown}");
    assert_eq!(told(NAME, "v9", 66), missing("v9"));
    assert_eq!(told(NAME, "@champion", 66), missing("@champion"));

    let empty = registry.version(&model, "empty");
    let none = format!("version `empty` of `{NAME}` has no model in {shown}: ");
    assert_eq!(
        told(NAME, "empty", 66),
        format!("{none}it has no artifact of the type model-artifact, and 0 of others")
    );
    let by_key = json!({"uri": null, "storageKey": "minio", "storagePath": "fraud/1"});
    registry.artifact(&empty, "weights", "", &by_key);
    let words = "its artifact `weights` has no uri, only the storage key `minio`, which only KServe's Secret explains";
    assert_eq!(told(NAME, "empty", 66), format!("{none}{words}"));

    let deleted = registry.version(&model, "deleted");
    registry.artifact(&deleted, "weights", "s3://models/x", &json!({"state": "DELETED"}));
    let words =
        format!("version `deleted` of `{NAME}` has no model in {shown}: its artifact `weights` is DELETED");
    assert_eq!(told(NAME, "deleted", 66), words);

    let local = registry.version(&model, "local");
    registry.artifact(&local, "weights", "file:///etc/passwd", &json!({}));
    let words = format!(
        "{shown} says the bytes of `{NAME}` are at an address that is not usable: unsupported scheme `file`, expected s3, http or https from a registry"
    );
    assert_eq!(told(NAME, "local", 64), words);

    let archived = registry.version(&model, "archived");
    registry.artifact(&archived, "weights", "s3://models/x", &json!({}));
    registry.call("PATCH", &format!("model_versions/{archived}"), &json!({"state": "ARCHIVED"}));
    assert_eq!(told(NAME, "archived", 66), format!("version `archived` of `{NAME}` is archived in {shown}"));

    // Something else at that address.
    let other =
        FaultServer::start(|_, _| Answer { body: b"<html>".to_vec(), ..Answer::status("404 Not Found") });
    let at_other = format!("model-registry+{}", other.url());
    let words = Fetcher::new().pull(&at_other, NAME, "v1").expect(64).last_words;
    assert!(words.ends_with("404 Not Found, and not in the registry's words"), "{words}");
}

#[test]
fn the_bearer_of_a_token_is_let_in_and_its_lack_is_said() {
    let (folder, content) = (tempfile::tempdir().unwrap(), b"weights".to_vec());
    let token = folder.path().join("token");
    std::fs::write(&token, "c4n4ry-token\n").unwrap();
    let server = FaultServer::start(move |_, request| {
        if request.target == "/model.bin" {
            return Answer::file(request, &content, "\"1\"");
        }
        if request.header("authorization") != Some("Bearer c4n4ry-token") {
            return Answer { body: b"{}".to_vec(), ..Answer::status("401 Unauthorized") };
        }
        let host = request.header("host").unwrap();
        let answer = match request.target.split('?').next().unwrap().rsplit('/').next().unwrap() {
            "artifacts" => {
                json!({"items": [{"artifactType": "model-artifact", "uri": format!("http://{host}/model.bin")}]})
            }
            _ => json!({"id": "1", "name": "v1"}),
        };
        Answer { body: answer.to_string().into_bytes(), ..Answer::status("200 OK") }
    });
    let registry = format!("model-registry+{}", server.url());
    let by_file = Fetcher::new().with("MODEL_REGISTRY_TOKEN_FILE", token.to_str().unwrap());
    let by_value = Fetcher::new().with("MODEL_REGISTRY_TOKEN", "c4n4ry-token");
    for fetcher in [by_file, by_value] {
        fetcher.pull(&registry, NAME, "v1").expect(0);
        assert_eq!(tree(&fetcher.model())["model.bin"], b"weights");
    }
    let bytes = server.requests().into_iter().filter(|request| request.target == "/model.bin");
    assert!(
        bytes.clone().count() > 0 && bytes.clone().all(|request| request.header("authorization").is_none())
    );

    let nobody = Fetcher::new().with("MODEL_REGISTRY_TOKEN", "wrong-c4n4ry");
    let refused = nobody.pull(&registry, NAME, "v1").expect(77);
    assert!(refused.last_words.contains("was refused (401 Unauthorized)"), "{}", refused.last_words);
    assert!(refused.stderr.contains("hint: check the registry's credentials"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("c4n4ry"), "{}", refused.stderr);
}

#[test]
fn a_listing_without_end_is_not_taken_for_a_whole_one() {
    let server = FaultServer::start(|_, request| {
        let answer = match request.target.contains("/artifacts") {
            true => {
                json!({"items": [{"artifactType": "model-artifact", "uri": "s3://models/x"}], "nextPageToken": "more"})
            }
            false => json!({"id": "1", "name": "v1"}),
        };
        Answer { body: answer.to_string().into_bytes(), ..Answer::status("200 OK") }.kept()
    });
    let registry = format!("model-registry+{}", server.url());
    let words = Fetcher::new().pull(&registry, NAME, "v1").expect(65).last_words;
    let expected = "is not usable: it has more than 1000 pages or 100000 entries";
    assert!(words.ends_with(expected), "{words}");
}
