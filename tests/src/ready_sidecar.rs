//! The sidecar as it is for most of its life: ready, beside a model server that says so, with nothing to do.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use handoff::{FileEntry, Integrity, Layout, ModelDigest, ModelId, Receipt, Resolved, Sha256Digest, receipt};
use tempfile::TempDir;

use crate::fault_server::{Answer, FaultServer};
use crate::process::{Server, free_port};
use crate::{http, places, poll};

const NAME: &str = "product-recommendation";
const VERSION: &str = "v2.3";
/// How long it may take to become ready.
const START_LIMIT: Duration = Duration::from_secs(30);
/// `USER_HZ`.
const TICKS_PER_SECOND: u64 = 100;

/// A running sidecar with all that it looks at.
#[derive(Debug)]
pub struct ReadySidecar {
    server: Server,
    port: u16,
    _model_server: FaultServer,
    volume: TempDir,
}

/// Resident memory as the kernel counts it, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// All of it, now.
    pub now: u64,
    /// The most there ever was.
    pub peak: u64,
    /// The part that the process wrote itself.
    pub anonymous: u64,
    /// The part that is the program's own file.
    pub file: u64,
}

impl ReadySidecar {
    /// Starts `program` with default settings beside a server of the Open Inference Protocol, and waits until it is green.
    ///
    /// # Panics
    /// When it does not become so.
    pub fn start(program: &Path) -> Self {
        let volume = tempfile::tempdir().expect("a folder for the volume");
        put_model(volume.path(), 2);
        let model_server = FaultServer::start(|_, request| {
            let body = if request.target.ends_with("/ready") {
                r#"{"ready":true}"#.to_owned()
            } else {
                format!(r#"{{"name":"{NAME}","versions":["1"],"platform":"","inputs":[],"outputs":[]}}"#)
            };
            let answer = Answer { body: body.into_bytes(), ..Answer::status("200 OK") };
            answer.with("Content-Type", "application/json")
        });
        let port = free_port();
        let mut command = Command::new(program);
        command
            .env("MODEL_NAME", NAME)
            .env("MODEL_VERSION", VERSION)
            .env("MODEL_DIR", volume.path())
            .env("HEALTH_LISTEN", format!("127.0.0.1:{port}"))
            .env("HEALTH_SERVER", "kserve-v2")
            .env("HEALTH_SERVER_URL", model_server.url())
            .envs(settings_of_image());
        let server = Server::start("health-sidecar", &command, START_LIMIT, || {
            http::get(port, "/health").is_ok_and(|answer| answer.status == 200)
        });
        Self { server, port, _model_server: model_server, volume }
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Puts another model in place, with so many files and a receipt.
    ///
    /// # Panics
    /// When the volume cannot be written to.
    pub fn put_model(&self, files: usize) {
        put_model(self.volume.path(), files);
    }

    /// Its memory.
    ///
    /// # Panics
    /// When it has ended.
    pub fn resident(&self) -> Resident {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.pid())).expect("it runs");
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix("kB"));
            line.expect("the kernel tells").trim_matches([':', ' ', '\t']).parse().expect("a number")
        };
        Resident { now: kib("VmRSS"), peak: kib("VmHWM"), anonymous: kib("RssAnon"), file: kib("RssFile") }
    }

    /// Processor time so far, in steps of 10 ms.
    ///
    /// # Panics
    /// When it has ended.
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.server.pid())).expect("it runs");
        let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
        // The 14th and the 15th, of which two are before.
        let ticks: u64 =
            fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
    }
}

/// What the image sets, besides the settings of a manifest.
fn settings_of_image() -> Vec<(String, String)> {
    let file = places::workspace().join("images/health-sidecar.Dockerfile");
    let text = fs::read_to_string(file).expect("the image is described");
    let settings = text.lines().filter_map(|line| line.strip_prefix("ENV ")?.split_once('='));
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Files and a receipt for them, as short as it can be written: what a reader accepts is bounded.
fn put_model(folder: &Path, files: usize) {
    let layout = Layout::new(folder, None);
    fs::create_dir_all(layout.state_dir()).expect("the folder can be written to");
    let entry = |number: usize| {
        let name = format!("{number:05}");
        fs::write(folder.join(&name), "").expect("the folder can be written to");
        let sha256 = Sha256Digest::of(name.as_bytes());
        FileEntry { path: name.parse().expect("a plain name"), size: 0, sha256, checked: Integrity::Registry }
    };
    let files: Vec<_> = (0..files).map(entry).collect();
    let receipt = Receipt {
        schema: receipt::SCHEMA,
        model: ModelId { name: NAME.into(), version: VERSION.into() },
        resolved: Resolved {
            registry: "mlflow+http://mlflow.mlops:5000".into(),
            version: "7".into(),
            uri: "s3://models/7".into(),
        },
        selection: handoff::Selection::default(),
        digest: ModelDigest::of(files.iter().map(|file| (&file.path, file.sha256))),
        bytes: 0,
        files,
        integrity: Integrity::Registry,
        signer: None,
        unpacked: None,
        resumed_bytes: 0,
        seconds: 1.5,
        fetcher: "0.1.0".into(),
        boot_id: handoff::boot::id(),
        completed_at: "2026-11-20T10:00:00Z".parse().expect("a time"),
    };
    let new = layout.receipt().with_extension("new");
    fs::write(&new, serde_json::to_vec(&receipt).expect("JSON")).expect("the receipt can be written");
    fs::rename(&new, layout.receipt()).expect("the receipt can be put in place");
}

/// Waits until the sidecar's memory has settled at no more than `most` KiB, and gives what it is.
///
/// # Panics
/// When it does not within half a minute.
#[track_caller]
pub fn settles_at(sidecar: &ReadySidecar, most: u64) -> Resident {
    poll::until("memory to be given back", Duration::from_secs(30), || {
        Some(sidecar.resident()).filter(|resident| resident.now <= most)
    })
}
