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
        let digest = Sha256Digest::of(&serde_json::to_vec(plan)?).to_string();
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
