//! Files that others on the volume or the kernel may have written: receipt, progress, journal, memory limits.

use std::fmt::Debug;
use std::path::Path;

use fetcher::fuzzing;
use fetcher::limits::Limits;
use fetcher::transfer::journal;
use handoff::{Progress, ReadError, Receipt};
use serde::Serialize;

use crate::hold;

/// `receipt.json`.
pub fn receipt(data: &[u8]) {
    let Some(receipt) = held(data, Receipt::parse) else { return };
    assert!(receipt.schema <= handoff::receipt::SCHEMA);
    receipt.files.iter().for_each(|file| hold::path(&file.path));
    let _ = receipt.is_consistent();
    // Nothing is there, so the first file is what is missing.
    match receipt.check_in_place(Path::new("/nowhere/at/all")) {
        Ok(()) => assert!(receipt.files.is_empty()),
        Err(error) => hold::error(&error),
    }
    hold::again(&receipt.digest);
}

/// `progress.json`.
pub fn progress(data: &[u8]) {
    let Some(progress) = held(data, Progress::parse) else { return };
    assert!(progress.schema <= handoff::progress::SCHEMA);
    assert!(progress.percent().is_none_or(|percent| percent <= 100));
}

/// Reads a file of the contract, and once more what comes of writing it.
fn held<T: Serialize + PartialEq + Debug>(
    data: &[u8],
    parse: impl Fn(&Path, &[u8]) -> Result<T, ReadError>,
) -> Option<T> {
    let path = Path::new("file.json");
    match parse(path, data) {
        Ok(value) => {
            let text = serde_json::to_vec(&value).expect("what was read can be written");
            let again = parse(path, &text).expect("what was written can be read");
            assert_eq!(again, value);
            Some(value)
        }
        Err(error) => {
            hold::error(&error);
            None
        }
    }
}

/// The resume journal.
pub fn journal(data: &[u8]) {
    let files = journal::parse(data).expect("a reading from memory");
    let lines = data.split(|byte| *byte == b'\n').count();
    assert!(files.len() <= lines);
    for (number, landed) in files {
        assert!(number < Limits::DEFAULT.files);
        assert!(landed.is_sound());
        let text = serde_json::to_string(&landed).unwrap();
        // Walks over what is here by its gaps, from the first byte to the last.
        let (mut at, mut here) = (0, 0);
        while let Some(gap) = landed.gap(at, landed.end()) {
            assert!(gap.start >= at && gap.start < gap.end && gap.end <= landed.end(), "{text}");
            here += gap.start - at;
            let next = landed.reach(gap.end);
            assert!(next > gap.end, "{text}");
            here += next - gap.end;
            at = next;
        }
        here += landed.end() - at;
        assert_eq!(here, landed.bytes(), "{text}");
        let mut cut = landed.clone();
        cut.truncate(landed.end() / 2);
        assert!(cut.is_sound() && cut.end() <= landed.end() / 2, "{text}");
    }
}

/// The kernel's files about control groups: `/proc/self/cgroup`, an empty line, `/proc/self/mountinfo`.
pub fn memory_limit(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (cgroup, mountinfo) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mounts: Vec<&str> = mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    let read = |path: &Path| {
        assert!(path.ends_with("memory.max") || path.ends_with("memory.limit_in_bytes"), "{path:?}");
        assert!(mounts.iter().any(|mount| path.starts_with(mount)), "{path:?} is below no mount");
        let climbs = path.components().any(|component| component == std::path::Component::ParentDir);
        assert!(!climbs || mounts.iter().any(|mount| mount.contains("..")), "{path:?} climbs");
        Some(format!("{}\n", (1_u64 << 40) - u64::try_from(path.as_os_str().len()).unwrap()))
    };
    let limit = fuzzing::memory_limit(cgroup, mountinfo, read);
    assert!(limit.is_none_or(|limit| limit <= 1 << 40));
    assert_eq!(fuzzing::memory_limit(cgroup, mountinfo, |_| None), None);
    assert_eq!(fuzzing::memory_limit(cgroup, mountinfo, |_| Some("max\n".to_owned())), None);
}
