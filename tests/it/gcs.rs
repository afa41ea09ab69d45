//! Google Cloud Storage, by a server of others that speaks its protocol; what it does not hold anybody to is held here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use handoff::Integrity;
use plimsoll_tests::fault_server::{Answer, FaultServer, Request};
use plimsoll_tests::gcs_server::GcsServer;
use plimsoll_tests::process;

mod federation;

use crate::fetcher::{Fetcher, digest_by_coreutils, noise, sample_model, tree};

/// A server with the sample model below `models/a/v1`, and a neighbour whose name begins in the same way.
pub fn server() -> (GcsServer, tempfile::TempDir) {
    let (folder, model) = (tempfile::tempdir().unwrap(), sample_model());
    for (path, content) in tree(model.path()) {
        let file = folder.path().join("models/a/v1").join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    fs::create_dir_all(folder.path().join("models/a/v1-2")).unwrap();
    fs::write(folder.path().join("models/a/v1-2/other.bin"), "another model").unwrap();
    (GcsServer::start(folder.path()), model)
}

fn fetcher(server: &GcsServer) -> Fetcher {
    Fetcher::new().with("STORAGE_EMULATOR_HOST", &server.url()).with("FETCHER_RETRY_ATTEMPTS", "2")
}

#[test]
fn a_prefix_is_pulled_without_its_neighbours_and_checked() {
    let (server, model) = server();
    // What consoles leave behind for folders; and an empty file, which is one.
    server.put("models", "a/v1/", b"", &[]);
    server.put("models", "a/v1/empty/", b"", &[]);
    server.put("models", "a/v1/__init__.py", b"", &[]);
    let fetcher = fetcher(&server);
    fetcher.run(&["pull", "--uri", "gs://models/a/v1"]).expect(0);
    let mut expected = tree(model.path());
    expected.insert("__init__.py".to_owned(), Vec::new());
    assert_eq!(tree(&fetcher.model()), expected);
    let files = fetcher.receipt().files;
    assert!(files.iter().all(|file| file.checked == Integrity::Store), "{files:?}");

    let single = self::fetcher(&server);
    single.run(&["pull", "--uri", "gs://models/a/v1/größe/模型 1.bin"]).expect(0);
    assert_eq!(
        tree(&single.model()).into_iter().collect::<Vec<_>>(),
        [("模型 1.bin".to_owned(), noise(70_000))]
    );
}

#[test]
fn what_is_stored_compressed_is_taken_as_it_is_stored() {
    let (server, _) = server();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("vocabulary.json"), "{\"a\": 1}\n".repeat(1000)).unwrap();
    process::run(Command::new("gzip").arg("vocabulary.json").current_dir(folder.path()));
    let packed = fs::read(folder.path().join("vocabulary.json.gz")).unwrap();
    server.put("models", "packed/vocabulary.json", &packed, &[("contentEncoding", "gzip")]);
    let fetcher = fetcher(&server);
    fetcher.run(&["pull", "--uri", "gs://models/packed"]).expect(0);
    assert_eq!(tree(&fetcher.model())["vocabulary.json"], packed);
    assert_eq!(fetcher.receipt().files[0].checked, Integrity::Store);
}

#[test]
fn a_catalog_is_published_to_and_pulled_from() {
    let (server, model) = server();
    let fetcher = fetcher(&server);
    let registry = "catalog+gs://models/production";
    fetcher.publish(model.path(), registry, "v1", &["--alias", "champion"]).expect(0);
    fetcher.pull(registry, "a", "@champion").expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    assert_eq!(fetcher.receipt().digest.to_string(), digest_by_coreutils(model.path()));

    fs::write(model.path().join("config.json"), "{\"second\": true}").unwrap();
    let refused = fetcher.publish(model.path(), registry, "v1", &[]).expect(64);
    assert!(
        refused.stderr.contains("a v1 exists already in catalog+gs://models/production"),
        "{}",
        refused.stderr
    );
    // The alias moves by compare-and-swap.
    fetcher.publish(model.path(), registry, "v2", &["--alias", "champion"]).expect(0);
    fetcher.pull(registry, "a", "@champion").expect(0);
    assert_eq!(fetcher.receipt().resolved.version, "v2");
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
}

#[test]
fn what_is_not_there_is_said_to_be_missing() {
    let (server, _) = server();
    for uri in ["gs://models/nothing", "gs://no-such-bucket/a"] {
        let missing = fetcher(&server).run(&["pull", "--uri", uri]).expect(66);
        let words = format!("cannot list {uri}: {uri} does not exist");
        assert!(missing.last_words.ends_with(&words), "{}", missing.last_words);
    }
}

/// An answer as Google's API gives it.
fn json(value: &serde_json::Value) -> Answer {
    let answer = Answer { body: value.to_string().into_bytes(), ..Answer::status("200 OK") };
    answer.with("Content-Type", "application/json")
}

