//! Where the data is while the benchmark runs: in memory, so that no disk is measured by accident.
//!
//! A run that is interrupted must not leave gigabytes of memory behind. So a shell holds the other end of a
//! pipe: when the benchmark goes away, however it goes, the pipe closes and the shell removes the folder.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::problem::{Outcome, Problem};

const MEMORY: &str = "/dev/shm";

/// A folder that is gone when the benchmark is.
#[derive(Debug)]
pub struct WorkFolder {
    path: PathBuf,
    remover: Child,
}

impl WorkFolder {
    /// A folder in memory where the machine has such a place, else among the temporary files.
    pub fn in_memory() -> Outcome<Self> {
        let memory = Path::new(MEMORY);
        if memory.is_dir() {
            return Self::below(memory);
        }
        let folder = std::env::temp_dir();
        println!(
            "note: this machine has no {MEMORY}; the data is in {}, which may be on a disk",
            folder.display()
        );
        Self::below(&folder)
    }

    /// A folder below one that exists.
    pub fn below(parent: &Path) -> Outcome<Self> {
        let made = tempfile::Builder::new().prefix("plimsoll-bench-").tempdir_in(parent);
        let path = made.map_err(|error| {
            Problem::new(format!("cannot create a folder in {}: {error}", parent.display()))
                .hint("name a folder that exists and can be written to with --dest")
        })?;
        let path = path.keep();
        // A moment for the clients to notice that the server is gone, so that none writes meanwhile.
        let remover = Command::new("/bin/sh")
            .args(["-c", "read -r done; [ \"$done\" ] || sleep 2; rm -rf -- \"$0\""])
            .arg(&path)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(Problem::at("start a shell to remove", &path))?;
        Ok(Self { path, remover })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new folder in it.
    pub fn subfolder(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(Problem::at("create", &path))?;
        Ok(path)
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.remover.stdin.take() {
            let _ = std::io::Write::write_all(&mut pipe, b"done\n");
        }
        let _ = self.remover.wait();
    }
}
