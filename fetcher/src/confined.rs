//! A directory that the kernel keeps us inside of.
//!
//! Whoever else may write to the volume can plant links in it: one that leads out of it where a folder must be, or one
//! to a secret where a file is to be overwritten. So a name is never resolved from the root. It is looked up below an
//! open directory with `openat2(2)`, which follows no link on the way and does not leave; a kernel or a sandbox without
//! that call is given one component at a time, each without following. What is opened must be what is expected: a
//! folder, or a regular file that has no other name.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

#[cfg(test)]
mod property;

/// How often a lookup is made again that met a rename on its way.
const LOOKUPS: usize = 8;
/// Folders and files for the user and the group, which is how Pods share a volume; less what the umask takes.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o777);
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
/// No link in any place, the last included, and not out of the directory.
const INSIDE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An open directory. Paths given to it are relative, `/`-separated and without `..`.
#[derive(Clone, Debug)]
pub struct Directory {
    handle: Arc<OwnedFd>,
    path: PathBuf,
}

/// A name in a directory: of a file that is there, or may be.
#[derive(Clone, Debug)]
pub struct Place {
    directory: Directory,
    name: String,
}

impl Place {
    /// The name in the directory.
    pub fn new(directory: &Directory, name: String) -> Self {
        Self { directory: directory.clone(), name }
    }

    /// Where it was when the directory was opened, for messages.
    pub fn path(&self) -> PathBuf {
        self.directory.path.join(&self.name)
    }

    /// As [`Directory::file`].
    ///
    /// # Errors
    /// As there.
    pub fn file(&self, access: Access) -> io::Result<File> {
        self.directory.file(&self.name, access)
    }

    /// As [`Directory::remove_file`].
    ///
    /// # Errors
    /// As there.
    pub fn remove(&self) -> io::Result<()> {
        self.directory.remove_file(&self.name)
    }

    /// As [`Directory::rename`].
    ///
    /// # Errors
    /// As there.
    pub fn rename(&self, to: &Directory, target: &str) -> io::Result<()> {
        self.directory.rename(&self.name, to, target)
    }
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To be read.
    Read,
    /// To be read and written, and made if it is not there.
    Write,
}

impl Directory {
    /// Opens a directory that is configured by its path. The path may lead through links, but the directory is none.
    ///
    /// # Errors
    /// As the file system does.
    pub fn open(path: &Path) -> io::Result<Self> {
        let opened = rustix::fs::openat(CWD, path, FOLDER | OFlags::RDONLY, Mode::empty());
        let handle = opened.map_err(|error| explained(error, "a folder", path_kind(path)))?;
        Ok(Self { handle: Arc::new(handle), path: path.to_owned() })
    }

