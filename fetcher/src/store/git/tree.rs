//! What the objects of a commit say: its folders, the files in them, and which of these are kept elsewhere because they are large.
//! <https://git-scm.com/book/en/v2/Git-Internals-Git-Objects>, <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>

use handoff::{SafePath, Sha256Digest};

use super::pack::{Kind, Objects, Oid};
use crate::limits::Limits;

/// Pointers are smaller than that.
pub(crate) const POINTER: usize = 1024;

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: SafePath,
    pub(crate) oid: Oid,
}

/// The files of a commit in a folder of it, by their path below that; nothing, if there is no such folder.
pub(crate) fn files(objects: &Objects, commit: Oid, folder: &str) -> Result<Option<Vec<File>>, String> {
    let root = objects.get(commit, Kind::Commit).ok_or("the commit is not in it")?;
    let root = root.strip_prefix(b"tree ").and_then(|rest| std::str::from_utf8(rest.get(..40)?).ok());
    let mut at: Oid = root.and_then(|oid| oid.parse().ok()).ok_or("the commit names no tree")?;
    for name in folder.split('/').filter(|name| !name.is_empty()) {
        let found = entries(tree(objects, at)?)?.into_iter().find(|entry| entry.name == name.as_bytes());
        match found {
            Some(Entry { mode: Mode::Folder, oid, .. }) => at = oid,
            _ => return Ok(None),
        }
    }
    let mut files = Vec::new();
    let mut folders = vec![(String::new(), at)];
    let mut folders_seen = 0;
    while let Some((above, oid)) = folders.pop() {
        folders_seen += 1;
        for entry in entries(tree(objects, oid)?)? {
            let name = std::str::from_utf8(entry.name).map_err(|_| "a name is not in UTF-8".to_owned())?;
            let path = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
            match entry.mode {
                Mode::Folder => folders.push((path, entry.oid)),
                // A folder with nothing in it, as `git clone` leaves it.
                Mode::Submodule => {}
                Mode::File => {
                    let path = path.parse().map_err(|error: handoff::path::PathError| error.to_string())?;
                    files.push(File { path, oid: entry.oid });
                }
                Mode::Link => {
                    let path = handoff::text::shown(&path);
                    return Err(format!("{path} is a symbolic link, expected files and folders"));
                }
            }
        }
        if files.len() > Limits::DEFAULT.files || folders_seen + folders.len() > Limits::DEFAULT.folders {
            return Err("it has more files or folders than any model".to_owned());
        }
    }
    Ok(Some(files))
}

fn tree(objects: &Objects, oid: Oid) -> Result<&[u8], String> {
    objects.get(oid, Kind::Tree).ok_or_else(|| format!("the tree {oid} is not in it"))
}

struct Entry<'a> {
    mode: Mode,
    name: &'a [u8],
    oid: Oid,
}

#[derive(Clone, Copy)]
enum Mode {
    Folder,
    File,
    Link,
    Submodule,
}

fn entries(tree: &[u8]) -> Result<Vec<Entry<'_>>, String> {
    let wrong = || "a tree is not one".to_owned();
    let (mut rest, mut entries) = (tree, Vec::new());
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let end = rest.iter().position(|byte| *byte == 0).filter(|end| *end > space).ok_or_else(wrong)?;
        let mode = match rest.get(..space).unwrap_or_default() {
            b"40000" | b"040000" => Mode::Folder,
            b"120000" => Mode::Link,
            b"160000" => Mode::Submodule,
            mode if mode.starts_with(b"100") => Mode::File,
            _ => return Err(wrong()),
        };
        let name = rest.get(space + 1..end).unwrap_or_default();
        let (oid, more) = rest.get(end + 1..).and_then(<[u8]>::split_first_chunk).ok_or_else(wrong)?;
        entries.push(Entry { mode, name, oid: Oid(*oid) });
        rest = more;
    }
    Ok(entries)
}

/// What stands for a large file in a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    pub(crate) sha256: Sha256Digest,
    pub(crate) size: u64,
}

impl Pointer {
    /// Reads a pointer; nothing, if a file is itself.
    pub(crate) fn read(content: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(content).ok().filter(|text| text.len() < POINTER)?;
        let mut lines = text.lines();
        let version = lines.next()?.strip_prefix("version ")?;
        if !["https://git-lfs.github.com/spec/v1", "https://hawser.github.com/spec/v1"].contains(&version) {
            return None;
        }
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        let sha256 = value("oid")?.strip_prefix("sha256:")?.parse().ok()?;
        Some(Self { sha256, size: value("size")?.parse().ok()? })
    }

    /// The name of the object, and what it is read by.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.sha256, self.size)
    }

    /// The pointer of a name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let (sha256, size) = name.split_once('-')?;
        Some(Self { sha256: sha256.parse().ok()?, size: size.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_read_and_nothing_else_is_one() {
        let digits = "ab".repeat(32);
        let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{digits}\nsize 12345\n");
        let pointer = Pointer::read(text.as_bytes()).unwrap();
        assert_eq!((pointer.sha256.to_string(), pointer.size), (digits.clone(), 12345));
        assert_eq!(Pointer::of_name(&pointer.name()), Some(pointer));
        for other in [
            text.replace("sha256:", "md5:"),
            text.replace("version", "Version"),
            text.replace("size", "Size"),
            text.repeat(20),
        ] {
            assert_eq!(Pointer::read(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_tree_that_is_cut_is_none() {
        let oid = [7; 20];
        let whole = [b"100644 a b.bin\0".as_slice(), &oid, b"40000 code\0", &oid].concat();
        assert_eq!(entries(&whole).unwrap().len(), 2);
        for end in 1..whole.len() {
            let cut = entries(&whole[..end]);
            assert!(cut.is_err() || end == 35, "{end}");
        }
        assert!(entries(&[b"999 a\0".as_slice(), &oid].concat()).is_err());
    }
}
