//! The Hugging Face Hub: by a stand-in that the official client is content with.

use std::fs;
use std::time::{Duration, Instant};

use handoff::Integrity;
use plimsoll_tests::fault_server::Request;
use plimsoll_tests::hugging_face::{Hub, REPOSITORY};
use plimsoll_tests::{process, skip, tools};

use crate::fetcher::{Fetcher, Outcome, noise, sample_model, tree};

fn fetcher(hub: &Hub) -> Fetcher {
    Fetcher::new().with("HF_ENDPOINT", &hub.url())
}

#[test]
fn every_file_is_fetched_and_verified_as_the_official_client_fetches_it() {
    if skip::asked("hugging-face", "every_file_is_fetched_and_verified_as_the_official_client_fetches_it") {
        return;
    }
    let (hub, model) = (Hub::start(), sample_model());
    let commit = hub.commit(model.path(), "main");
    hub.page(4);
    let ours = fetcher(&hub);
    ours.run(&["pull", "--uri", &format!("hf://{REPOSITORY}")]).expect(0);
    assert_eq!(tree(&ours.model()), tree(model.path()));
    let receipt = ours.receipt();
    assert_eq!((receipt.integrity, &receipt.resolved.version), (Integrity::Registry, &commit));
    assert_eq!(receipt.resolved.uri, format!("hf://{REPOSITORY}@{commit} at {}/", hub.url()));

    let theirs = tempfile::tempdir().unwrap();
    let script =
        "import sys, huggingface_hub; huggingface_hub.snapshot_download(sys.argv[1], local_dir=sys.argv[2])";
    let mut client = tools::kserve_python().command("python");
    client.args(["-c", script, REPOSITORY]).arg(theirs.path());
    client.env("HF_ENDPOINT", hub.url()).env("HF_HOME", theirs.path().join(".cache"));
    process::run(&mut client);
    let mut theirs = tree(theirs.path());
    theirs.retain(|name, _| !name.starts_with(".cache/"));
    assert_eq!(theirs, tree(model.path()));
}

#[test]
fn a_revision_is_named_in_every_way_and_a_branch_is_asked_for_once() {
    let (hub, model) = (Hub::start(), sample_model());
    let first = hub.commit(model.path(), "v1");
    fs::write(model.path().join("config.json"), "{\"new\": true}\n").unwrap();
    let second = hub.commit(model.path(), "main");
    let resolved = |fetcher: &Fetcher, arguments: &[&str]| {
        fetcher.run(&[&["pull"], arguments].concat()).expect(0);
        fetcher.receipt().resolved.version
    };
    for (uri, commit) in
        [("@v1", &first), (":v1", &first), ("", &second), ("@main", &second), (&format!("@{first}"), &first)]
    {
        assert_eq!(
            resolved(&fetcher(&hub), &["--uri", &format!("hf://{REPOSITORY}{uri}")]),
            *commit,
            "{uri}"
        );
    }
    let named = ["--registry", "hf://", "--model-name", REPOSITORY, "--model-version", "v1"];
    assert_eq!(resolved(&fetcher(&hub), &named), first);

    // A branch is looked at again by each run, and what was fetched of a commit needs nobody.
    let floating = fetcher(&hub);
    let main = format!("hf://{REPOSITORY}");
    assert_eq!(resolved(&floating, &["--uri", &main]), second);
    let again = floating.run(&["pull", "--uri", &main]).expect(0);
    assert!(again.last_words.ends_with("already in place"), "{}", again.last_words);
    hub.commit(model.path(), "main");
    fs::write(model.path().join("config.json"), "{}\n").unwrap();
    let third = hub.commit(model.path(), "main");
    assert_eq!(resolved(&floating, &["--uri", &main]), third);

    // A plan is of a commit: whatever the branch does, that is what it names.
    let plan = fetcher(&hub)
        .run(&["resolve", "--uri", &format!("hf://{REPOSITORY}@v1"), "--output", "json"])
        .expect(0);
    let plan: serde_json::Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(plan["resolved"]["version"], first.as_str());
    let store = plan["files"][0]["source"]["store"].as_str().unwrap();
    assert!(store.starts_with(&format!("hf://{REPOSITORY}@{first}")), "{store}");
    let asked = hub.requests();
    let files = asked.iter().filter(|request| request.target.contains("/resolve/"));
    assert!(
        files.clone().count() > 0 && files.clone().all(|request| !request.target.contains("/resolve/main"))
    );
}

