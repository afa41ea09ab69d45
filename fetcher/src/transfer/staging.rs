//! The staging area: partial files, the journal of what is in them, and the mark that says of which plan.
//!
//! Files are named by their number in the plan, so no name from outside is used before its file is verified.
//! The mark is a digest over the plan: a plan that differs in anything, a size, an ETag, a path, starts with an
//! empty area. It also names the boot of the node: what was written before a restart of the node may be lost
//! without a trace, so of that only files are kept whose digest is known beforehand.
//!
//! A run that was cut off while it put files into place has moved some of them already. They are taken back, to be
//! hashed again like everything that an earlier run left.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;

use handoff::Sha256Digest;

use super::extents::Extents;
use super::journal::{self, Journal};
use crate::confined::{Access, Directory, Place};
use crate::plan::{Plan, PlannedFile};

const MARK: &str = "plan.sha256";
const PARTS: &str = "parts";
/// What was in archives. An archive that was cut off starts over, so nothing of it is kept.
const MEMBERS: &str = "members";
/// More than a mark has: two lines of it.
const MARK_BYTES: u64 = 1024;
/// Unit of `st_blocks`, whatever the file system's own is; stat(2).
const STAT_BLOCK: u64 = 512;

/// The staging area of one plan.
#[derive(Debug)]
pub struct Staging {
    area: Directory,
    parts: Directory,
    members: Directory,
    kept: BTreeMap<usize, Extents>,
}

impl Staging {
    /// Opens the area, empty unless it was left by the same plan. `boot_id` names this boot of the
    /// node; `unclaimed` is the directory of the model, if no receipt vouches for what is in it.
    ///
    /// # Errors
    /// As the file system does.
    pub fn open(
        area: &Directory,
        plan: &Plan,
        boot_id: &str,
        unclaimed: Option<&Directory>,
    ) -> io::Result<Self> {
        let digest = digest(plan)?;
        let found = read_mark(area)?;
        let mut lines = found.lines();
        let (same_plan, same_boot) = (lines.next() == Some(&digest), lines.next() == Some(boot_id));
        let mut kept = BTreeMap::new();
        remove_folder(area, MEMBERS)?;
        if same_plan {
            let files: Vec<_> = plan.plain().collect();
            area.make_folder(PARTS)?;
            let parts = area.folder(PARTS)?;
            kept = journal::read(area)?;
            kept.retain(|number, kept| {
                let Some(file) = files.get(*number) else { return false };
                let vouched = !file.expected.is_empty() || (same_boot && !boot_id.is_empty());
                if let Some(model) = unclaimed
                    && vouched
                    && file.size == Some(kept.bytes())
                {
                    take_back(model, file, &parts, &part(*number));
                }
                let part = parts.file(&part(*number), Access::Read).and_then(|part| part.metadata());
                let whole = part.is_ok_and(|part| part.len() >= kept.end());
                let fits = file.size.is_some_and(|size| kept.end() <= size);
                vouched && whole && fits && !kept.is_empty()
            });
        } else {
            remove_folder(area, PARTS)?;
        }
        area.make_folder(PARTS)?;
        area.make_folder(MEMBERS)?;
        Journal::begin(area, &kept)?;
        if !(same_plan && same_boot) {
            let mut mark = area.file(MARK, Access::Write)?;
            mark.set_len(0)?;
            write!(mark, "{digest}\n{boot_id}\n")?;
        }
        let (parts, members) = (area.folder(PARTS)?, area.folder(MEMBERS)?);
        Ok(Self { area: area.clone(), parts, members, kept })
    }

    /// Where the files of archives are staged.
    pub fn members(&self) -> &Directory {
        &self.members
    }

    /// The staging file of the plan's plain file number `index`.
    pub fn file(&self, index: usize) -> Place {
        Place::new(&self.parts, part(index))
    }

    /// What an earlier run left of that file.
    pub fn kept(&self, index: usize) -> Option<&Extents> {
        self.kept.get(&index)
    }

    /// The journal, to be continued.
    ///
    /// # Errors
    /// As the file system does.
    pub fn journal(&self) -> io::Result<Journal> {
        Journal::open(&self.area)
    }

    /// Has the next run begin anew: all of this together is not what it must be.
    ///
    /// # Errors
    /// As the file system does.
    pub fn forget(&self) -> io::Result<()> {
        Journal::begin(&self.area, &BTreeMap::new())
    }

    /// Removes what was in archives, which the next run cannot go on from.
    ///
    /// # Errors
    /// As the file system does.
    pub fn discard_members(&self) -> io::Result<()> {
        remove_folder(&self.area, MEMBERS)
    }

    /// Bytes of the volume that the area takes up already: blocks, not lengths, since a file may have holes.
    ///
    /// # Errors
    /// As the file system does.
    pub fn allocated(&self) -> io::Result<u64> {
        let blocks =
            fs::read_dir(self.parts.path())?.map(|entry| entry?.metadata().map(|found| found.blocks()));
        Ok(blocks.sum::<io::Result<u64>>()?.saturating_mul(STAT_BLOCK))
    }
}

