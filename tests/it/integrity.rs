//! The integrity ladder: who vouches for a file, what is good enough, and that nobody's word is overheard.

use std::fs;
use std::process::Command;

use handoff::{Integrity, Sha256Digest};
use plimsoll_tests::gcs_server::GcsServer;
use plimsoll_tests::mlflow_server::{MlflowServer, Options};
use plimsoll_tests::process;
use plimsoll_tests::s3_server::S3Server;
use tempfile::TempDir;

use crate::fetcher::{Fetcher, noise, sample_model, tree};

/// What the receipt says of one file.
fn rung(fetcher: &Fetcher, path: &str) -> Integrity {
    let receipt = fetcher.receipt();
    receipt.files.iter().find(|file| file.path.as_str() == path).unwrap().checked
}

fn bucket() -> S3Server {
    let server = S3Server::start();
    server.create_bucket("models");
    server
}

fn file(content: &[u8]) -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, content).unwrap();
    (folder, path)
}

#[test]
fn what_s3_keeps_a_checksum_of_is_held_to_it() {
    let (server, content) = (bucket(), noise(300_000));
    let (_folder, path) = file(&content);
    let algorithms = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"];
    for algorithm in algorithms {
        server.put_with_checksum(&path, "models", &format!("m/{algorithm}.bin"), algorithm, 1);
    }
    let fetcher = Fetcher::new().with_all(&server.environment()).with("FETCHER_INTEGRITY", "store");
    let done = fetcher.run(&["pull", "--uri", "s3://models/m"]).expect(0);
    assert!(done.stderr.contains("every file is verified: 5 store"), "{}", done.stderr);
    assert_eq!((fetcher.receipt().integrity, fetcher.receipt().files.len()), (Integrity::Store, 5));

    // The disk of the store rots, and only its own checksum can tell.
    for algorithm in algorithms {
        let object = server.bucket("models").join(format!("m/{algorithm}.bin"));
        let mut rotten = content.clone();
        rotten[250_000] ^= 4;
        fs::write(&object, &rotten).unwrap();
        let fetcher = Fetcher::new().with_all(&server.environment());
        let failed = fetcher.run(&["pull", "--uri", "s3://models/m"]).expect(65);
        let words = format!("checksum mismatch on {algorithm}.bin: expected {algorithm} ");
        assert!(failed.last_words.contains(&words), "{}", failed.last_words);
        assert!(tree(&fetcher.model()).is_empty() && !fetcher.has_receipt());
        fs::write(&object, &content).unwrap();
    }
}

#[test]
fn a_composite_checksum_is_not_taken_for_one_of_the_whole() {
    let (server, content) = (bucket(), noise(11_000_000));
    let (_folder, path) = file(&content);
    server.put_with_checksum(&path, "models", "m/composite.bin", "sha256", 2);
    server.put_with_checksum(&path, "models", "m/full.bin", "full-crc32", 2);
    let fetcher = Fetcher::new().with_all(&server.environment());
    fetcher.run(&["pull", "--uri", "s3://models/m"]).expect(0);
    assert_eq!(rung(&fetcher, "composite.bin"), Integrity::Recorded);
    assert_eq!(rung(&fetcher, "full.bin"), Integrity::Store);
    assert_eq!(fetcher.receipt().integrity, Integrity::Recorded, "the weakest of all");
    let strict = Fetcher::new().with_all(&server.environment()).with("FETCHER_INTEGRITY", "store");
    let refused = strict.run(&["pull", "--uri", "s3://models/m"]).expect(65);
    let words = "composite.bin can only be recorded, expected at least store";
    assert!(refused.last_words.ends_with(words), "{}", refused.last_words);
}

#[test]
fn an_anonymous_reader_gets_checksums_too() {
    let (server, content) = (bucket(), noise(1000));
    let (_folder, path) = file(&content);
    server.put_with_checksum(&path, "models", "m/a.bin", "crc32c", 1);
    server.let_anybody_read("models");
    let fetcher = Fetcher::new()
        .with("AWS_ENDPOINT_URL", &server.url())
        .with("AWS_SKIP_SIGNATURE", "true")
        .with("AWS_REGION", "us-east-1");
    fetcher.run(&["pull", "--uri", "s3://models/m/a.bin"]).expect(0);
    assert_eq!(rung(&fetcher, "a.bin"), Integrity::Store);
}

