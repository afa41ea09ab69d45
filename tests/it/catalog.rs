//! A catalog in a local directory: publish, pull, and everything that must not happen in between.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;

use handoff::Integrity;

use crate::fetcher::{Fetcher, digest_by_coreutils, noise, sample_model, tree};

fn catalog(folder: &Path) -> String {
    format!("catalog+file://{}", folder.display())
}

#[test]
fn a_published_model_comes_back_byte_for_byte() {
    let (model, store, fetcher) = (sample_model(), tempfile::tempdir().unwrap(), Fetcher::new());
    let registry = catalog(store.path());
    fetcher.publish(model.path(), &registry, "v1", &["--metric", "f1=0.93"]).expect(0);
    let pulled = fetcher.pull(&registry, "a", "v1").expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    let receipt = fetcher.receipt();
    assert_eq!(receipt.digest.to_string(), digest_by_coreutils(model.path()));
    assert_eq!(receipt.integrity, Integrity::Registry);
    assert!(pulled.last_words.starts_with("a v1 sha256:"), "{}", pulled.last_words);
    assert!(!fetcher.layout().staging().exists(), "nothing is left in the staging area");
    fetcher.run(&["verify", fetcher.model().to_str().unwrap()]).expect(0);
    let digest = fetcher.run(&["digest", fetcher.model().to_str().unwrap()]).expect(0);
    assert!(digest.stderr.contains(&receipt.digest.to_string()), "{}", digest.stderr);
    assert_eq!(digest.stdout.lines().count(), receipt.files.len());
}

#[test]
fn a_version_is_published_once() {
    let (model, store, fetcher) = (sample_model(), tempfile::tempdir().unwrap(), Fetcher::new());
    let registry = catalog(store.path());
    fetcher.publish(model.path(), &registry, "v1", &[]).expect(0);
    let seen = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
    };
    let descriptor = store.path().join("a/v1/model.yaml");
    let (before, before_tree) = (seen(&descriptor), tree(store.path()));
    for changed in [false, true] {
        if changed {
            fs::write(model.path().join("config.json"), "{\"other\": 1}").unwrap();
        }
        let refused = fetcher.publish(model.path(), &registry, "v1", &["--alias", "best"]).expect(64);
        assert!(refused.stderr.contains("a v1 exists already"), "{}", refused.stderr);
        assert_eq!((seen(&descriptor), tree(store.path())), (before, before_tree.clone()));
    }
}

#[test]
fn of_publishers_at_the_same_time_one_wins_and_its_content_is_whole() {
    let (store, fetcher) = (tempfile::tempdir().unwrap(), Fetcher::new());
    let registry = catalog(store.path());
    let publish = |content: u8| {
        let (registry, model) = (registry.clone(), tempfile::tempdir().unwrap());
        thread::spawn(move || {
            fs::write(model.path().join("m.bin"), vec![content; 400_000]).unwrap();
            fs::write(model.path().join("n.bin"), vec![content; 400_000]).unwrap();
            let outcome = Fetcher::new().publish(model.path(), &registry, "v1", &[]);
            (content, outcome)
        })
    };
    let running: Vec<_> = (0..6).map(publish).collect();
    let outcomes: Vec<_> = running.into_iter().map(|thread| thread.join().unwrap()).collect();
    let winners: Vec<_> = outcomes.iter().filter(|(_, outcome)| outcome.code == 0).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|(_, outcome)| [0, 64].contains(&outcome.code)), "{outcomes:?}");
    fetcher.pull(&registry, "a", "v1").expect(0);
    assert!(tree(&fetcher.model()).values().all(|file| *file == vec![winners[0].0; 400_000]));
}