#[test]
fn one_flipped_byte_is_found_in_large_files_and_in_small_ones() {
    let (hub, model) = (Hub::start(), sample_model());
    hub.commit(model.path(), "main");
    let pull = || -> (Fetcher, Outcome) {
        let fetcher = fetcher(&hub);
        let outcome = fetcher.run(&["pull", "--uri", &format!("hf://{REPOSITORY}")]).expect(65);
        assert!(tree(&fetcher.model()).is_empty() && !fetcher.has_receipt());
        (fetcher, outcome)
    };
    hub.damage("config.json", b"[]\n");
    let (_, small) = pull();
    assert!(
        small.last_words.contains("checksum mismatch on config.json: expected git-sha1 "),
        "{}",
        small.last_words
    );
    hub.damage("config.json", b"{}\n");
    let mut large = fs::read(model.path().join("model.safetensors")).unwrap();
    large[2_000_000] ^= 1;
    hub.damage("model.safetensors", &large);
    let (_, large) = pull();
    assert!(
        large.last_words.contains("checksum mismatch on model.safetensors: expected sha256 "),
        "{}",
        large.last_words
    );
}

#[test]
fn a_token_opens_what_is_gated_and_is_the_hubs_alone() {
    let (hub, model) = (Hub::start(), sample_model());
    fs::write(model.path().join("second.safetensors"), noise(2_000_000)).unwrap();
    hub.commit(model.path(), "main");
    hub.gate("hf_c4n4ry");
    let uri = format!("hf://{REPOSITORY}");
    let known = fetcher(&hub).with("HF_TOKEN", "hf_c4n4ry");
    known.run(&["pull", "--uri", &uri]).expect(0);
    assert_eq!(tree(&known.model()), tree(model.path()));
    let content = hub.content_requests();
    assert!(!content.is_empty() && content.iter().all(|request| request.header("authorization").is_none()));

    for (fetcher, status) in [
        (fetcher(&hub), "401 Unauthorized"),
        (fetcher(&hub).with("HF_TOKEN", "hf_wrong-c4n4ry"), "403 Forbidden"),
    ] {
        let refused = fetcher.run(&["pull", "--uri", &uri]).expect(77);
        let words = format!(
            "was refused ({status}; a gated model needs its licence accepted, and HF_TOKEN of who did)"
        );
        assert!(refused.last_words.ends_with(&words), "{}", refused.last_words);
        assert!(!refused.stderr.contains("c4n4ry"), "{}", refused.stderr);
    }
    hub.hide();
    for fetcher in [fetcher(&hub), fetcher(&hub).with("HF_TOKEN", "hf_wrong-c4n4ry")] {
        let refused = fetcher.run(&["pull", "--uri", &uri]).expect(77);
        let words =
            format!("`{REPOSITORY}` is gated in hf:// at {}/, and who asks may not read it", hub.url());
        assert_eq!(refused.last_words, format!("{REPOSITORY} main: {words}"));
        assert!(
            refused.stderr.contains("hint: accept the model's licence on its page, and set HF_TOKEN"),
            "{}",
            refused.stderr
        );
        assert!(!refused.stderr.contains("c4n4ry"), "{}", refused.stderr);
    }
}

#[test]
fn a_token_is_found_in_every_file_that_the_hubs_client_reads() {
    let (hub, model, folder) = (Hub::start(), sample_model(), tempfile::tempdir().unwrap());
    hub.commit(model.path(), "main");
    hub.gate("hf_c4n4ry");
    for (variable, value, file) in [
        ("HF_TOKEN_PATH", "named", "named"),
        ("HF_HOME", "hub", "hub/token"),
        ("XDG_CACHE_HOME", "cache", "cache/huggingface/token"),
        ("HOME", "home", "home/.cache/huggingface/token"),
    ] {
        let file = folder.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "hf_c4n4ry\n").unwrap();
        let value = folder.path().join(value).display().to_string();
        let fetcher = fetcher(&hub).with(variable, &value).with("FETCHER_LOG_LEVEL", "trace");
        let outcome = fetcher.run(&["pull", "--uri", &format!("hf://{REPOSITORY}")]).expect(0);
        assert_eq!(tree(&fetcher.model()), tree(model.path()), "{variable}");
        assert!(!outcome.stderr.contains("c4n4ry"), "{}", outcome.stderr);
    }
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_was() {
    let (hub, model) = (Hub::start(), sample_model());
    hub.commit(model.path(), "main");
    let fetcher = fetcher(&hub).with("FETCHER_CONNECTIONS", "1").with("FETCHER_RETRY_ATTEMPTS", "1");
    let uri = format!("hf://{REPOSITORY}");
    hub.cut(Some(1_500_000));
    let broken = fetcher.run(&["pull", "--uri", &uri]).expect(69);
    assert!(broken.last_words.contains("cannot fetch model.safetensors"), "{}", broken.last_words);
    assert!(tree(&fetcher.model()).is_empty() && !fetcher.has_receipt());
    hub.cut(None);
    let before = hub.content_requests().len();
    fetcher.run(&["pull", "--uri", &uri]).expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    assert!(fetcher.receipt().resumed_bytes >= 1_000_000, "{}", fetcher.receipt().resumed_bytes);
    let digest = handoff::Sha256Digest::of(&fs::read(model.path().join("model.safetensors")).unwrap());
    let later = hub.content_requests().split_off(before);
    let again = later.iter().filter(|request| request.target.contains(&digest.to_string()));
    let first = again.filter_map(Request::offset).min();
    assert!(first.is_some_and(|first| first >= 1_000_000), "{first:?}");
}