#[test]
fn what_google_keeps_a_checksum_of_is_held_to_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("models")).unwrap();
    fs::write(folder.path().join("models/a.bin"), noise(100_000)).unwrap();
    let server = GcsServer::start(folder.path());
    let fetcher = Fetcher::new();
    fetcher.run(&["pull", "--uri", &format!("{}/models/a.bin", server.url())]).expect(0);
    assert_eq!(rung(&fetcher, "a.bin"), Integrity::Store);
}

#[test]
fn sums_beside_the_weights_count_in_every_folder() {
    let model = sample_model();
    let sums = |folder: &str, name: &str| {
        let printed =
            process::run(Command::new("sha256sum").arg(name).current_dir(model.path().join(folder)));
        fs::write(model.path().join(folder).join("SHA256SUMS"), printed).unwrap();
    };
    sums("", "model.safetensors");
    sums("deep/er", "and/deeper/still.bin");
    let uri = format!("file://{}", model.path().display());
    let fetcher = Fetcher::new();
    fetcher.run(&["pull", "--uri", &uri]).expect(0);
    for path in ["model.safetensors", "SHA256SUMS", "deep/er/SHA256SUMS", "deep/er/and/deeper/still.bin"] {
        assert_eq!(rung(&fetcher, path), Integrity::Manifest, "{path}");
    }
    assert_eq!(rung(&fetcher, "config.json"), Integrity::Recorded);

    fs::write(model.path().join("deep/er/and/deeper/still.bin"), "?").unwrap();
    let failed = Fetcher::new().run(&["pull", "--uri", &uri]).expect(65);
    let words = "checksum mismatch on deep/er/and/deeper/still.bin";
    assert!(failed.last_words.contains(words), "{}", failed.last_words);

    // Two who vouch for the same file and do not agree: one of them is wrong, whichever.
    let other = format!("{}  er/and/deeper/still.bin\n", Sha256Digest::of(b"other"));
    fs::write(model.path().join("deep/SHA256SUMS"), other).unwrap();
    let failed = Fetcher::new().run(&["pull", "--uri", &uri]).expect(65);
    let words = "digest mismatch on deep/er/and/deeper/still.bin: sha256:";
    assert!(failed.last_words.contains(words), "{}", failed.last_words);

    fs::write(model.path().join("deep/SHA256SUMS"), "not sums").unwrap();
    let failed = Fetcher::new().run(&["pull", "--uri", &uri]).expect(65);
    assert!(failed.last_words.contains("deep/SHA256SUMS is not usable: line 1: "), "{}", failed.last_words);
}

#[test]
fn tags_of_a_version_in_mlflow_vouch_for_it() {
    const NAME: &str = "recommendation";
    let server = MlflowServer::start(&Options::default());
    let model = server.register_model(NAME, &[], &[]);
    let pull = |least: &str| {
        let fetcher = Fetcher::new().with_all(server.environment()).with("FETCHER_INTEGRITY", least);
        let outcome = fetcher.pull(&server.registry(), NAME, &model.version);
        (fetcher, outcome)
    };
    let (_, refused) = pull("registry");
    assert!(refused.expect(65).last_words.contains("can only be recorded, expected at least registry"));

    // As coreutils write it, for all files.
    let sums: Vec<_> = model.files.iter().map(|file| format!("{}  {}\n", file.sha256, file.path)).collect();
    server.set_version_tag(NAME, &model.version, "sha256sums", &sums.concat());
    let (fetcher, outcome) = pull("registry");
    outcome.expect(0);
    assert_eq!(fetcher.receipt().integrity, Integrity::Registry);

    // For some of them, and the digest of the whole vouches for the rest.
    server.set_version_tag(NAME, &model.version, "sha256sums", &sums[0]);
    assert_eq!(pull("registry").1.code, 65);
    server.set_version_tag(NAME, &model.version, "digest", &model.digest().to_string());
    let (fetcher, outcome) = pull("registry");
    outcome.expect(0);
    assert_eq!(fetcher.receipt().integrity, Integrity::Registry);

    // And a lie is found out.
    server.set_version_tag(NAME, &model.version, "digest", &format!("sha256:{}", "0".repeat(64)));
    let (fetcher, outcome) = pull("recorded");
    let words = "digest mismatch on the whole model: expected sha256:0000";
    assert!(outcome.expect(65).last_words.contains(words));
    assert!(tree(&fetcher.model()).is_empty() && !fetcher.has_receipt());
    server.set_version_tag(NAME, &model.version, "digest", "latest");
    let (_, outcome) = pull("recorded");
    assert!(outcome.expect(65).last_words.contains("is not usable: `digest`: expected `sha256:`"));
}
