//! A volume as the fetcher leaves it, and as a fault leaves it.

#![allow(clippy::unwrap_used, reason = "a helper of tests, outside #[test] functions")]

use std::fs;
use std::path::{Path, PathBuf};

use handoff::{
    Failure, FileEntry, Integrity, Layout, ModelDigest, ModelId, Phase, Progress, Receipt, Resolved,
    Sha256Digest,
};
use tempfile::TempDir;

pub const NAME: &str = "product-recommendation";
pub const VERSION: &str = "v2.3";

const FILES: [(&str, &str); 2] = [("MLmodel", "flavors: {}\n"), ("data/model.bin", "weights")];

pub struct Volume {
    directory: TempDir,
    layout: Layout,
}

impl Volume {
    /// A volume on which nothing was done.
    pub fn empty() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path(), None);
        fs::create_dir(layout.state_dir()).unwrap();
        Self { directory, layout }
    }

    /// A volume with the expected model, its receipt included.
    pub fn fetched() -> Self {
        let volume = Self::empty();
        volume.put_files();
        volume.put_receipt(&receipt(VERSION));
        volume
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn receipt_path(&self) -> PathBuf {
        self.layout.receipt()
    }

    pub fn put_files(&self) {
        for (name, content) in FILES {
            fs::create_dir_all(self.file(name).parent().unwrap()).unwrap();
            fs::write(self.file(name), content).unwrap();
        }
    }

    pub fn put_receipt(&self, receipt: &Receipt) {
        receipt.write(&self.layout.receipt()).unwrap();
    }

    pub fn remove_receipt(&self) {
        fs::remove_file(self.layout.receipt()).unwrap();
    }

    pub fn put_progress(&self, phase: Phase) {
        self.put(&progress(phase));
    }

    pub fn put_progress_of(&self, version: &str) {
        let model = ModelId { name: NAME.into(), version: version.into() };
        self.put(&Progress { model, ..progress(Phase::Fetching) });
    }

    pub fn put_failure(&self, message: &str) {
        let error = Some(Failure { code: 65, message: message.into() });
        self.put(&Progress { error, ..progress(Phase::Failed) });
    }

    fn put(&self, progress: &Progress) {
        progress.write(&self.layout.progress()).unwrap();
    }
}

/// A receipt for the files that [`Volume::put_files`] puts.
pub fn receipt(version: &str) -> Receipt {
    let files: Vec<_> = FILES
        .iter()
        .map(|(name, content)| FileEntry {
            path: name.parse().unwrap(),
            size: content.len().try_into().unwrap(),
            sha256: Sha256Digest::of(content.as_bytes()),
            checked: Integrity::Registry,
        })
        .collect();
    Receipt {
        schema: handoff::receipt::SCHEMA,
        model: ModelId { name: NAME.into(), version: version.into() },
        resolved: Resolved {
            registry: "mlflow+http://mlflow.mlops:5000".into(),
            version: "7".into(),
            uri: "s3://models/7".into(),
        },
        selection: handoff::Selection::default(),
        digest: ModelDigest::of(files.iter().map(|file| (&file.path, file.sha256))),
        bytes: files.iter().map(|file| file.size).sum(),
        files,
        integrity: Integrity::Registry,
        signer: None,
        unpacked: None,
        resumed_bytes: 4,
        seconds: 0.25,
        fetcher: "0.1.0".into(),
        boot_id: handoff::boot::id(),
        completed_at: "2026-11-20T10:00:00Z".parse().unwrap(),
    }
}

fn progress(phase: Phase) -> Progress {
    Progress {
        schema: handoff::progress::SCHEMA,
        model: ModelId { name: NAME.into(), version: VERSION.into() },
        phase,
        bytes: 63,
        total_bytes: Some(100),
        files: 1,
        total_files: 2,
        bytes_per_second: 10,
        eta_seconds: Some(4),
        connections: None,
        attempt: 1,
        error: None,
        updated_at: "2026-11-20T10:00:00Z".parse().unwrap(),
    }
}
