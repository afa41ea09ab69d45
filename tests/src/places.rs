//! Where things are: the workspace, the build's output, the test data and the installed tools.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are one folder below the workspace")
}

/// A file or folder of `tests/data`.
pub fn data(name: &str) -> PathBuf {
    let path = workspace().join("tests/data").join(name);
    assert!(path.exists(), "expected {} to exist", path.display());
    path
}

/// The build directory that the running program was built in, which need not be `target` in the workspace.
///
/// Cargo puts a test at `<build directory>/<profile>/deps/<test>` and a program one folder higher.
pub fn target() -> PathBuf {
    let running = env::current_exe().expect("the running program has a path");
    let folder = running.parent().expect("a program is in a folder");
    let profile = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    profile.and_then(Path::parent).expect("a profile's folder is in the build directory").to_owned()
}

/// The folder of the installed tools, which a `cargo clean` removes with everything else.
pub fn tools() -> PathBuf {
    let folder = target().join("tools");
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("cannot create {}: {error}", folder.display()));
    folder
}
