//! The staging area: partial files, and the mark that says of which plan.
//!
//! Files are named by their number in the plan, so no name from outside is used before its file is verified.
//! The mark is a digest over the plan: a plan that differs in anything, a size, an ETag, a path, starts with an
//! empty area.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use handoff::Sha256Digest;

use crate::plan::Plan;

const MARK: &str = "plan.sha256";
const PARTS: &str = "parts";

/// The staging area of one plan.
#[derive(Clone, Debug)]
pub struct Staging {
    parts: PathBuf,
}

impl Staging {
    /// Opens the area in `directory`, empty unless it was left by the same plan.
    ///
    /// # Errors
    /// As the file system does.
    pub fn open(directory: &Path, plan: &Plan) -> io::Result<Self> {
        let (mark, parts) = (directory.join(MARK), directory.join(PARTS));
        let digest = digest(plan)?;
        if fs::read_to_string(&mark).ok().as_ref() != Some(&digest) {
            match fs::remove_dir_all(&parts) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::create_dir_all(&parts)?;
            fs::write(&mark, digest)?;
        }
        Ok(Self { parts })
    }

    /// The staging file of the plan's file number `index`.
    pub fn file(&self, index: usize) -> PathBuf {
        self.parts.join(format!("{index:06}.part"))
    }

    /// Bytes that are already there.
    ///
    /// # Errors
    /// As the file system does.
    pub fn bytes(&self) -> io::Result<u64> {
        let sizes = fs::read_dir(&self.parts)?.map(|entry| entry?.metadata().map(|found| found.len()));
        sizes.sum()
    }
}

/// The digest over a plan. An ETag tells contents apart at one address only, and a plan shows addresses without
/// their queries, so those are added.
fn digest(plan: &Plan) -> io::Result<String> {
    let mut text = serde_json::to_vec(plan)?;
    for file in plan.files.iter().filter(|file| file.source.store.hides_something()) {
        text.extend_from_slice(file.source.store.with_query().as_bytes());
        text.push(b'\n');
    }
    Ok(Sha256Digest::of(&text).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{PlannedFile, Source};
    use handoff::{ModelId, Resolved};

    fn plan(store: &str, size: u64) -> Plan {
        let (store, path) = store.parse::<crate::uri::StoreUri>().unwrap().split_file().unwrap();
        let resolved = Resolved { registry: "uri".into(), version: "v1".into(), uri: store.to_string() };
        let source = Source { store, path: path.clone(), identity: None };
        Plan {
            model: ModelId { name: "a".into(), version: "v1".into() },
            resolved,
            digest: None,
            pinned: false,
            files: vec![PlannedFile { path, size: Some(size), expected: None, source }],
        }
    }

    #[test]
    fn only_the_same_plan_finds_what_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let left = |store: &str, size| {
            let area = Staging::open(folder.path(), &plan(store, size)).unwrap();
            let found = area.bytes().unwrap();
            fs::write(area.file(0), "part").unwrap();
            found
        };
        assert_eq!(left("https://h/get?file=one", 9), 0);
        assert_eq!(left("https://h/get?file=one", 9), 4);
        assert_eq!(left("https://h/get?file=two", 9), 0, "another query");
        assert_eq!(left("https://h/get?file=two", 8), 0, "another size");
        assert_eq!(left("https://h/get?file=two", 8), 4);
        let mark = fs::read_to_string(folder.path().join(MARK)).unwrap();
        assert!(!mark.contains("two"), "{mark}");
    }
}