fn remove_folder(area: &Directory, name: &str) -> io::Result<()> {
    match fs::remove_dir_all(area.path().join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Moves a file that was whole back from its final name, if it is there and not here. What cannot be is fetched again.
fn take_back(model: &Directory, file: &PlannedFile, parts: &Directory, name: &str) {
    let path = file.path.as_str();
    let is_ours = || {
        let found = model.file(path, Access::Read)?.metadata()?;
        io::Result::Ok(found.nlink() == 1 && Some(found.len()) == file.size)
    };
    if matches!(parts.kind(name), Ok(None)) && is_ours().unwrap_or(false) {
        match model.rename(path, parts, name) {
            Ok(()) => tracing::debug!("taken back to be verified again: {path}"),
            Err(error) => tracing::debug!("cannot take {path} back: {error}"),
        }
    }
}

fn part(index: usize) -> String {
    format!("{index:06}.part")
}

/// What the mark says; nothing where there is none, or none of ours.
fn read_mark(area: &Directory) -> io::Result<String> {
    let mut text = String::new();
    match area.file(MARK, Access::Read) {
        Ok(mark) => {
            let _ = mark.take(MARK_BYTES).read_to_string(&mut text);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(text)
}

/// The digest over a plan. An ETag tells contents apart at one address only, and a plan shows addresses without
/// their queries, so those are added.
fn digest(plan: &Plan) -> io::Result<String> {
    let mut text = serde_json::to_vec(plan)?;
    for file in plan.files.iter().filter(|file| file.source.store.hides_something()) {
        text.extend_from_slice(file.source.store.with_query().as_bytes());
        text.push(b'\n');
    }
    Ok(Sha256Digest::of(&text).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Expected, Source};
    use handoff::{Integrity, ModelId, Resolved};

    fn plan(store: &str, size: u64) -> Plan {
        let (store, path) = store.parse::<crate::uri::StoreUri>().unwrap().split_file().unwrap();
        let resolved = Resolved { registry: "uri".into(), version: "v1".into(), uri: store.to_string() };
        let source = Source { store, path: path.clone(), identity: None };
        Plan {
            model: ModelId { name: "a".into(), version: "v1".into() },
            resolved,
            selection: handoff::Selection::default(),
            digest: None,
            signer: None,
            files: vec![PlannedFile { path, size: Some(size), expected: vec![], source, unpack: None }],
        }
    }

    /// Opens the area, tells how much of the file is kept, and leaves four bytes of it.
    fn left(folder: &std::path::Path, plan: &Plan, boot_id: &str) -> u64 {
        let area = Staging::open(&Directory::open(folder).unwrap(), plan, boot_id, None).unwrap();
        let found = area.kept(0).map_or(0, Extents::bytes);
        fs::write(area.file(0).path(), "part").unwrap();
        let mut landed = Extents::default();
        landed.insert(0..4);
        area.journal().unwrap().write(vec![(0, landed)]).unwrap();
        found
    }

    #[test]
    fn only_the_same_plan_finds_what_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let left = |store: &str, size| left(folder.path(), &plan(store, size), "boot");
        assert_eq!(left("https://h/get?file=one", 9), 0);
        assert_eq!(left("https://h/get?file=one", 9), 4);
        assert_eq!(left("https://h/get?file=two", 9), 0, "another query");
        assert_eq!(left("https://h/get?file=two", 8), 0, "another size");
        assert_eq!(left("https://h/get?file=two", 8), 4);
        let mark = fs::read_to_string(folder.path().join(MARK)).unwrap();
        assert!(!mark.contains("two"), "{mark}");
    }

    #[test]
    fn after_a_restart_of_the_node_only_what_can_be_checked_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = plan("https://h/a", 9);
        assert_eq!(left(folder.path(), &plan, "one"), 0);
        assert_eq!(left(folder.path(), &plan, "two"), 0);
        assert_eq!(left(folder.path(), &plan, "two"), 4);
        assert_eq!(left(folder.path(), &plan, ""), 0, "without /proc nobody knows");
        let sha256 = Sha256Digest::of(b"x");
        plan.files[0].expected = vec![Expected::whole(sha256, Integrity::Registry)];
        assert_eq!(left(folder.path(), &plan, "two"), 0);
        assert_eq!(left(folder.path(), &plan, "three"), 4);
        fs::write(folder.path().join("parts/000000.part"), "par").unwrap();
        let area = Staging::open(&Directory::open(folder.path()).unwrap(), &plan, "three", None).unwrap();
        assert_eq!(area.kept(0), None, "shorter than the journal says");
    }

    #[test]
    fn what_was_moved_into_place_is_taken_back_while_no_receipt_vouches_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let (area, placed) = (folder.path().join("area"), folder.path().join("model/a"));
        fs::create_dir(&area).unwrap();
        fs::create_dir(placed.parent().unwrap()).unwrap();
        let (area, model) =
            (Directory::open(&area).unwrap(), Directory::open(placed.parent().unwrap()).unwrap());
        let plan = plan("https://h/a", 4);
        let kept = |unclaimed| {
            let area = Staging::open(&area, &plan, "boot", unclaimed).unwrap();
            (area.kept(0).map_or(0, Extents::bytes), area)
        };
        let is_there = |content: &str| {
            let (_, area) = kept(None);
            let mut landed = Extents::default();
            landed.insert(0..4);
            area.journal().unwrap().write(vec![(0, landed)]).unwrap();
            let _ = fs::remove_file(area.file(0).path());
            let _ = fs::remove_file(&placed);
            fs::write(&placed, content).unwrap();
        };
        is_there("part");
        assert_eq!(kept(None).0, 0, "a receipt may vouch for it");
        assert!(placed.exists());
        is_there("part");
        assert_eq!(kept(Some(&model)).0, 4);
        assert!(!placed.exists());
        is_there("other size");
        assert_eq!(kept(Some(&model)).0, 0);
        is_there("part");
        fs::hard_link(&placed, folder.path().join("another name")).unwrap();
        assert_eq!(kept(Some(&model)).0, 0, "somebody else may have it open by its other name");
        assert!(placed.exists());
    }
}