/// What is listed of an object that is empty, or `weights`.
fn object(name: &str, content: &str, generation: u32) -> serde_json::Value {
    let md5 = if content.is_empty() { "1B2M2Y8AsgTpgAmY7PhCfg==" } else { "Y/Tx6bclNw9FlyBXXNX5Uw==" };
    let (size, generation) = (content.len().to_string(), generation.to_string());
    serde_json::json!({"name": name, "size": size, "generation": generation, "md5Hash": md5})
}

/// A bucket with the one object `a/model.bin`, for those whom `lets_in` does.
fn bucket(lets_in: impl Fn(&Request) -> bool + Send + Sync + 'static) -> FaultServer {
    FaultServer::start(move |_, request| {
        if !lets_in(request) {
            return Answer::status("401 Unauthorized");
        }
        match request.target.split_once('?').unwrap_or_default() {
            ("/storage/v1/b/models/o", _) => {
                json(&serde_json::json!({"items": [object("a/model.bin", "weights", 7)]}))
            }
            ("/storage/v1/b/models/o/a%2Fmodel.bin", "alt=media&generation=7") => {
                Answer::file(request, b"weights", "\"x\"").with("x-goog-generation", "7")
            }
            _ => Answer::status("404 Not Found"),
        }
    })
}

#[test]
fn an_object_that_was_overwritten_after_it_was_listed_is_not_read() {
    for (status, generation) in [("404 Not Found", "7"), ("200 OK", "8")] {
        let server = FaultServer::start(move |_, request| match request.target.contains("alt=media") {
            false => json(&serde_json::json!({"items": [object("a/model.bin", "weights", 7)]})),
            true if status.starts_with("404") => Answer::status(status),
            // By a server that pays no heed to what it is asked for.
            true => Answer::file(request, b"changed", "\"x\"").with("x-goog-generation", generation),
        });
        let fetcher = Fetcher::new().with("STORAGE_EMULATOR_HOST", &server.url());
        let failed = fetcher.run(&["pull", "--uri", "gs://models/a"]).expect(65);
        assert!(
            failed.last_words.contains("gs://models/a/model.bin changed since it was listed"),
            "{failed:?}"
        );
        assert!(server.requests().iter().any(|request| request.target.contains("generation=7")));
        assert!(tree(&fetcher.model()).is_empty());
    }
}

#[test]
fn a_long_listing_is_read_page_by_page_and_has_an_end() {
    let page = |number: u32, next: Option<u32>| {
        let items: Vec<_> = (0..1000).map(|file| object(&format!("a/{number}/{file}"), "", 1)).collect();
        json(&serde_json::json!({"items": items, "nextPageToken": next.map(|next| next.to_string())}))
    };
    let token = |request: &Request| {
        let token = request.target.split('&').find_map(|pair| pair.strip_prefix("pageToken=")?.parse().ok());
        token.unwrap_or(0)
    };
    let server = FaultServer::start(move |_, request| {
        let number = token(request);
        page(number, (number < 9).then_some(number + 1)).kept()
    });
    let resolve = |server: &FaultServer| {
        let fetcher = Fetcher::new().with("STORAGE_EMULATOR_HOST", &server.url());
        fetcher.run(&["resolve", "--uri", "gs://models/a"])
    };
    let plan = resolve(&server).expect(0).stdout;
    assert_eq!(plan.matches("  store  ").count(), 10_000, "{}", &plan[..300]);
    assert_eq!(server.requests().len(), 10);

    let circle = FaultServer::start(move |_, _| page(0, Some(1)));
    let failed = resolve(&circle).expect(64);
    assert!(failed.last_words.contains("the page after a page is that page again"), "{}", failed.last_words);
}

