//! Holds the file formats: a golden file for each schema, and what a reader does with files that are not right.
//! A change of either format takes a new golden file here; the old ones stay and must go on reading.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test] functions")]

use std::path::{Path, PathBuf};

use handoff::{
    Connections, Failure, FileEntry, Integrity, ModelDigest, ModelId, Phase, Progress, ReadError, Receipt,
    Resolved, Selection, Sha256Digest,
};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn receipt() -> Receipt {
    let entry = |path: &str, content: &[u8], size| FileEntry {
        path: path.parse().unwrap(),
        size,
        sha256: Sha256Digest::of(content),
        checked: Integrity::Registry,
    };
    let files = vec![entry("MLmodel", b"flavors: {}\n", 12), entry("data/é model.bin", b"", 0)];
    Receipt {
        schema: 1,
        model: ModelId { name: "product-recommendation".into(), version: "v2.3".into() },
        resolved: Resolved {
            registry: "mlflow+http://mlflow.mlops:5000".into(),
            version: "7".into(),
            uri: "s3://models/7".into(),
        },
        selection: Selection::default(),
        digest: ModelDigest::of(files.iter().map(|file| (&file.path, file.sha256))),
        files,
        integrity: Integrity::Registry,
        signer: None,
        unpacked: None,
        bytes: 12,
        resumed_bytes: 4,
        seconds: 0.25,
        fetcher: "0.1.0".into(),
        boot_id: "6ad1a2f1-8a52-4b4c-9c1e-000000000001".into(),
        completed_at: "2026-11-20T10:00:00Z".parse().unwrap(),
    }
}

fn progress() -> Progress {
    Progress {
        schema: 1,
        model: ModelId { name: "product-recommendation".into(), version: "v2.3".into() },
        phase: Phase::Failed,
        bytes: 50,
        total_bytes: Some(200),
        files: 1,
        total_files: 2,
        bytes_per_second: 10,
        eta_seconds: None,
        connections: None,
        attempt: 2,
        error: Some(Failure { code: 69, message: "store unreachable".into() }),
        updated_at: "2026-11-20T10:00:00Z".parse().unwrap(),
    }
}

#[test]
fn a_receipt_is_written_as_the_golden_file_and_reads_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("receipt.json");
    receipt().write(&path).unwrap();
    let golden = std::fs::read_to_string(data("receipt-v1.json")).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), golden);
    assert_eq!(Receipt::read(&data("receipt-v1.json")).unwrap(), receipt());
    assert!(receipt().is_consistent());
}

#[test]
fn a_receipt_of_a_part_of_the_model_says_which() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("receipt.json");
    let selection = Selection::new(vec!["*.safetensors".into(), "*.json".into()], vec!["onnx/*".into()]);
    let receipt = Receipt { selection, ..receipt() };
    receipt.write(&path).unwrap();
    let golden = std::fs::read_to_string(data("receipt-v1-selection.json")).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), golden);
    assert_eq!(Receipt::read(&data("receipt-v1-selection.json")).unwrap(), receipt);
}

#[test]
fn progress_is_written_as_the_golden_file_and_reads_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("progress.json");
    progress().write(&path).unwrap();
    let golden = std::fs::read_to_string(data("progress-v1.json")).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), golden);
    assert_eq!(Progress::read(&data("progress-v1.json")).unwrap(), progress());
    assert_eq!(progress().percent(), Some(25));
}

#[test]
fn a_receipt_tells_of_archives_and_reads_without_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("receipt.json");
    let unpacked = Receipt { unpacked: Some("single".to_owned()), ..receipt() };
    unpacked.write(&path).unwrap();
    let golden = std::fs::read_to_string(data("receipt-v1-unpacked.json")).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), golden);
    assert_eq!(Receipt::read(&data("receipt-v1-unpacked.json")).unwrap(), unpacked);
    assert_eq!(Receipt::read(&data("receipt-v1.json")).unwrap().unpacked, None);
}

#[test]
fn progress_tells_of_connections_and_reads_without_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("progress.json");
    let connections = Connections { open: 4, slowest_bytes_per_second: Some(5), retries: 3 };
    let phase = Phase::Fetching;
    let fetching = Progress { phase, error: None, connections: Some(connections), ..progress() };
    fetching.write(&path).unwrap();
    let golden = std::fs::read_to_string(data("progress-v1-connections.json")).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), golden);
    assert_eq!(Progress::read(&data("progress-v1-connections.json")).unwrap(), fetching);
    assert_eq!(Progress::read(&data("progress-v1.json")).unwrap().connections, None);
}

#[test]
fn unknown_fields_are_ignored() {
    assert_eq!(Receipt::read(&data("receipt-v1-unknown-fields.json")).unwrap(), receipt());
    assert_eq!(Progress::read(&data("progress-v1-unknown-fields.json")).unwrap(), progress());
}

#[test]
fn a_newer_schema_is_named_before_its_fields_are_read() {
    let error = Receipt::read(&data("receipt-v9.json")).unwrap_err();
    assert!(matches!(error, ReadError::NewerSchema { found: 9, supported: 1, .. }), "{error:?}");
    let error = Progress::read(&data("progress-v9.json")).unwrap_err();
    assert!(error.to_string().ends_with("has schema 9, expected at most 1"), "{error}");
}

#[test]
fn every_truncation_is_malformed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cut.json");
    let golden = std::fs::read(data("receipt-v1.json")).unwrap();
    // The last two bytes are `}` and the final newline, which alone is not needed.
    for length in 0..golden.len() - 1 {
        std::fs::write(&path, &golden[..length]).unwrap();
        let read = Receipt::read(&path);
        assert!(matches!(read, Err(ReadError::Malformed { .. })), "cut at {length}: {read:?}");
    }
}

#[test]
fn a_missing_and_an_oversized_file_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("receipt.json");
    assert!(matches!(Receipt::read(&path), Err(ReadError::Missing { .. })));
    std::fs::File::create(&path).unwrap().set_len(handoff::persist::MAX_FILE_BYTES + 1).unwrap();
    assert!(matches!(Receipt::read(&path), Err(ReadError::TooLarge { .. })));
}

#[test]
fn a_receipt_with_a_hostile_path_does_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("receipt.json");
    let text = std::fs::read_to_string(data("receipt-v1.json")).unwrap();
    std::fs::write(&path, text.replace("\"MLmodel\"", "\"../../etc/passwd\"")).unwrap();
    assert!(matches!(Receipt::read(&path), Err(ReadError::Malformed { .. })));
}

#[test]
fn a_receipt_whose_files_were_changed_is_not_consistent() {
    let mut changed = receipt();
    changed.files[0].sha256 = Sha256Digest::of(b"other");
    assert!(!changed.is_consistent());
}

#[test]
fn a_receipt_of_as_many_files_as_there_may_be_is_one_that_a_reader_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receipt.json");
    let of = |count: usize, length: usize| {
        let entry = |number: usize| FileEntry {
            path: format!("{number:06}-{}", "n".repeat(length)).parse().unwrap(),
            size: u64::MAX,
            sha256: Sha256Digest::of(b""),
            checked: Integrity::Registry,
        };
        Receipt { files: (0..count).map(entry).collect(), ..receipt() }
    };
    let many = of(100_000, 12);
    many.write(&path).unwrap();
    assert_eq!(Receipt::read(&path).unwrap(), many);
    // What no reader would accept is not written, and what is there stays.
    let refused = of(100_000, 60).write(&path).unwrap_err();
    assert!(refused.to_string().contains("expected less than 16777216"), "{refused}");
    assert_eq!(Receipt::read(&path).unwrap(), many);
}
