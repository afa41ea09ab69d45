//! A local folder or file, such as a mounted volume, as a store.
//!
//! Reads go through the blocking pool in chunks; nothing is mapped. Create-only writes use `link(2)`, which
//! fails when the name is taken, on every file system including NFS; replacing under an expectation holds an
//! advisory lock on the folder.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream;
use handoff::SafePath;

use super::{Body, ByteRange, Identity, Listing, RemoteFile, Store, StoreError, WritableStore};
use crate::limits::Limits;

const CHUNK_BYTES: usize = 512 * 1024;

/// A local folder, or a single file, as a source.
pub struct FileStore {
    root: PathBuf,
}

impl FileStore {
    /// The folder or file at `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }
}

fn local(path: &Path) -> impl Fn(io::Error) -> StoreError + '_ {
    move |source| match source.kind() {
        io::ErrorKind::NotFound => StoreError::NotFound { what: path.display().to_string() },
        io::ErrorKind::PermissionDenied => {
            StoreError::Denied { what: path.display().to_string(), status: "permission denied".into() }
        }
        io::ErrorKind::AlreadyExists => StoreError::Exists { what: path.display().to_string() },
        _ => StoreError::Local { path: path.to_owned(), source },
    }
}

fn identity(metadata: &fs::Metadata) -> Identity {
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    Identity(format!("{}:{}:{}:{seconds}.{nanoseconds}", metadata.dev(), metadata.ino(), metadata.len()))
}

/// Runs file-system work on the blocking pool.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(join) => Err(StoreError::Refused { what: "local file access".into(), reason: join.to_string() }),
    }
}

impl Store for FileStore {
    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        let root = self.root.clone();
        blocking(move || list(&root)).boxed()
    }

    fn read<'a>(
        &'a self,
        path: &'a SafePath,
        expected: Option<&'a Identity>,
        range: ByteRange,
    ) -> BoxFuture<'a, Result<Body, StoreError>> {
        let expected = expected.cloned();
        let located = path.below(&self.root);
        blocking(move || {
            let mut file = File::open(&located).map_err(local(&located))?;
            let metadata = file.metadata().map_err(local(&located))?;
            let (found, size) = (identity(&metadata), Some(metadata.len()));
            if expected.is_some_and(|expected| expected != found) {
                return Err(StoreError::Changed { what: located.display().to_string() });
            }
            file.seek(SeekFrom::Start(range.start)).map_err(local(&located))?;
            let length = range.end.map_or(u64::MAX, |end| end.saturating_sub(range.start));
            let chunks = Box::pin(chunks(file.take(length), located));
            let (starts_at, ends_at) = (range.start, range.end.or(size));
            Ok(Body { starts_at, identity: Some(found), size, ends_at, chunks })
        })
        .boxed()
    }
}

fn chunks(
    file: io::Take<File>,
    path: PathBuf,
) -> impl stream::Stream<Item = Result<Bytes, StoreError>> + Send {
    stream::try_unfold((file, path), |(mut file, path)| {
        blocking(move || {
            let mut chunk = vec![0; CHUNK_BYTES];
            let length = file.read(&mut chunk).map_err(local(&path))?;
            chunk.truncate(length);
            Ok((length > 0).then(|| (Bytes::from(chunk), (file, path))))
        })
    })
}

/// Every regular file below `root`, or `root` itself if it is one. A link is followed only while it stays
/// below `root`: a shared volume must not be able to have the fetcher copy, say, a mounted token.
///
/// # Errors
/// As the file system's; also for names that [`SafePath`] does not admit and past the bounds of [`Limits`].
pub fn list(root: &Path) -> Result<Listing, StoreError> {
    let too_large = |limit| StoreError::TooLarge { what: root.display().to_string(), limit };
    let metadata = fs::metadata(root).map_err(local(root))?;
    if metadata.is_file() {
        let name = root.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let (size, identity) = (Some(metadata.len()), Some(identity(&metadata)));
        return Ok(Listing::Single(RemoteFile {
            path: safe_path(name, root)?,
            size,
            identity,
            checksum: None,
        }));
    }
    let canonical_root = root.canonicalize().map_err(local(root))?;
    let mut files = Vec::new();
    let mut folders: Vec<Option<SafePath>> = vec![None];
    let mut folders_seen = 0;
    while let Some(folder) = folders.pop() {
        folders_seen += 1;
        if folders_seen > Limits::DEFAULT.folders {
            return Err(too_large(Limits::DEFAULT.folders));
        }
        let directory = folder.as_ref().map_or_else(|| root.to_owned(), |folder| folder.below(root));
        for entry in fs::read_dir(&directory).map_err(local(&directory))? {
            let entry_path = entry.map_err(local(&directory))?.path();
            let name = entry_path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
                let what = entry_path.display().to_string();
                StoreError::Malformed { what, reason: "expected a name in UTF-8".into() }
            })?;
            let name = folder.as_ref().map_or_else(|| name.to_owned(), |folder| format!("{folder}/{name}"));
            // A loop of links ends here, at the bound on a path's depth.
            let path = safe_path(&name, &entry_path)?;
            if !entry_path.canonicalize().map_err(local(&entry_path))?.starts_with(&canonical_root) {
                let reason = format!("it is a link that leaves {}", root.display());
                return Err(StoreError::Refused { what: entry_path.display().to_string(), reason });
            }
            let metadata = fs::metadata(&entry_path).map_err(local(&entry_path))?;
            if metadata.is_dir() {
                folders.push(Some(path));
            } else if metadata.is_file() {
                let (size, identity) = (Some(metadata.len()), Some(identity(&metadata)));
                files.push(RemoteFile { path, size, identity, checksum: None });
            }
            if files.len() > Limits::DEFAULT.files {
                return Err(too_large(Limits::DEFAULT.files));
            }
        }
    }
    Ok(Listing::Folder(files))
}

