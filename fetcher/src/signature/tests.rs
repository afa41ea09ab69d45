use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::signature::statement;

/// The digest of nothing, and of that digest.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A statement over resources that are all empty, right in everything.
fn statement(names: &[&str], serialization: Value) -> Value {
    let (hash, label) = match serialization["method"].as_str() {
        Some("shards") => ("sha256", format!("sha256-sharded-{}", serialization["shard_size"])),
        _ => ("sha256", "sha256".to_owned()),
    };
    let resources: Vec<_> =
        names.iter().map(|name| json!({"name": name, "algorithm": label, "digest": EMPTY})).collect();
    let mut serialization = serialization;
    serialization["hash_type"] = json!(hash);
    let digest: ContentDigest = format!("sha256:{EMPTY}").parse().unwrap();
    let root = handoff::Sha256Digest::of(&digest.as_bytes().repeat(names.len()));
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "https://model_signing/signature/v1.0",
        "subject": [{"name": "m", "digest": {"sha256": root.to_string()}}],
        "predicate": {"serialization": serialization, "resources": resources},
    })
}

fn files(names: &[&str]) -> Value {
    statement(names, json!({"method": "files", "allow_symlinks": false, "ignore_paths": ["skip", "a/b"]}))
}

fn shards(names: &[&str]) -> Value {
    statement(names, json!({"method": "shards", "allow_symlinks": false, "shard_size": 10}))
}

fn parse(statement: &Value) -> Result<SignedManifest, String> {
    statement::parse(statement.to_string().as_bytes(), "me".to_owned()).map_err(|error| error.to_string())
}

fn path(name: &str) -> SafePath {
    name.parse().unwrap()
}

#[test]
fn what_a_signer_left_out_is_known_by_whole_components() {
    let signed = parse(&files(&["a/a", "b"])).unwrap();
    for left_out in ["skip", "skip/x", "a/b", "a/b/c/d", ".git/x", ".gitignore", ".github/x", ".plimsoll/x"] {
        assert!(signed.leaves_out(&path(left_out)), "{left_out}");
    }
    for counted in ["skipped", "a", "a/a", "a/bc", "x/skip", "x/.git", ".gitmodules", ".plimsoll2"] {
        assert!(!signed.leaves_out(&path(counted)), "{counted}");
    }
    assert!(signed.file(&path("a/a")).is_some() && signed.file(&path("a")).is_none());
}

#[test]
fn names_are_in_one_of_two_orders() {
    // `-` comes before `/`, and a component ends before it.
    assert!(parse(&files(&["a/x", "a-/x"])).is_ok(), "by components, as the official tool does");
    assert!(parse(&files(&["a-/x", "a/x"])).is_ok(), "by bytes");
    for names in [&["b", "a"][..], &["a/x", "a-/x", "a-/w"], &["a-/x", "a/x", "A"]] {
        assert!(parse(&files(names)).unwrap_err().contains("not sorted"), "{names:?}");
    }
    assert!(parse(&files(&["a", "a"])).unwrap_err().contains("a is listed twice"));
}

#[test]
fn shards_follow_each_other() {
    let good = parse(&shards(&["a:0:10", "a:10:15", "b:0:3"])).unwrap();
    let sizes: Vec<_> = good.files().iter().map(SignedFile::size).collect();
    assert_eq!((sizes, good.method()), (vec![Some(15), Some(3)], Method::Shards { size: 10 }));
    assert!(parse(&shards(&["a:0:10", "a:10:20", "a:20:30"])).is_ok());
    // By the bytes of their names, `10` comes before `2`.
    let long = |at: u64| format!("a:{}:{}", at * 10, (at + 1) * 10);
    let mut many: Vec<_> = (0..12).map(long).collect();
    many.sort();
    assert!(parse(&shards(&many.iter().map(String::as_str).collect::<Vec<_>>())).is_ok());
    for names in [
        &["a:1:10"][..],
        &["a:0:5", "a:5:10"],
        &["a:0:10", "a:11:20"],
        &["a:0:10", "a:9:19"],
        &["a:0:11"],
        &["a:0:0"],
        &["a:5:0"],
        &["a:0:18446744073709551615"],
    ] {
        let refused = parse(&shards(names)).unwrap_err();
        assert!(refused.contains("the shards of a do not follow each other"), "{names:?}: {refused}");
    }
    for name in ["a", "a:0", "a:0:1:2", "a:x:1", "a:0:18446744073709551616", ":0:1", "a:0:01"] {
        assert!(parse(&shards(&[name])).is_err(), "{name}");
    }
}

#[test]
fn a_shard_size_may_be_written_as_a_float() {
    let mut statement = shards(&["a:0:10"]);
    let mut with = |size: Value| {
        statement["predicate"]["serialization"]["shard_size"] = size;
        parse(&statement)
    };
    assert!(with(json!(10.0)).is_ok());
    for size in [json!(10.5), json!(-10.0), json!(0), json!(1e30), json!("10"), Value::Null] {
        assert!(with(size.clone()).is_err(), "{size}");
    }
}

#[test]
fn what_it_says_of_somebody_else_is_printed_harmlessly() {
    let refused = parse(&files(&["\u{1b}[2J"])).unwrap_err();
    assert!(refused.contains(r"unsafe path `\u{1b}[2J`"), "{refused}");
    let mut statement = files(&["a"]);
    statement["_type"] = json!("\n".repeat(10_000));
    assert!(parse(&statement).unwrap_err().len() < 500);
}

#[test]
fn trust_needs_something_to_trust() {
    for (keys, authorities) in [(None, None), (Some(&b""[..]), None), (None, Some(&b""[..]))] {
        assert!(Trust::new(keys, authorities, None).is_err());
    }
    let private = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let refused = Trust::new(Some(private), None, None).unwrap_err().to_string();
    assert!(refused.starts_with("the trusted public key is not usable: it holds a private key"), "{refused}");
}

proptest! {
    #[test]
    fn nothing_from_outside_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = bundle::parse(&bytes);
        let _ = statement::parse(&bytes, String::new());
        let _ = key::PublicKey::from_der(&bytes);
        let _ = Trust::new(Some(&bytes), None, None);
        let _ = Trust::new(None, Some(&bytes), None);
        let _ = Trust::new(None, None, Some(Sigstore { root: &bytes, identity: "a@b", issuer: "https://i" }));
    }
}