#[test]
fn a_busy_hub_is_asked_again_when_it_says() {
    let (hub, model) = (Hub::start(), sample_model());
    hub.commit(model.path(), "main");
    hub.throttle(2);
    let (fetcher, started) = (fetcher(&hub), Instant::now());
    let outcome = fetcher.run(&["pull", "--uri", &format!("hf://{REPOSITORY}")]).expect(0);
    assert_eq!(tree(&fetcher.model()), tree(model.path()));
    let waits = outcome.stderr.matches("wait_ms=1000").count();
    assert!(waits >= 3 && started.elapsed() >= Duration::from_secs(3), "{}", outcome.stderr);
}

#[test]
fn a_file_of_another_commit_is_refused_by_its_name() {
    let (hub, model) = (Hub::start(), sample_model());
    let commit = hub.commit(model.path(), "main");
    let other = "0".repeat(40);
    hub.tell(&other);
    let fetcher = fetcher(&hub);
    let refused = fetcher.run(&["pull", "--uri", &format!("hf://{REPOSITORY}")]).expect(64);
    let words = format!("expected a file of the commit {commit}, got one of \"{other}\"");
    assert!(refused.last_words.ends_with(&words), "{}", refused.last_words);
    assert!(tree(&fetcher.model()).is_empty());
}

#[test]
fn what_is_not_on_the_hub_is_told_in_a_line() {
    let (hub, model) = (Hub::start(), sample_model());
    hub.commit(model.path(), "main");
    let told = |uri: &str, code: i32| {
        let outcome = fetcher(&hub).run(&["pull", "--uri", uri]).expect(code);
        let hint =
            outcome.stderr.lines().find_map(|line| line.trim().strip_prefix("hint: ")).unwrap_or_default();
        (outcome.last_words, hint.to_owned())
    };
    let registry = format!("hf:// at {}/", hub.url());
    let (words, hint) = told("hf://shop/nothing@v1", 66);
    assert_eq!(words, format!("shop/nothing v1: model `shop/nothing` does not exist in {registry}"));
    assert_eq!(hint, "write owner/name; a private model needs HF_TOKEN, of somebody who may see it");
    let (words, hint) = told(&format!("hf://{REPOSITORY}@v9"), 66);
    assert_eq!(
        words,
        format!("{REPOSITORY} v9: version `v9` of `{REPOSITORY}` does not exist in {registry}")
    );
    assert_eq!(hint, "looked for a branch, a tag and a commit of all its 40 digits");
    let (words, _) = told("hf://datasets/shop/data", 64);
    assert_eq!(words, "fetcher: --uri (MODEL_URI) names one of the hub's datasets, expected a model");
    let named = fetcher(&hub).pull("hf://", "datasets/shop/data", "main").expect(64);
    let words_of_name =
        "fetcher: --model-name (MODEL_NAME) names one of the hub's datasets, expected a model";
    assert_eq!(named.last_words, words_of_name);
    let (words, _) = told("hf://shop/a/b", 64);
    assert_eq!(words, "fetcher: --uri (MODEL_URI) names no model of the hub");
    let wrong =
        Fetcher::new().with("HF_ENDPOINT", "hub:8080").run(&["pull", "--uri", "hf://shop/a"]).expect(64);
    assert!(wrong.last_words.starts_with("fetcher: HF_ENDPOINT is not"), "{}", wrong.last_words);
}
