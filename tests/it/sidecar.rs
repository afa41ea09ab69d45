//! The sidecar beside a volume that is filled by hand and a model server that says what it is told, to bring it into
//! any phase.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use handoff::{
    Connections, Failure, FileEntry, Integrity, Layout, ModelDigest, ModelId, Phase, Progress, Receipt,
    Resolved, Sha256Digest, progress, receipt,
};
use jiff::Timestamp;
use plimsoll_tests::fault_server::{Answer, FaultServer};
use plimsoll_tests::process::{Server, free_port};
use plimsoll_tests::{binaries, http, poll};
use serde_json::Value;
use tempfile::TempDir;

/// How long the sidecar may take to notice a change.
const NOTICE: Duration = Duration::from_secs(30);

/// A sidecar with all that it looks at.
pub struct Sidecar {
    server: Server,
    port: u16,
    model_server: FaultServer,
    loaded: Arc<AtomicBool>,
    layout: Layout,
    model: ModelId,
    _volume: TempDir,
}

impl Sidecar {
    /// Starts it on an empty volume. The model server answers, and has loaded nothing.
    pub fn start(name: &str, version: &str) -> Self {
        Self::start_with(binaries::health_sidecar(), name, version, &[])
    }

    /// Starts this program with further settings.
    pub fn start_with(program: PathBuf, name: &str, version: &str, settings: &[(&str, String)]) -> Self {
        let volume = tempfile::tempdir().unwrap();
        let layout = Layout::new(volume.path(), None);
        fs::create_dir(layout.state_dir()).unwrap();
        let loaded = Arc::new(AtomicBool::new(false));
        let says = Arc::clone(&loaded);
        let model_server = FaultServer::start(move |_, _| {
            let status = if says.load(Ordering::Relaxed) { "200 OK" } else { "503 Service Unavailable" };
            Answer::status(status)
        });
        let port = free_port();
        let mut command = Command::new(program);
        command
            .env("MODEL_NAME", name)
            .env("MODEL_VERSION", version)
            .env("MODEL_DIR", volume.path())
            .env("HEALTH_LISTEN", format!("127.0.0.1:{port}"))
            .env("HEALTH_SERVER", "mlflow")
            .env("HEALTH_SERVER_URL", model_server.url())
            .env("HEALTH_PROBE_PERIOD", "4s")
            .envs(settings.iter().map(|(name, value)| (name, value)));
        let server = Server::start("health-sidecar", &command, NOTICE, || {
            http::get(port, "/livez").is_ok_and(|answer| answer.status == 200)
        });
        let model = ModelId { name: name.into(), version: version.into() };
        Self { server, port, model_server, loaded, layout, model, _volume: volume }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// All that it knows.
    pub fn status(&self) -> Value {
        http::get(self.port, "/status").unwrap().json()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Bytes of memory that it uses now, and at most used.
    pub fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.pid())).unwrap();
        let kib = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        (kib("VmRSS:") * 1024, kib("VmHWM:") * 1024)
    }

    pub fn model_server(&self) -> String {
        self.model_server.url()
    }

    /// Whether the model server says from now on that it has loaded the model.
    pub fn set_loaded(&self, loaded: bool) {
        self.loaded.store(loaded, Ordering::Relaxed);
    }

    /// The fetcher in the middle of a large model, at the second attempt.
    pub fn fetching(&self) {
        self.progress(&self.snapshot(Phase::Fetching)).until("fetching");
    }

    /// A fetcher that gave up.
    pub fn failed(&self, message: &str) {
        let error = Some(Failure { code: 65, message: message.into() });
        let stopped = Progress {
            eta_seconds: None,
            connections: None,
            bytes_per_second: 0,
            ..self.snapshot(Phase::Failed)
        };
        self.progress(&Progress { error, ..stopped }).until("failed");
    }

    /// A model in place with so many files, and a receipt for it. The files are all holes, so they may be large.
    pub fn fetched(&self, files: usize, size: u64) {
        let entry = |number: usize| FileEntry {
            path: format!("model-{:05}-of-{files:05}.safetensors", number + 1).parse().unwrap(),
            size,
            sha256: Sha256Digest::of(&number.to_le_bytes()),
            checked: Integrity::Signed,
        };
        let files: Vec<_> = (0..files).map(entry).collect();
        for file in &files {
            fs::File::create(file.path.below(self.layout.model_dir())).unwrap().set_len(size).unwrap();
        }
        let done = Progress { eta_seconds: None, connections: None, ..self.snapshot(Phase::Fetched) };
        let receipt = Receipt {
            schema: receipt::SCHEMA,
            model: self.model.clone(),
            resolved: Resolved {
                registry: "mlflow+http://mlflow.mlops:5000".into(),
                version: "7".into(),
                uri: "s3://models/search-ranking/7/artifacts".into(),
            },
            selection: handoff::Selection::default(),
            digest: ModelDigest::of(files.iter().map(|file| (&file.path, file.sha256))),
            bytes: files.iter().map(|file| file.size).sum(),
            files,
            integrity: Integrity::Signed,
            signer: Some("sha256:5c9f1a7b0f0e8a7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c5b4a3928170615".into()),
            unpacked: None,
            resumed_bytes: 734_003_200,
            seconds: 41.25,
            fetcher: "0.1.0".into(),
            boot_id: handoff::boot::id(),
            completed_at: Timestamp::now(),
        };
        receipt.write(&self.layout.receipt()).unwrap();
        self.progress(&done);
    }

    /// Waits until the sidecar tells of this phase.
    #[track_caller]
    pub fn until(&self, phase: &str) {
        poll::until(phase, NOTICE, || {
            (http::get(self.port, "/health").unwrap().json()["phase"] == phase).then_some(())
        });
    }

    fn progress(&self, progress: &Progress) -> &Self {
        progress.write(&self.layout.progress()).unwrap();
        self
    }

    fn snapshot(&self, phase: Phase) -> Progress {
        Progress {
            schema: progress::SCHEMA,
            model: self.model.clone(),
            phase,
            bytes: 9_126_805_504,
            total_bytes: Some(14_484_733_952),
            files: 2,
            total_files: 6,
            bytes_per_second: 432_013_312,
            eta_seconds: Some(12),
            connections: Some(Connections {
                open: 8,
                slowest_bytes_per_second: Some(41_943_040),
                retries: 3,
            }),
            attempt: 2,
            error: None,
            updated_at: Timestamp::now(),
        }
    }
}