    /// Where it was when it was opened, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file system that it is on.
    ///
    /// # Errors
    /// As the file system does.
    pub fn device(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.handle)?.st_dev)
    }

    /// Locks it until the last clone is dropped. Says whether it was free.
    ///
    /// # Errors
    /// As the file system does.
    pub fn try_lock(&self) -> io::Result<bool> {
        match rustix::fs::flock(&self.handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The open directory itself.
    pub fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// A folder below it.
    ///
    /// # Errors
    /// As the file system does, and when anything on the way is not a folder.
    pub fn folder(&self, relative: &str) -> io::Result<Self> {
        let opened = self.look_up(relative, FOLDER | OFlags::RDONLY, Mode::empty());
        let handle =
            opened.map_err(|error| explained(error, "a folder", self.kind(relative).ok().flatten()))?;
        Ok(Self { handle: Arc::new(handle), path: self.path.join(relative) })
    }

    /// Makes a folder in one that is there, unless it is there already.
    ///
    /// # Errors
    /// As the file system does.
    pub fn make_folder(&self, relative: &str) -> io::Result<()> {
        let (parent, name) = self.parent(relative)?;
        match rustix::fs::mkdirat(&parent.handle, name, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a regular file below it.
    ///
    /// # Errors
    /// As the file system does, and when it is not a regular file with this one name.
    pub fn file(&self, relative: &str, access: Access) -> io::Result<File> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR | OFlags::CREATE,
        };
        // Without blocking, or opening a pipe to read from would wait for somebody who writes.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mode = if access == Access::Write { FILE_MODE } else { Mode::empty() };
        let expected = "a regular file";
        let opened = self.look_up(relative, flags, mode);
        let opened =
            opened.map_err(|error| explained(error, expected, self.kind(relative).ok().flatten()))?;
        let file = File::from(opened);
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(unexpected(expected, "something else"));
        }
        // Whoever holds another name of it could have it changed behind our back, or us change what is not ours.
        if access == Access::Write && found.nlink() > 1 {
            return Err(unexpected(expected, "one with a second name (a hard link)"));
        }
        Ok(file)
    }

    /// What is at a path, without following a link; nothing if nothing is there.
    ///
    /// # Errors
    /// As the file system does.
    pub fn kind(&self, relative: &str) -> io::Result<Option<FileType>> {
        let found = self.parent(relative).and_then(|(parent, name)| {
            Ok(rustix::fs::statat(&parent.handle, name, AtFlags::SYMLINK_NOFOLLOW)?)
        });
        match found {
            Ok(found) => Ok(Some(FileType::from_raw_mode(found.st_mode))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a file, or a link in its place.
    ///
    /// # Errors
    /// As the file system does.
    pub fn remove_file(&self, relative: &str) -> io::Result<()> {
        let (parent, name) = self.parent(relative)?;
        Ok(rustix::fs::unlinkat(&parent.handle, name, AtFlags::empty())?)
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// As the file system does.
    pub fn remove_folder(&self, relative: &str) -> io::Result<()> {
        let (parent, name) = self.parent(relative)?;
        Ok(rustix::fs::unlinkat(&parent.handle, name, AtFlags::REMOVEDIR)?)
    }

    /// Moves a file of this directory to a path below another, in place of what is there.
    ///
    /// # Errors
    /// As the file system does.
    pub fn rename(&self, relative: &str, to: &Self, target: &str) -> io::Result<()> {
        let (from, name) = self.parent(relative)?;
        let (to, target) = to.parent(target)?;
        Ok(rustix::fs::renameat(&from.handle, name, &to.handle, target)?)
    }

    /// The open folder that a path is in, and the path's last component.
    fn parent<'a>(&self, relative: &'a str) -> io::Result<(Self, &'a str)> {
        match relative.rsplit_once('/') {
            Some((folder, name)) => Ok((self.folder(folder)?, name)),
            None => Ok((self.clone(), relative)),
        }
    }

    fn look_up(&self, relative: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        for _ in 0..LOOKUPS {
            match rustix::fs::openat2(&self.handle, relative, flags, mode, INSIDE) {
                // A rename elsewhere in the file system, and the kernel does not know whether it mattered.
                Err(Errno::AGAIN) => {}
                // Not there before Linux 5.6, and refused by some sandboxes.
                Err(Errno::NOSYS | Errno::PERM) => break,
                outcome => return outcome,
            }
        }
        self.walk(relative, flags, mode)
    }

    /// The same, one component at a time.
    fn walk(&self, relative: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let mut at: Option<OwnedFd> = None;
        let (folders, name) = relative.rsplit_once('/').unwrap_or(("", relative));
        for component in folders.split('/').filter(|component| !component.is_empty()) {
            let next = match &at {
                Some(folder) => step(folder, component, FOLDER | OFlags::RDONLY, Mode::empty()),
                None => step(&self.handle, component, FOLDER | OFlags::RDONLY, Mode::empty()),
            };
            at = Some(next?);
        }
        match &at {
            Some(folder) => step(folder, name, flags, mode),
            None => step(&self.handle, name, flags, mode),
        }
    }
}

/// One component, which is not a way up.
fn step(folder: &OwnedFd, component: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    match component {
        "" | "." | ".." => Err(Errno::XDEV),
        _ => rustix::fs::openat(folder, component, flags | OFlags::NOFOLLOW, mode),
    }
}

fn path_kind(path: &Path) -> Option<FileType> {
    let found = rustix::fs::lstat(path).ok()?;
    Some(FileType::from_raw_mode(found.st_mode))
}

/// What the kernel says of a link on the way does not name it as one.
fn explained(error: Errno, expected: &str, found: Option<FileType>) -> io::Error {
    match (error, found) {
        (Errno::LOOP | Errno::NOTDIR | Errno::XDEV | Errno::ISDIR | Errno::NXIO, Some(found)) => {
            unexpected(expected, kind_name(found))
        }
        (Errno::LOOP | Errno::XDEV, None) => unexpected(expected, "a way through a link"),
        (other, _) => other.into(),
    }
}

fn unexpected(expected: &str, found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("expected {expected}, got {found}"))
}

/// What to call it in a message.
pub fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a link",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "something unknown",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory with what somebody might plant, and what must not be reached outside of it.
    fn planted() -> (tempfile::TempDir, Directory) {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("inside");
        fs::create_dir_all(inside.join("real/deep")).unwrap();
        fs::create_dir(folder.path().join("outside")).unwrap();
        fs::write(folder.path().join("outside/secret"), "secret").unwrap();
        fs::write(inside.join("real/file"), "content").unwrap();
        symlink("../outside", inside.join("out")).unwrap();
        symlink("real", inside.join("in")).unwrap();
        symlink("../outside/secret", inside.join("link")).unwrap();
        symlink("../outside/new", inside.join("dangling")).unwrap();
        fs::hard_link(folder.path().join("outside/secret"), inside.join("hard")).unwrap();
        let pipe = rustix::fs::CWD;
        rustix::fs::mkfifoat(pipe, inside.join("pipe"), Mode::from_raw_mode(0o600)).unwrap();
        let directory = Directory::open(&inside).unwrap();
        (folder, directory)
    }

    fn said<T: std::fmt::Debug>(outcome: io::Result<T>) -> String {
        outcome.unwrap_err().to_string()
    }

    #[test]
    fn what_is_real_is_reached() {
        let (folder, directory) = planted();
        directory.make_folder("real/new").unwrap();
        directory.make_folder("real/new").unwrap();
        directory.file("real/new/a", Access::Write).unwrap();
        directory.rename("real/new/a", &directory.folder("real").unwrap(), "deep/b").unwrap();
        directory.remove_folder("real/new").unwrap();
        assert!(directory.file("real/file", Access::Read).is_ok());
        assert!(folder.path().join("inside/real/deep/b").exists());
        assert_eq!(directory.kind("nothing").unwrap(), None);
        assert_eq!(directory.kind("nothing/here").unwrap(), None);
        assert_eq!(directory.kind("link").unwrap(), Some(FileType::Symlink));
    }

    #[test]
    fn no_link_is_followed_and_nothing_outside_is_touched() {
        let (folder, directory) = planted();
        assert_eq!(said(directory.folder("out")), "expected a folder, got a link");
        assert_eq!(said(directory.folder("in/deep")), "expected a folder, got a way through a link");
        for access in [Access::Read, Access::Write] {
            assert_eq!(said(directory.file("link", access)), "expected a regular file, got a link");
            assert_eq!(said(directory.file("dangling", access)), "expected a regular file, got a link");
            assert!(said(directory.file("out/secret", access)).starts_with("expected "));
            assert!(directory.file("pipe", access).is_err());
            assert!(directory.file("real", access).is_err());
        }
        assert!(said(directory.file("hard", Access::Write)).contains("a hard link"));
        assert!(directory.make_folder("out/new").is_err());
        assert!(directory.remove_file("out/secret").is_err());
        assert!(directory.rename("real/file", &directory, "out/file").is_err());
        assert!(directory.rename("out/secret", &directory, "stolen").is_err());
        let outside: Vec<_> = fs::read_dir(folder.path().join("outside")).unwrap().collect();
        assert_eq!(outside.len(), 1);
        assert_eq!(fs::read(folder.path().join("outside/secret")).unwrap(), b"secret");
        // A link in the place of a file goes; what it leads to stays.
        directory.rename("real/file", &directory, "link").unwrap();
        directory.remove_file("link").unwrap();
        assert!(folder.path().join("outside/secret").exists());
    }

    #[test]
    fn no_way_leads_up_or_to_the_root() {
        let (_folder, directory) = planted();
        for path in ["..", "../outside/secret", "real/../../outside/secret", "/etc/passwd", "/proc/self/exe"]
        {
            assert!(directory.file(path, Access::Read).is_err(), "{path}");
            assert!(directory.walk(path, OFlags::RDONLY, Mode::empty()).is_err(), "{path}");
        }
        assert_eq!(said(Directory::open(&directory.path().join("out"))), "expected a folder, got a link");
    }

    #[test]
    fn a_kernel_without_openat2_is_given_one_component_at_a_time() {
        let (_folder, directory) = planted();
        let read = |path| directory.walk(path, OFlags::RDONLY, Mode::empty());
        assert!(read("real/file").is_ok() && read("real/deep").is_ok());
        for path in ["out/secret", "in/file", "link", "dangling", "real/../real/file", "./real"] {
            assert!(read(path).is_err(), "{path}");
        }
    }
}