fn safe_path(name: &str, located: &Path) -> Result<SafePath, StoreError> {
    name.parse().map_err(|error: handoff::path::PathError| StoreError::Malformed {
        what: located.display().to_string(),
        reason: error.to_string(),
    })
}

impl WritableStore for FileStore {
    fn create<'a>(&'a self, path: &'a SafePath, content: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        let target = path.below(&self.root);
        blocking(move || {
            let neighbour = write_neighbour(&target, &content)?;
            let linked = fs::hard_link(&neighbour, &target).map_err(local(&target));
            fs::remove_file(&neighbour).map_err(local(&neighbour))?;
            linked
        })
        .boxed()
    }

    fn swap<'a>(
        &'a self,
        path: &'a SafePath,
        expected: &'a Identity,
        content: Bytes,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let target = path.below(&self.root);
        let expected = expected.clone();
        blocking(move || {
            let folder = target.parent().unwrap_or(&target);
            let lock = File::open(folder).map_err(local(folder))?;
            lock.lock().map_err(local(folder))?;
            if identity(&fs::metadata(&target).map_err(local(&target))?) != expected {
                return Err(StoreError::Changed { what: target.display().to_string() });
            }
            let neighbour = write_neighbour(&target, &content)?;
            fs::rename(&neighbour, &target).map_err(local(&target))
        })
        .boxed()
    }

    fn upload<'a>(&'a self, path: &'a SafePath, source: &'a Path) -> BoxFuture<'a, Result<(), StoreError>> {
        let target = path.below(&self.root);
        let source = source.to_owned();
        blocking(move || {
            let mut from = File::open(&source).map_err(local(&source))?;
            let (neighbour, mut file) = create_neighbour(&target)?;
            io::copy(&mut from, &mut file).and_then(|_| file.sync_all()).map_err(local(&neighbour))?;
            fs::rename(&neighbour, &target).map_err(local(&target))
        })
        .boxed()
    }

    fn remove<'a>(&'a self, path: &'a SafePath) -> BoxFuture<'a, Result<(), StoreError>> {
        let target = path.below(&self.root);
        blocking(move || match fs::remove_file(&target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(local(&target)(error)),
            _ => Ok(()),
        })
        .boxed()
    }
}

/// Opens a fresh file beside `target`, on the same file system, under a name of its own.
fn create_neighbour(target: &Path) -> Result<(PathBuf, File), StoreError> {
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).map_err(local(folder))?;
    }
    let neighbour = target.with_file_name(format!(".{:016x}.new", fastrand::u64(..)));
    let file = File::create_new(&neighbour).map_err(local(&neighbour))?;
    Ok((neighbour, file))
}

fn write_neighbour(target: &Path, content: &[u8]) -> Result<PathBuf, StoreError> {
    let (neighbour, mut file) = create_neighbour(target)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(local(&neighbour))?;
    Ok(neighbour)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::read_small;

    #[test]
    fn a_link_that_leaves_the_root_is_refused() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("token"), "secret").unwrap();
        fs::write(root.path().join("blob"), "x").unwrap();
        std::os::unix::fs::symlink("blob", root.path().join("inside")).unwrap();
        assert_eq!(list(root.path()).unwrap().files().len(), 2);
        std::os::unix::fs::symlink(outside.path().join("token"), root.path().join("escape")).unwrap();
        let error = list(root.path()).unwrap_err().to_string();
        assert!(error.contains("it is a link that leaves"), "{error}");
    }

    #[test]
    fn a_loop_of_links_ends() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(".", root.path().join("again")).unwrap();
        assert!(list(root.path()).is_err());
    }

    #[tokio::test]
    async fn creating_is_once_and_swapping_needs_the_content_it_expects() {
        let root = tempfile::tempdir().unwrap();
        let store = FileStore::new(root.path());
        let alias: SafePath = "a/aliases/champion".parse().unwrap();
        store.create(&alias, "v1".into()).await.unwrap();
        assert!(matches!(store.create(&alias, "v2".into()).await, Err(StoreError::Exists { .. })));
        let (content, first) = read_small(&store, &alias, 10).await.unwrap();
        assert_eq!(content, b"v1");
        let first = first.unwrap();
        store.swap(&alias, &first, "v2".into()).await.unwrap();
        assert!(matches!(store.swap(&alias, &first, "v3".into()).await, Err(StoreError::Changed { .. })));
        assert_eq!(read_small(&store, &alias, 10).await.unwrap().0, b"v2");
        let left = list(root.path()).unwrap();
        assert_eq!(
            left.files().iter().map(|file| &file.path).collect::<Vec<_>>(),
            [&alias],
            "nothing but the alias is left behind"
        );
    }
}
