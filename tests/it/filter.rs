//! Only some of a model's files: what is fetched, what that does to the receipt, and what a next run makes of it.

use std::fs;
use std::path::Path;

use handoff::{Integrity, ModelDigest, Selection};
use plimsoll_tests::s3_server::S3Server;
use tempfile::TempDir;

use crate::fetcher::{Fetcher, digest_by_coreutils, tree};

const FILES: [&str; 6] = [
    "config.json",
    "model.safetensors",
    "onnx/model.onnx",
    "pytorch_model.bin",
    "tokenizer/merges.txt",
    "SHA256SUMS.txt",
];

fn model() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in FILES {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name.repeat(1000)).unwrap();
    }
    folder
}

fn names(folder: &Path) -> Vec<String> {
    tree(folder).into_keys().collect()
}

#[test]
fn what_is_wanted_is_fetched_and_a_change_of_mind_is_noticed() {
    let (model, store) = (model(), tempfile::tempdir().unwrap());
    let registry = format!("catalog+file://{}", store.path().display());
    Fetcher::new().publish(model.path(), &registry, "v1", &[]).expect(0);

    let mut fetcher = Fetcher::new();
    let pull = |fetcher: &Fetcher, more: &[&str]| {
        let named = ["pull", "--registry", &registry, "--model-name", "a", "--model-version", "v1"];
        fetcher.run(&[&named, more].concat())
    };
    pull(&fetcher, &["--preset", "safetensors"]).expect(0);
    let safetensors = ["SHA256SUMS.txt", "config.json", "model.safetensors", "tokenizer/merges.txt"];
    assert_eq!(names(&fetcher.model()), safetensors);
    let receipt = fetcher.receipt();
    assert_eq!((receipt.integrity, receipt.files.len()), (Integrity::Registry, 4));
    assert_eq!(receipt.digest.to_string(), digest_by_coreutils(&fetcher.model()), "of what is here");
    assert!(receipt.selection.exclude.contains(&"*.onnx".to_owned()));

    let again = pull(&fetcher, &["--preset", "safetensors"]).expect(0);
    assert!(again.last_words.ends_with("already in place"), "{}", again.last_words);
    pull(&fetcher, &[]).expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    assert!(fetcher.receipt().selection.is_everything());
    pull(&fetcher, &["--include", "*.json", "--exclude", "tok*"]).expect(0);
    assert_eq!(names(&fetcher.model()), ["config.json"], "what is no longer wanted is gone");
    assert_eq!(fetcher.receipt().selection, Selection::new(vec!["*.json".into()], vec!["tok*".into()]));

    // The same by variables; a manifest writes it so.
    fetcher = fetcher.with("FETCHER_INCLUDE", "*.json").with("FETCHER_EXCLUDE", "[\"tok*\"]");
    let again = pull(&fetcher, &[]).expect(0);
    assert!(again.last_words.ends_with("already in place"), "{}", again.last_words);
}

#[test]
fn a_pin_is_over_what_is_fetched() {
    let (model, store) = (model(), tempfile::tempdir().unwrap());
    let registry = format!("catalog+file://{}", store.path().display());
    Fetcher::new().publish(model.path(), &registry, "v1", &[]).expect(0);
    let some = Fetcher::new().with("FETCHER_PRESET", "tokenizer");
    some.pull(&registry, "a", "v1").expect(0);
    let digest: ModelDigest = some.receipt().digest;
    assert_ne!(digest.to_string(), digest_by_coreutils(model.path()));

    let pinned = Fetcher::new().with("FETCHER_PRESET", "tokenizer").with("MODEL_DIGEST", &digest.to_string());
    pinned.pull(&registry, "a", "v1").expect(0);
    assert_eq!(pinned.receipt().integrity, Integrity::Pinned);
    let whole = Fetcher::new().with("MODEL_DIGEST", &digest.to_string());
    let refused = whole.pull(&registry, "a", "v1").expect(65);
    assert!(
        refused.last_words.starts_with("a v1: digest mismatch: expected sha256:"),
        "{}",
        refused.last_words
    );
    assert!(!whole.has_receipt());
}

#[test]
fn kserve_says_what_is_wanted_in_its_own_words() {
    let (model, server) = (model(), S3Server::start());
    server.create_bucket("models");
    for name in FILES {
        server.put_with_checksum(&model.path().join(name), "models", &format!("m/{name}"), "sha256", 1);
    }
    let fetcher = Fetcher::new()
        .with_all(&server.environment())
        .with("STORAGE_ALLOW_PATTERNS", r#"["*.json", "*.txt"]"#)
        .with("STORAGE_IGNORE_PATTERNS", "SHA*, *.onnx");
    let destination = fetcher.model();
    fetcher.run(&["s3://models/m", destination.to_str().unwrap()]).expect(0);
    assert_eq!(names(&destination), ["config.json", "tokenizer/merges.txt"]);

    // What is left out may be unreadable: nothing of it is asked for.
    fs::remove_file(server.bucket("models").join("m/model.safetensors")).unwrap();
    let ours = fetcher.with("FETCHER_INCLUDE", "*.bin").with("FETCHER_EXCLUDE", "");
    ours.run(&["s3://models/m", destination.to_str().unwrap()]).expect(0);
    assert_eq!(names(&destination), ["pytorch_model.bin"], "our own settings win");
}

#[test]
fn what_selects_nothing_or_is_no_pattern_is_told() {
    let model = model();
    let uri = format!("file://{}", model.path().display());
    let fetcher = Fetcher::new();
    let none = fetcher.run(&["pull", "--uri", &uri, "--include", "*.gguf"]).expect(66);
    let words = format!("{uri} holds 6 files, and none that is wanted, expected `*.gguf`");
    assert!(none.last_words.ends_with(&words), "{}", none.last_words);
    assert!(
        none.stderr.contains("hint: FETCHER_INCLUDE, FETCHER_EXCLUDE and FETCHER_PRESET"),
        "{}",
        none.stderr
    );

    let bad = fetcher.run(&["pull", "--uri", &uri, "--exclude", "[a"]).expect(64);
    assert!(
        bad.stderr.contains("--exclude (FETCHER_EXCLUDE): `[a` is not a pattern: invalid range pattern"),
        "{}",
        bad.stderr
    );
    let of_kserve = Fetcher::new().with("STORAGE_ALLOW_PATTERNS", r#"["*.json", 1]"#);
    let bad = of_kserve.run(&["pull", "--uri", &uri]).expect(64);
    assert!(
        bad.stderr.contains("STORAGE_ALLOW_PATTERNS: expected a JSON array of texts: "),
        "{}",
        bad.stderr
    );
    assert!(!fetcher.has_receipt() && !of_kserve.has_receipt());
}
