//! A disk of a test's own, that can lose what was not synced, break, and be full.
//!
//! It is an image in a file, mounted through a loop device, which needs root. What the file system has not written to
//! the image yet is what a loss of power would take: a copy of the image, taken while it is mounted, is the disk as the
//! next boot finds it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plimsoll_tests::{process, skip};
use tempfile::TempDir;

/// A mounted disk.
pub struct Disk {
    folder: TempDir,
}

impl Disk {
    /// A new disk of so many MiB; none where the tests that need one are left out.
    pub fn new(mib: u32, what: &str) -> Option<Self> {
        if skip::asked("mount", what) {
            return None;
        }
        assert!(
            rustix::process::geteuid().is_root(),
            "expected root, who may mount a disk image; run as root, or set PLIMSOLL_SKIP=mount"
        );
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        process::run(Command::new("truncate").arg(format!("--size={mib}M")).arg(disk.image()));
        // Without blocks kept back for root, who runs this.
        process::run(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(disk.image()));
        disk.mount();
        Some(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn mount(&self) {
        fs::create_dir_all(self.path()).unwrap();
        // Nothing is written to the disk for so long but what is synced, and an error turns it read-only.
        let options = "loop,commit=600,errors=remount-ro";
        process::run(Command::new("mount").args(["-o", options]).arg(self.image()).arg(self.path()));
    }

    /// The disk as the next boot finds it if the power goes now.
    pub fn after_power_loss(&self) -> Self {
        let next = Self { folder: tempfile::tempdir().unwrap() };
        fs::copy(self.image(), next.image()).unwrap();
        next.mount();
        next
    }

    /// Has the file system find itself broken, which turns it read-only.
    pub fn break_down(&self) {
        let device = process::run(Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(self.path()));
        let device = Path::new(device.trim()).file_name().unwrap().to_owned();
        fs::write(Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error"), "broken").unwrap();
    }

    /// Repairs it, as an administrator does.
    pub fn repair(&self) {
        process::run(Command::new("umount").arg(self.path()));
        // 1 says that there was something to repair.
        let outcome = process::output(Command::new("e2fsck").args(["-f", "-y"]).arg(self.image()));
        assert!(matches!(outcome.status.code(), Some(0 | 1)), "{outcome:?}");
        self.mount();
    }

    /// Fills it to the last block. What is taken up goes with the file that it gives.
    pub fn fill(&self) -> PathBuf {
        let file = self.path().join("in the way");
        let mut command = Command::new("dd");
        command.args(["if=/dev/zero", "bs=4096", "oflag=append", "conv=notrunc"]);
        command.arg(format!("of={}", file.display()));
        let outcome = process::output(&mut command);
        assert!(String::from_utf8_lossy(&outcome.stderr).contains("No space left"), "{outcome:?}");
        file
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