#[test]
fn a_claim_of_other_content_keeps_a_second_publisher_out() {
    let (model, store, fetcher) = (sample_model(), tempfile::tempdir().unwrap(), Fetcher::new());
    let registry = catalog(store.path());
    let claim = store.path().join("a/v1/.publishing");
    fs::create_dir_all(claim.parent().unwrap()).unwrap();
    fs::write(&claim, "sha256:of something else").unwrap();
    let refused = fetcher.publish(model.path(), &registry, "v1", &[]).expect(64);
    assert!(refused.stderr.contains("is under way or was cut off"), "{}", refused.stderr);
    assert_eq!(tree(store.path()).len(), 1, "nothing was written beside the claim");
    // One that was cut off is gone on with, when the content is the same.
    fs::write(&claim, digest_by_coreutils(model.path())).unwrap();
    fetcher.publish(model.path(), &registry, "v1", &[]).expect(0);
    assert!(!claim.exists());
}

#[test]
fn one_flipped_byte_is_fatal_and_nothing_is_let_in() {
    let (model, store, fetcher) = (sample_model(), tempfile::tempdir().unwrap(), Fetcher::new());
    let registry = catalog(store.path());
    fetcher.publish(model.path(), &registry, "v1", &[]).expect(0);
    let weights = store.path().join("a/v1/model.safetensors");
    let mut content = fs::read(&weights).unwrap();
    content[1_234_567] ^= 1;
    fs::write(&weights, content).unwrap();
    let failed = fetcher.pull(&registry, "a", "v1").expect(65);
    let sums = |path: &Path| {
        let sums = plimsoll_tests::process::run(std::process::Command::new("sha256sum").arg(path));
        sums.split(' ').next().unwrap().to_owned()
    };
    let (expected, got) = (sums(&model.path().join("model.safetensors")), sums(&weights));
    let line = format!("a v1: checksum mismatch on model.safetensors: expected sha256 {expected}, got {got}");
    assert_eq!(failed.last_words, line);
    assert!(tree(&fetcher.model()).is_empty(), "nothing is at a final name");
    assert!(!fetcher.has_receipt());
    let progress = handoff::Progress::read(&fetcher.layout().progress()).unwrap();
    assert_eq!(progress.error.map(|error| (error.code, error.message)), Some((65, line)));
}

#[test]
fn what_does_not_exist_is_said_so() {
    let (model, store, fetcher) = (sample_model(), tempfile::tempdir().unwrap(), Fetcher::new());
    let registry = catalog(store.path());
    fetcher.publish(model.path(), &registry, "v1", &[]).expect(0);
    for (name, version) in [("b", "v1"), ("a", "v2"), ("a", "@best")] {
        let failed = fetcher.pull(&registry, name, version).expect(66);
        let line = format!("{name} {version}: version `{version}` of `{name}` does not exist in {registry}");
        assert_eq!(failed.last_words, line);
    }
    fs::remove_file(store.path().join("a/v1/config.json")).unwrap();
    let failed = fetcher.pull(&registry, "a", "v1").expect(66);
    assert!(failed.last_words.contains("cannot fetch config.json"), "{}", failed.last_words);
}

#[test]
fn a_finished_volume_needs_no_store() {
    let (model, store, fetcher) = (sample_model(), tempfile::tempdir().unwrap(), Fetcher::new());
    let registry = catalog(store.path());
    fetcher.publish(model.path(), &registry, "v1", &[]).expect(0);
    fetcher.pull(&registry, "a", "v1").expect(0);
    let receipt = fetcher.receipt();
    store.close().unwrap();
    let again = fetcher.pull(&registry, "a", "v1").expect(0);
    assert!(again.last_words.ends_with("already in place"), "{}", again.last_words);
    assert_eq!(fetcher.receipt(), receipt);
    // What is no longer whole is not taken for it, even then.
    fs::remove_file(fetcher.model().join("config.json")).unwrap();
    let broken = fetcher.pull(&registry, "a", "v1").expect(66);
    assert!(broken.stderr.contains("model file config.json is missing"), "{}", broken.stderr);
}