/// The fetcher as an account of Google's, of buckets that are at another address than Google's.
pub fn with_account(url: &str, folder: &Path, account: &str) -> Fetcher {
    let file = folder.join("account.json");
    fs::write(&file, account).unwrap();
    Fetcher::new()
        .with("STORAGE_EMULATOR_HOST", url)
        .with("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap())
        .with("FETCHER_RETRY_ATTEMPTS", "2")
}

/// A service account with a key of its own, whose files are in the folder.
pub fn account(folder: &Path) -> serde_json::Value {
    let make = "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem &&
        openssl pkey -in key.pem -pubout -out public.pem";
    process::run(Command::new("sh").args(["-ec", make]).current_dir(folder));
    serde_json::json!({
        "type": "service_account", "client_email": "reader@plimsoll.example", "private_key_id": "key-1",
        "private_key": fs::read_to_string(folder.join("key.pem")).unwrap(),
    })
}

#[test]
fn a_service_account_signs_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let account = account(folder.path());
    let server =
        bucket(|request| request.header("authorization").is_some_and(|word| word.starts_with("Bearer ")));
    let fetcher = with_account(&server.url(), folder.path(), &account.to_string());
    fetcher.run(&["pull", "--uri", "gs://models/a"]).expect(0);
    assert_eq!(tree(&fetcher.model())["model.bin"], b"weights");
    for request in server.requests() {
        let token = request.header("authorization").unwrap().trim_start_matches("Bearer ").to_owned();
        let claims = verified(folder.path(), &token);
        assert_eq!(claims["iss"], "reader@plimsoll.example");
    }

    // A key that the bucket does not know.
    let server = bucket(|_| false);
    let fetcher = with_account(&server.url(), folder.path(), &account.to_string());
    let refused = fetcher.run(&["pull", "--uri", "gs://models/a"]).expect(77);
    assert_eq!(
        refused.last_words,
        "a unversioned: cannot list gs://models/a: access to gs://models/a was refused (401 Unauthorized)"
    );
    assert!(refused.stderr.contains("hint: check the store's credentials"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("PRIVATE"), "{}", refused.stderr);

    for (text, words) in [("{", "EOF while parsing"), (r#"{"type": "canary"}"#, "unknown variant")] {
        let refused = with_account(&server.url(), folder.path(), text)
            .run(&["pull", "--uri", "gs://models/a"])
            .expect(64);
        assert!(refused.last_words.contains("the file of GOOGLE_APPLICATION_CREDENTIALS"), "{refused:?}");
        assert!(refused.last_words.contains(words), "{refused:?}");
    }
}

/// The claims of a token, whose signature OpenSSL checks with the public key in the folder.
pub fn verified(folder: &Path, token: &str) -> BTreeMap<String, serde_json::Value> {
    let script = "import base64, subprocess, sys
decode = lambda text: base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))
signed, signature = sys.argv[1].rsplit('.', 1)
open('signed', 'w').write(signed); open('signature', 'wb').write(decode(signature))
command = 'openssl dgst -sha256 -verify public.pem -signature signature signed'
subprocess.run(command.split(), check=True, stdout=subprocess.DEVNULL)
print(decode(signed.split('.')[1]).decode())";
    let printed = process::run(Command::new("python3").args(["-c", script, token]).current_dir(folder));
    serde_json::from_str(&printed).unwrap()
}

#[test]
fn an_open_bucket_needs_no_account() {
    let server = bucket(|request| request.header("authorization").is_none());
    let fetcher = Fetcher::new().with("STORAGE_EMULATOR_HOST", &server.url());
    fetcher.run(&["pull", "--uri", "gs://models/a"]).expect(0);
    assert_eq!(tree(&fetcher.model())["model.bin"], b"weights");
}

#[test]
fn the_metadata_server_says_who_we_are() {
    let metadata = FaultServer::start(|_, request| {
        let path = "/computeMetadata/v1/instance/service-accounts/default/token";
        match request.target.starts_with(path) && request.header("metadata-flavor") == Some("Google") {
            true => json(&serde_json::json!({"access_token": "canary-token", "expires_in": 3600})),
            false => Answer::status("403 Forbidden"),
        }
    });
    let server = bucket(|request| request.header("authorization") == Some("Bearer canary-token"));
    let asking = |server: &FaultServer, metadata: &str| {
        Fetcher::new()
            .with("STORAGE_EMULATOR_HOST", &server.url())
            .with("GCE_METADATA_HOST", metadata)
            .with("GCE_METADATA_IP", metadata)
            .with("FETCHER_LOG_LEVEL", "trace")
            .with("FETCHER_RETRY_ATTEMPTS", "2")
    };
    let fetcher = asking(&server, metadata.url().trim_start_matches("http://"));
    let outcome = fetcher.run(&["pull", "--uri", "gs://models/a"]).expect(0);
    assert_eq!(tree(&fetcher.model())["model.bin"], b"weights");
    assert_eq!(metadata.requests().len(), 1, "a token is asked for once");
    assert!(!outcome.stderr.contains("canary"), "{}", outcome.stderr);

    // Nobody answers: the bucket may be open all the same.
    let nobody = format!("127.0.0.1:{}", process::free_port());
    let open = bucket(|request| request.header("authorization").is_none());
    let fetcher = asking(&open, &nobody);
    fetcher.run(&["pull", "--uri", "gs://models/a"]).expect(0);
    assert_eq!(tree(&fetcher.model())["model.bin"], b"weights");

    // It is not, and the server may not have been up yet: this is tried again.
    let failed = asking(&server, &nobody).run(&["pull", "--uri", "gs://models/a"]).expect(69);
    let words = failed.last_words.replace(&nobody, "HOST");
    let expected = "a unversioned: cannot list gs://models/a: gave up after 2 attempts, 0 s into the run: gs://models/a is \
        unavailable: it refuses requests without credentials (401 Unauthorized), and the metadata server with \
        credentials is unavailable: cannot reach HOST: Connection refused (os error 111)";
    assert_eq!(words, expected);
}
