//! `health-sidecar install`: a copy for another container, which has nothing of ours but that file.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test] functions")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::model_server::{ModelServer, Says};
use crate::sidecar::{Sidecar, command, wait_for};
use crate::volume::Volume;

fn install(folder: &Path) -> Output {
    command().arg("install").arg(folder).output().unwrap()
}

/// What a folder holds, by name.
fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into()).collect();
    names.sort();
    names
}

#[test]
fn the_copy_is_the_program_and_anyone_may_run_it() {
    let folder = tempfile::tempdir().unwrap();
    // The strictest umask that lets the owner read what it wrote.
    let script = "umask 077; exec \"$0\" install \"$1\"";
    let mut strict = Command::new("/bin/sh");
    strict.args(["-c", script, env!("CARGO_BIN_EXE_health-sidecar")]).arg(folder.path());
    let output = strict.output().unwrap();
    let copy = folder.path().join("health-sidecar");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("installed {}\n", copy.display()));
    assert!(output.status.success() && output.stderr.is_empty());
    assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::read(&copy).unwrap(), fs::read(env!("CARGO_BIN_EXE_health-sidecar")).unwrap());
    assert_eq!(names(folder.path()), [PathBuf::from("health-sidecar")]);
}

#[test]
fn the_copy_checks_a_sidecar_with_an_empty_environment() {
    let folder = tempfile::tempdir().unwrap();
    assert!(install(folder.path()).status.success());
    let (volume, server) = (Volume::empty(), ModelServer::start(Says::loaded()));
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    let check = || {
        let mut copy = Command::new(folder.path().join("health-sidecar"));
        copy.env_clear().current_dir("/").args(["check", "--url", &sidecar.url("/health")]).output().unwrap()
    };
    let output = check();
    assert_eq!(output.status.code(), Some(69));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "waiting for the fetcher\n");
    volume.put_files();
    volume.put_receipt(&crate::volume::receipt(crate::volume::VERSION));
    wait_for(|| check().status.success().then_some(()), || format!("{:?}", check()));
}

#[test]
fn a_copy_that_is_in_use_is_replaced_and_so_is_what_was_left_or_planted() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let precious = elsewhere.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    symlink(&precious, folder.path().join(".health-sidecar.new")).unwrap();
    symlink(&precious, folder.path().join("health-sidecar")).unwrap();
    assert!(install(folder.path()).status.success());
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    let copy = folder.path().join("health-sidecar");
    assert!(fs::symlink_metadata(&copy).unwrap().is_file());

    let volume = Volume::empty();
    let mut running = Command::new(&copy);
    running.env_clear().env("HEALTH_LISTEN", "127.0.0.1:0").env("HEALTH_SERVER", "mlflow");
    running.env("MODEL_DIR", volume.path());
    let running = Sidecar::spawn(running);
    let before = fs::metadata(&copy).unwrap().ino();
    assert!(install(folder.path()).status.success());
    assert_ne!(fs::metadata(&copy).unwrap().ino(), before);
    assert_eq!(running.get("/livez").status, 200);
}

#[test]
fn a_folder_that_will_not_do_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for (place, problem) in [(&missing, "No such file or directory"), (&file, "Not a directory")] {
        let output = install(place);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(74), "{text}");
        assert!(text.starts_with("error: cannot ") && text.contains(&*place.to_string_lossy()), "{text}");
        assert!(text.contains(problem) && text.contains("\nhint: name a folder that is there"), "{text}");
    }
    let output = command().arg("install").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn a_folder_that_may_not_be_written_to_is_told_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o555)).unwrap();
    let output = install(folder.path());
    // Root may write anywhere; a folder of the kernel's own shows the same to everybody.
    let output = if output.status.success() { install(Path::new("/proc/self")) } else { output };
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(74), "{text}");
    assert!(text.starts_with("error: cannot "), "{text}");
}

#[test]
fn a_full_volume_is_told_as_that_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    // As on a full disk: the largest file that may be written is smaller than the program.
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" install \"$1\"";
    let mut limited = Command::new("/bin/sh");
    limited.args(["-c", script, env!("CARGO_BIN_EXE_health-sidecar")]).arg(folder.path());
    let output = limited.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(74), "{text}");
    assert!(text.contains("cannot write ") && text.contains(".health-sidecar.new"), "{text}");
    assert_eq!(names(folder.path()), Vec::<PathBuf>::new());
}
