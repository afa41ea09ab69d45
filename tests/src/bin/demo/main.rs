//! The main job on one machine, with nothing but the Rust toolchain: train a small model, publish it to a catalog
//! in a local folder, pull it by name and version, load it into a model server, and watch `/health` go from red
//! to green.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a demonstration stops at what fails, and says so"
)]

mod model;
mod server;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use plimsoll_tests::process::{self, End, Server, free_port};
use plimsoll_tests::{binaries, http, poll};

const NAME: &str = "iris";
const VERSION: &str = "v1";

fn main() {
    let folder = tempfile::tempdir().expect("a folder for the demonstration");
    let (trained, catalog, volume) =
        (folder.path().join("trained"), folder.path().join("catalog"), folder.path().join("volume"));
    let registry = format!("catalog+file://{}", catalog.display());
    let fetcher = |command: &str, arguments: &[&str]| {
        let mut fetcher = Command::new(binaries::fetcher());
        fetcher.arg(command).args(arguments).env("FETCHER_LOG_LEVEL", "warn");
        fetcher.args(["--registry", &registry, "--model-name", NAME, "--model-version", VERSION]);
        fetcher
    };
    step("build the fetcher and the sidecar");
    show(&binaries::fetcher().display().to_string());
    let started = Instant::now();

    step("train a small classifier and publish it");
    model::Classifier::train().save(&trained);
    show(&process::run(Command::new("ls").arg("-x").arg(&trained)));
    process::run(&mut fetcher("publish", &[trained.to_str().unwrap()]));
    show(&process::run(Command::new("find").arg(".").args(["-type", "f"]).current_dir(&catalog)));

    step("start the sidecar, before there is anything to serve");
    let (health_port, server_port) = (free_port(), free_port());
    let sidecar = sidecar(&volume, health_port, server_port);
    let mut seen = String::new();
    watch(health_port, &mut seen, "\"phase\":\"waiting\"");

    step(&format!("pull {NAME} {VERSION} into the volume, as the init container does"));
    process::run(&mut fetcher("pull", &["--dest", volume.to_str().unwrap()]));
    watch(health_port, &mut seen, "\"phase\":\"loading\"");

    step("start a model server on what was pulled");
    let classifier = model::Classifier::load(&volume);
    thread::spawn(move || server::serve(server_port, NAME, &classifier));
    watch(health_port, &mut seen, "\"status\":\"ready\"");
    let petals = serde_json::json!({"inputs": [
        {"name": "petals", "shape": [1, 2], "datatype": "FP64", "data": [5.1, 1.9]}]});
    let answer = http::post_json(server_port, &format!("/v2/models/{NAME}/infer"), &petals).unwrap();
    show(&format!("POST /v2/models/{NAME}/infer {petals} → {}", answer.text()));

    step("take the receipt away");
    fs::remove_file(volume.join(".plimsoll/receipt.json")).expect("the fetcher wrote a receipt");
    watch(health_port, &mut seen, "\"status\":\"not_ready\"");
    drop(sidecar);
    println!("\ndone in {:.1} s", started.elapsed().as_secs_f32());
}

fn sidecar(volume: &Path, port: u16, server_port: u16) -> Server {
    let mut command = Command::new(binaries::health_sidecar());
    command.env("MODEL_NAME", NAME).env("MODEL_VERSION", VERSION).env("MODEL_DIR", volume);
    command.env("HEALTH_LISTEN", format!("127.0.0.1:{port}"));
    command
        .env("HEALTH_SERVER", "kserve-v2")
        .env("HEALTH_SERVER_URL", format!("http://127.0.0.1:{server_port}"));
    let mut sidecar = Server::spawn("health-sidecar", &command, End::Kill);
    sidecar.wait_ready(Duration::from_secs(10), || http::get(port, "/livez").is_ok());
    sidecar
}

/// Shows what `/health` says, each time it says something new, until it says `wanted`.
fn watch(port: u16, seen: &mut String, wanted: &str) {
    poll::until(&format!("/health to say {wanted}"), Duration::from_secs(20), || {
        let answer = http::get(port, "/health").ok()?;
        let body = answer.text().trim().to_owned();
        if body != *seen {
            show(&format!("GET /health → {} {body}", answer.status));
            seen.clone_from(&body);
        }
        assert_eq!(answer.status == 200, body.contains("\"status\":\"ready\""), "{body}");
        body.contains(wanted).then_some(())
    });
}

fn step(title: &str) {
    println!("\n— {title}");
}

fn show(text: &str) {
    for line in text.lines().filter(|line| !line.is_empty()) {
        println!("    {line}");
    }
}