#[test]
fn after_a_restart_of_the_node_content_is_hashed_again() {
    let (model, store, fetcher) = (sample_model(), tempfile::tempdir().unwrap(), Fetcher::new());
    let registry = catalog(store.path());
    fetcher.publish(model.path(), &registry, "v1", &[]).expect(0);
    fetcher.pull(&registry, "a", "v1").expect(0);
    let boot_id = fetcher.receipt().boot_id;
    let mut before_restart = fetcher.receipt();
    before_restart.boot_id = "another boot".into();
    before_restart.write(&fetcher.layout().receipt()).unwrap();
    fetcher.pull(&registry, "a", "v1").expect(0);
    assert_eq!(fetcher.receipt().boot_id, boot_id, "a receipt that was checked in full is renewed");
    // Bytes that the node lost, in a file of the right size.
    fs::write(fetcher.model().join("config.json"), "\0\0\0").unwrap();
    before_restart.write(&fetcher.layout().receipt()).unwrap();
    let again = fetcher.pull(&registry, "a", "v1").expect(0);
    assert!(again.stderr.contains("fetching anew"), "{}", again.stderr);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
}

#[test]
fn an_alias_is_followed_when_it_moves_and_old_files_go() {
    let (store, fetcher) = (tempfile::tempdir().unwrap(), Fetcher::new());
    let registry = catalog(store.path());
    for (version, file) in [("v1", "old/one.bin"), ("v2", "two.bin")] {
        let model = tempfile::tempdir().unwrap();
        fs::create_dir_all(model.path().join("old")).unwrap();
        fs::write(model.path().join(file), version).unwrap();
        fetcher.publish(model.path(), &registry, version, &["--alias", "champion"]).expect(0);
        fetcher.pull(&registry, "a", "@champion").expect(0);
        assert_eq!(tree(&fetcher.model()).into_keys().collect::<Vec<_>>(), [file]);
        assert_eq!(fetcher.receipt().resolved.version, version);
        fs::write(fetcher.model().join("notes.txt"), "not ours").unwrap();
        fs::remove_file(fetcher.model().join("notes.txt")).unwrap();
    }
    assert!(!fetcher.model().join("old").exists(), "a folder that was the old model's alone goes with it");
    let still = fetcher.pull(&registry, "a", "@champion").expect(0);
    assert!(still.last_words.ends_with("already in place"), "{}", still.last_words);
}

#[test]
fn a_pin_decides() {
    let (model, store, fetcher) = (sample_model(), tempfile::tempdir().unwrap(), Fetcher::new());
    let registry = catalog(store.path());
    fetcher.publish(model.path(), &registry, "v1", &[]).expect(0);
    let digest = digest_by_coreutils(model.path());
    let wrong = format!("sha256:{}", "0".repeat(64));
    let pinned = |digest: &str| Fetcher::new().with("MODEL_DIGEST", digest);
    let failed = pinned(&wrong).pull(&registry, "a", "v1").expect(65);
    assert_eq!(
        failed.last_words,
        format!("a v1: digest mismatch: expected {wrong} (pinned), got {digest} from the registry")
    );
    let pulled = pinned(&digest);
    pulled.pull(&registry, "a", "v1").expect(0);
    assert_eq!(pulled.receipt().integrity, Integrity::Pinned);
    // A plain folder has no registry to hold a digest: there the whole model is compared.
    let uri = format!("file://{}", model.path().display());
    let failed = pinned(&wrong).run(&["pull", "--uri", &uri]).expect(65);
    assert!(failed.last_words.contains("digest mismatch on the whole model"), "{}", failed.last_words);
    pinned(&digest).run(&["pull", "--uri", &uri]).expect(0);
}

#[test]
fn the_least_integrity_is_demanded() {
    let model = sample_model();
    let uri = format!("file://{}", model.path().display());
    let demanding = |rung| Fetcher::new().with("FETCHER_INTEGRITY", rung);
    let failed = demanding("manifest").run(&["pull", "--uri", &uri]).expect(65);
    assert!(failed.last_words.contains("can only be recorded, expected at least manifest"));
    let digest = Fetcher::new().run(&["digest", model.path().to_str().unwrap()]).expect(0);
    fs::write(model.path().join("SHA256SUMS"), digest.stdout).unwrap();
    let fetcher = demanding("manifest");
    fetcher.run(&["pull", "--uri", &uri]).expect(0);
    assert_eq!(fetcher.receipt().integrity, Integrity::Manifest);
    fs::write(model.path().join("config.json"), "{}x").unwrap();
    let failed = Fetcher::new().run(&["pull", "--uri", &uri]).expect(65);
    assert!(failed.last_words.contains("checksum mismatch on config.json"), "{}", failed.last_words);
}

