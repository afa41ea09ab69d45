//! What a pull makes of signatures: the same as `verify` does, in the same pass as the transfer.

use std::fs;
use std::path::Path;
use std::process::Command;

use handoff::Integrity;
use plimsoll_tests::process;
use plimsoll_tests::s3_server::S3Server;

use crate::fetcher::{Fetcher, Outcome, sample_model, tree};
use crate::signature::{Case, world};

fn uri(directory: &Path) -> String {
    format!("file://{}", directory.display())
}

/// The directory of a case with its signature where a pull looks for it.
fn staged(case: &Case) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = format!("{}/.", case.directory.display());
    process::run(Command::new("cp").args(["-a", &from]).arg(folder.path()));
    let signature = folder.path().join("model.sig");
    if case.signature.exists() {
        let _ = fs::remove_file(&signature);
        fs::copy(&case.signature, signature).unwrap();
    }
    folder
}

#[test]
fn a_pull_judges_every_signature_as_verify_does() {
    let mut judged = (0, 0);
    for verdict in &world().verdicts {
        let case = &verdict.case;
        let folder = staged(case);
        let fetcher = case.fetcher();
        let pulled = fetcher.run(&["pull", "--uri", &uri(folder.path())]);
        // A folder as a source is read as a store is: a pipe is nothing in it, a link within it is the file that it leads
        // to, and our own state has no business there.
        let is_of_folders =
            ["a pipe", "link", "the fetcher's own state"].iter().any(|of| case.name.contains(of));
        let both =
            format!("{}: verify {}, pull {}: {}", case.name, verdict.ours.code, pulled.code, pulled.stderr);
        if !is_of_folders {
            assert_eq!(pulled.code == 0, verdict.ours.code == 0, "{both}");
        }
        if pulled.code == 0 {
            judged.0 += 1;
            let signer = fetcher.receipt().signer;
            assert!(signer.is_some() && (case.identity().is_none() || signer == case.identity()), "{both}");
        } else {
            judged.1 += 1;
            assert!(tree(&fetcher.model()).is_empty() && !fetcher.has_receipt(), "{both}");
        }
    }
    assert!(judged.0 > 10 && judged.1 > 30, "{judged:?}");
}

#[test]
fn a_signed_model_is_pulled_from_wherever_it_is() {
    let model = world().signed_model();
    let catalog = tempfile::tempdir().unwrap();
    let registry = format!("catalog+file://{}", catalog.path().display());
    let server = S3Server::start();
    server.create_bucket("models");
    let on_s3 = || world().trusting().with_all(&server.environment()).with("FETCHER_INTEGRITY", "signed");
    on_s3().publish(model.path(), &registry, "v1", &[]).expect(0);
    on_s3().publish(model.path(), "catalog+s3://models", "v1", &[]).expect(0);
    let named = ["--registry", &registry, "--model-name", "a", "--model-version", "v1"];
    let in_bucket = ["--registry", "catalog+s3://models", "--model-name", "a", "--model-version", "v1"];
    let (plain, prefix) = (uri(model.path()), ["--uri", "s3://models/a/v1"]);
    for from in [&named[..], &in_bucket[..], &["--uri", &plain]] {
        let fetcher = on_s3();
        let done = fetcher.run(&[&["pull"], from].concat()).expect(0);
        let receipt = fetcher.receipt();
        assert_eq!(receipt.integrity, Integrity::Signed, "{from:?}");
        assert!(receipt.signer.as_ref().unwrap().starts_with("key sha256:"), "{:?}", receipt.signer);
        assert!(done.stderr.contains("every file is verified: 7 signed"), "{}", done.stderr);
        assert_eq!(tree(&fetcher.model()), tree(model.path()));
        // What is in place is looked at again, by the signature that is there.
        let again = fetcher.run(&[&["pull"], from].concat()).expect(0);
        assert!(again.last_words.ends_with("already in place"), "{}", again.last_words);
        // And `verify` agrees on the volume.
        fetcher.run(&["verify", fetcher.model().to_str().unwrap()]).expect(0);
    }
    // The catalog's own descriptor lies among the files here, and nobody signed that.
    let stray = on_s3().run(&[&["pull"][..], &prefix].concat()).expect(65);
    assert!(
        stray.last_words.ends_with("model.yaml is not in the signature of the model"),
        "{}",
        stray.last_words
    );
}

fn says(outcome: &Outcome, words: &str) {
    assert_eq!(outcome.code, 65, "{}", outcome.stderr);
    assert!(outcome.last_words.contains(words), "{}", outcome.last_words);
}

#[test]
fn a_model_in_place_counts_only_while_its_signer_is_trusted() {
    let model = world().signed_model();
    let unsigned = Fetcher::new();
    unsigned.run(&["pull", "--uri", &uri(model.path())]).expect(0);
    assert_eq!((unsigned.receipt().signer, unsigned.receipt().integrity), (None, Integrity::Recorded));

    let fetcher = world().trusting();
    let pull = |key: &str| {
        let trusted = world().file(key);
        let pull = ["pull", "--trust-key", &trusted, "--uri"];
        let outcome = fetcher.run(&[&pull[..], &[&uri(model.path())]].concat());
        (outcome.code, outcome)
    };
    assert_eq!(pull("keys/p256.pub").0, 0);
    assert!(pull("keys/p256.pub").1.last_words.ends_with("already in place"));
    says(&pull("keys/p384.pub").1, "the model is signed by another key");
    assert_eq!(pull("keys/p256.pub").0, 0);
}

#[test]
fn where_somebody_is_trusted_a_pull_refuses_what_is_not_signed() {
    let model = sample_model();
    let refused = world().trusting().run(&["pull", "--uri", &uri(model.path())]);
    says(&refused, "the model has no model.sig, expected one, since somebody is trusted");
    assert!(refused.stderr.contains("hint: sign the model"), "{}", refused.stderr);
    // A pin says what, not who: trust has to be met as well.
    let digest = Fetcher::new().run(&["digest", model.path().to_str().unwrap()]).expect(0);
    let digest =
        digest.stderr.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap().to_owned();
    let pinned = world().trusting().with("MODEL_DIGEST", &digest);
    says(&pinned.run(&["pull", "--uri", &uri(model.path())]), "the model has no model.sig");
    // Whom to trust cannot be read: nothing is fetched on a guess.
    let blind = Fetcher::new().with("FETCHER_TRUST_KEY", "/nowhere/key.pub");
    let refused = blind.run(&["pull", "--uri", &uri(model.path())]).expect(64);
    assert!(refused.last_words.contains("/nowhere/key.pub"), "{}", refused.last_words);
}
