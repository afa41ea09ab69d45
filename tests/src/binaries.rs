//! The programs under test, built as they are now.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use crate::skip::say;
use crate::{places, process};

/// The fetcher, as a development build.
pub fn fetcher() -> PathBuf {
    development_builds().join("fetcher")
}

/// The health sidecar, as a development build.
pub fn health_sidecar() -> PathBuf {
    development_builds().join("health-sidecar")
}

/// Built by cargo once per test process, so that a test never runs yesterday's program.
fn development_builds() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--locked", "--quiet", "-p", "fetcher", "-p", "health-sidecar", "--bins"]);
        process::run(as_a_person_calls(&mut cargo).current_dir(places::workspace()));
        places::target().join("debug")
    })
}

/// A folder with the static release builds that go into the images, made by `images/build`.
pub fn static_binaries() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| build_for_images(&[]))
}

/// The health sidecar alone as it goes into the image: the fetcher takes minutes to build.
pub fn static_health_sidecar() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build_for_images(&["health-sidecar"]).join("health-sidecar"))
}

fn build_for_images(programs: &[&str]) -> PathBuf {
    // One at a time: they write to the same folder.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    say("building static release binaries …");
    let started = Instant::now();
    let mut build = Command::new(places::workspace().join("images/build"));
    process::run(as_a_person_calls(build.args(programs)));
    say(&format!("built them in {:.1} s", started.elapsed().as_secs_f32()));
    places::target().join("images")
}

/// `cargo test` describes the tested package to the test through variables. Build scripts of dependencies look
/// at the same names and would take a second build, with other values, for a reason to build all over.
pub(crate) fn as_a_person_calls(command: &mut Command) -> &mut Command {
    let describes_a_package = |name: &str| {
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    for name in env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| describes_a_package(name))
    {
        command.env_remove(name);
    }
    command.env("CARGO_TARGET_DIR", places::target())
}
