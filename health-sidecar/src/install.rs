//! The `install` command: copies this very program into a folder, such as a volume that another container mounts.
//!
//! A model server's own image has no `health-sidecar` for an exec probe, and ours has neither a shell nor `cp` to
//! bring one. The copy is written beside its final name and moved there, so whoever runs it meanwhile runs the old
//! one or the new one, and an init container that is started again finds nothing in its way.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// What it is called in the folder.
pub const NAME: &str = "health-sidecar";
/// The kernel's own name for the program that is running, wherever that is, and even if it is not there any more.
const PROGRAM: &str = "/proc/self/exe";
/// Anyone may run it: the other container may have another user.
const MODE: u32 = 0o755;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The program cannot be read.
    #[error("cannot read {PROGRAM}")]
    Program(#[source] io::Error),
    /// The copy cannot be written.
    #[error("cannot {action} {}", path.display())]
    Copy {
        /// What was to be done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl InstallError {
    /// Whether the volume is full.
    pub fn is_full(&self) -> bool {
        self.source_kind()
            .is_some_and(|kind| [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&kind))
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self.source_kind()? {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Some("name a folder that is there: in a Pod, where this container mounts the volume")
            }
            io::ErrorKind::PermissionDenied => {
                Some("the volume must be writable for this user: set fsGroup in the Pod's securityContext")
            }
            io::ErrorKind::ReadOnlyFilesystem => Some("mount the volume here without `readOnly`"),
            _ => None,
        }
    }

    fn source_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Program(_) => None,
            Self::Copy { source, .. } => Some(source.kind()),
        }
    }
}

/// Copies the running program into `folder`, and gives the copy's path.
///
/// # Errors
/// See [`InstallError`]. What was there before is then still there.
pub fn install(folder: &Path) -> Result<PathBuf, InstallError> {
    let mut program = File::open(PROGRAM).map_err(InstallError::Program)?;
    let path = folder.join(NAME);
    let unfinished = folder.join(format!(".{NAME}.new"));
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| InstallError::Copy { action, path, source }
    };
    // What a run that was cut off left, or somebody planted: a link would be written through.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &unfinished)(error));
        }
        _ => {}
    }
    let mut copy = File::create_new(&unfinished).map_err(failed("create", &unfinished))?;
    let written = io::copy(&mut program, &mut copy)
        .map_err(failed("write", &unfinished))
        // By the handle, and whatever the umask is.
        .and_then(|_| {
            copy.set_permissions(Permissions::from_mode(MODE)).map_err(failed("make executable", &unfinished))
        })
        .and_then(|()| {
            // A program that is open for writing cannot be run.
            drop(copy);
            fs::rename(&unfinished, &path).map_err(failed("move into place", &path))
        });
    if written.is_err() {
        // It is of no use, and takes room. The first error is the one to tell.
        let _ = fs::remove_file(&unfinished);
    }
    written.map(|()| path)
}
