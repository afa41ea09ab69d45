//! Debian packages, for what neither Cargo, pip nor Go can install.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::skip::say;
use crate::{places, process};

/// The program `program` of the Debian package `package`, installed if it is not there.
///
/// # Panics
/// When it is missing and cannot be installed; the message says what to do.
pub fn debian_package(package: &str, program: &str) -> PathBuf {
    let program = Path::new(program);
    // One lock for all packages: apt-get admits one at a time.
    let lock = File::create(places::tools().join("debian.lock")).expect("a lock file can be created");
    lock.lock().expect("the lock is granted");
    if !program.is_file() {
        assert!(
            rustix::process::geteuid().is_root() && process::on_path("apt-get"),
            "expected {} to exist; install it, on Debian with `apt-get install {package}`",
            program.display()
        );
        say(&format!("installing the Debian package {package} …"));
        let started = Instant::now();
        apt_get(&["update", "-q"]);
        apt_get(&["install", "-q", "-y", "--no-install-recommends", package]);
        assert!(program.is_file(), "expected {package} to install {}", program.display());
        say(&format!("installed {package} in {:.1} s", started.elapsed().as_secs_f32()));
    }
    program.to_owned()
}

fn apt_get(arguments: &[&str]) {
    let mut command = Command::new("apt-get");
    // A run level of 1 keeps the package from starting its service: tests start their own, on loopback.
    // Somebody else may be installing something.
    command.args(["-o", "DPkg::Lock::Timeout=300"]);
    process::run(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1"));
}