#[test]
fn a_plan_is_printed_without_reading_weights() {
    let (model, store, fetcher) = (sample_model(), tempfile::tempdir().unwrap(), Fetcher::new());
    let registry = catalog(store.path());
    fetcher.publish(model.path(), &registry, "v1", &["--alias", "best"]).expect(0);
    fs::remove_file(store.path().join("a/v1/model.safetensors")).unwrap();
    let named = ["--registry", &registry, "--model-name", "a", "--model-version", "@best"];
    let planned = fetcher.run(&[&["resolve", "--output", "json"][..], &named].concat()).expect(0);
    let plan: serde_json::Value = serde_json::from_str(&planned.stdout).unwrap();
    assert_eq!(plan["resolved"]["version"], "v1");
    assert_eq!(plan["digest"], digest_by_coreutils(model.path()));
    assert_eq!(plan["files"].as_array().unwrap().len(), 6);
    assert!(!fetcher.model().exists(), "resolving touches no volume");
}

#[test]
fn tampering_is_found_on_disk() {
    let (model, store, fetcher) = (sample_model(), tempfile::tempdir().unwrap(), Fetcher::new());
    let registry = catalog(store.path());
    fetcher.publish(model.path(), &registry, "v1", &[]).expect(0);
    fetcher.pull(&registry, "a", "v1").expect(0);
    let directory = fetcher.model();
    let verify = || fetcher.run(&["verify", directory.to_str().unwrap()]);
    let weights = directory.join("model.safetensors");
    fs::write(&weights, noise(3_500_001)).unwrap();
    assert!(verify().expect(65).stderr.contains("model file model.safetensors has the wrong size"));
    fs::write(&weights, &noise(3_500_001)[1..]).unwrap();
    assert!(verify().expect(65).stderr.contains("checksum mismatch on model.safetensors"));
    fs::remove_file(fetcher.layout().receipt()).unwrap();
    assert!(verify().expect(66).stderr.contains("run `fetcher pull` first"));
}

#[test]
fn hostile_descriptors_write_nothing_outside() {
    let (model, store) = (sample_model(), tempfile::tempdir().unwrap());
    let registry = catalog(store.path());
    Fetcher::new().publish(model.path(), &registry, "v1", &[]).expect(0);
    let descriptor = store.path().join("a/v1/model.yaml");
    let good = fs::read_to_string(&descriptor).unwrap();
    for path in ["../escaped", "/tmp/escaped", "a/../../escaped", "\"nul\\0\"", ".plimsoll/receipt.json"] {
        fs::write(&descriptor, good.replace("path: config.json", &format!("path: {path}"))).unwrap();
        let fetcher = Fetcher::new();
        let failed = fetcher.pull(&registry, "a", "v1").expect(65);
        assert!(tree(&fetcher.model()).is_empty() && !fetcher.has_receipt(), "{path}: {failed:?}");
    }
}

#[test]
fn a_link_planted_in_the_destination_is_not_followed() {
    let (model, store, fetcher) = (sample_model(), tempfile::tempdir().unwrap(), Fetcher::new());
    let (registry, outside) = (catalog(store.path()), tempfile::tempdir().unwrap());
    fetcher.publish(model.path(), &registry, "v1", &[]).expect(0);
    fs::create_dir_all(fetcher.model()).unwrap();
    std::os::unix::fs::symlink(outside.path(), fetcher.model().join("deep")).unwrap();
    let failed = fetcher.pull(&registry, "a", "v1").expect(74);
    assert!(failed.last_words.contains("deep is a link, expected a folder"), "{}", failed.last_words);
    assert!(tree(outside.path()).is_empty());
    assert!(!fetcher.has_receipt());
}
