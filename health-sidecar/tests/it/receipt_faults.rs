//! A receipt that does not count, and what is said about it. The model server says "loaded" throughout.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test] functions")]

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use handoff::{Receipt, Sha256Digest};

use crate::model_server::{ModelServer, Says};
use crate::sidecar::{Sidecar, wait_for};
use crate::volume::{NAME, VERSION, Volume, receipt};

/// A good volume, ready; then the fault, with a receipt written anew so that it is looked at again.
#[track_caller]
fn expect_red(spoil: impl FnOnce(&Volume, &mut Receipt), reason: &str) {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::loaded());
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    sidecar.until("ready", "loaded");
    let mut spoiled = receipt(VERSION);
    spoil(&volume, &mut spoiled);
    volume.put_receipt(&spoiled);
    sidecar.until("waiting", reason);
    // What the sidecar writes comes through a pipe, and may come after its answer.
    let logged = || sidecar.log().contains(&format!("receipt refused: {reason}")).then_some(());
    wait_for(logged, || sidecar.log());
    volume.remove_receipt();
    fs::remove_dir_all(volume.file("data")).unwrap();
    volume.put_files();
    volume.put_receipt(&receipt(VERSION));
    sidecar.until("ready", "loaded");
}

#[test]
fn another_version() {
    expect_red(
        |_, receipt| receipt.model.version = "v2.2".into(),
        "receipt is for product-recommendation v2.2, expected v2.3",
    );
}

#[test]
fn another_name() {
    expect_red(
        |_, receipt| receipt.model.name = "search".into(),
        "receipt is for search v2.3, expected product-recommendation v2.3",
    );
}

#[test]
fn a_receipt_from_before_a_restart_of_the_node_waits_for_the_fetcher() {
    expect_red(
        |_, receipt| receipt.boot_id = "00000000-0000-0000-0000-000000000000".into(),
        "the receipt is from before the node was restarted: the fetcher has to check the files again",
    );
}

#[test]
fn a_newer_schema() {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::loaded());
    let text = fs::read_to_string(volume.receipt_path()).unwrap();
    fs::write(volume.receipt_path(), text.replace("\"schema\": 1", "\"schema\": 9")).unwrap();
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    let path = volume.receipt_path();
    sidecar.until("waiting", &format!("{} has schema 9, expected at most 1", path.display()));
}

#[test]
fn half_a_receipt() {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::loaded());
    let text = fs::read_to_string(volume.receipt_path()).unwrap();
    fs::write(volume.receipt_path(), &text[..text.len() / 2]).unwrap();
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    sidecar.until("waiting", &format!("{} is malformed: ", volume.receipt_path().display()));
}

#[test]
fn a_digest_that_is_not_the_files() {
    expect_red(
        |_, receipt| receipt.files[0].sha256 = Sha256Digest::of(b"other"),
        "the receipt contradicts itself: its digest is not the one of the files it lists",
    );
}

#[test]
fn a_missing_file() {
    expect_red(
        |volume, _| fs::remove_file(volume.file("data/model.bin")).unwrap(),
        "model file data/model.bin is missing",
    );
}

#[test]
fn a_cut_file() {
    expect_red(
        |volume, _| fs::write(volume.file("data/model.bin"), "weight").unwrap(),
        "model file data/model.bin has the wrong size: expected 7 bytes, got 6",
    );
}

#[test]
fn a_link_in_place_of_a_file() {
    expect_red(
        |volume, _| {
            let file = volume.file("data/model.bin");
            fs::rename(&file, volume.file("data/elsewhere")).unwrap();
            symlink(volume.file("data/elsewhere"), &file).unwrap();
        },
        "model file data/model.bin is not a regular file",
    );
}

#[test]
fn a_folder_in_place_of_a_file() {
    expect_red(
        |volume, _| {
            fs::remove_file(volume.file("data/model.bin")).unwrap();
            fs::create_dir(volume.file("data/model.bin")).unwrap();
        },
        "model file data/model.bin is not a regular file",
    );
}

#[test]
fn a_file_that_comes_late_is_found_without_a_new_receipt() {
    let volume = Volume::empty();
    let server = ModelServer::start(Says::loaded());
    volume.put_receipt(&receipt(VERSION));
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    let reason = "model file MLmodel is missing";
    sidecar.until("waiting", reason);
    assert_eq!(sidecar.status()["refusal"], reason);
    // Long enough for a second look, which has nothing new to say.
    let began = Instant::now();
    wait_for(|| (began.elapsed() > Duration::from_secs(6)).then_some(()), String::new);
    volume.put_files();
    sidecar.until("ready", "loaded");
    assert_eq!(sidecar.log().matches("receipt refused: ").count(), 1, "{}", sidecar.log());
}

#[test]
fn a_removed_receipt_ends_ready_and_the_same_one_put_back_needs_a_new_answer() {
    let volume = Volume::fetched();
    let server = ModelServer::start(Says::loaded());
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    sidecar.until("ready", "loaded");
    volume.remove_receipt();
    let red = sidecar.until("waiting", "waiting for the fetcher");
    assert_eq!(red["model"].get("digest"), None);
    server.say(Says::loading());
    volume.put_receipt(&receipt(VERSION));
    sidecar.until("loading", "loading: GET");
    server.say(Says::loaded());
    sidecar.until("ready", "loaded");
}

#[test]
fn without_an_expectation_any_name_and_version_are_accepted() {
    let volume = Volume::fetched();
    let mut other = receipt("v9");
    other.model.name = "search".into();
    volume.put_receipt(&other);
    let server = ModelServer::start(Says::loaded());
    let mut command = crate::sidecar::command();
    command.env("MODEL_DIR", volume.path()).args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--server",
        "mlflow",
        "--server-url",
        &server.url(),
    ]);
    let sidecar = Sidecar::spawn(command);
    let ready = sidecar.until("ready", "loaded");
    assert_eq!((&ready["model"]["name"], &ready["model"]["version"]), (&"search".into(), &"v9".into()));
    assert_ne!(ready["model"]["name"], NAME);
}
