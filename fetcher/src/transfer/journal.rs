//! The resume journal: what is on the disk of each file, so that a restarted container goes on from it.
//!
//! Staging files are allocated whole, so their length says nothing. The journal is a text file that only grows: a
//! line of JSON for each file that changed since the last writing, written after the bytes it speaks of; the last line
//! of a file counts. A line that was cut off is ignored with everything after it. Nothing that it says is trusted
//! further than to save a request: what is kept is hashed again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek as _, SeekFrom, Write as _};

use serde::{Deserialize, Serialize};

use super::board::FileNumber;
use super::extents::Extents;
use crate::confined::{Access, Directory};
use crate::limits::Limits;

#[cfg(test)]
mod property;

#[derive(Serialize, Deserialize)]
struct Line {
    file: FileNumber,
    landed: Extents,
}

/// Name of the journal in its directory.
pub const NAME: &str = "journal.jsonl";
/// Name of one that is about to take its place.
const NEXT: &str = "journal.next";

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    /// Up to where its lines are whole.
    length: u64,
}

impl Journal {
    /// Begins the journal in `area` with what there is, in one step: a line that was cut off would spoil those that
    /// follow it.
    ///
    /// # Errors
    /// As the file system does.
    pub fn begin(area: &Directory, kept: &BTreeMap<FileNumber, Extents>) -> io::Result<()> {
        let file = area.file(NEXT, Access::Write)?;
        file.set_len(0)?;
        let mut journal = Self { file, length: 0 };
        journal.write(kept.clone().into_iter().collect())?;
        area.rename(NEXT, area, NAME)
    }

    /// Opens the journal in `area` to be continued.
    ///
    /// # Errors
    /// As the file system does.
    pub fn open(area: &Directory) -> io::Result<Self> {
        let mut file = area.file(NAME, Access::Write)?;
        Ok(Self { length: file.seek(SeekFrom::End(0))?, file })
    }

    /// Adds the state of some files.
    ///
    /// # Errors
    /// As the file system does.
    pub(super) fn write(&mut self, changes: Vec<(FileNumber, Extents)>) -> io::Result<()> {
        let mut text = Vec::new();
        for (file, landed) in changes {
            serde_json::to_writer(&mut text, &Line { file, landed })?;
            text.push(b'\n');
        }
        if let Err(error) = self.file.write_all(&text) {
            // A full disk takes a part of a line, which would spoil those that follow when there is room again.
            let _ = self.file.set_len(self.length);
            let _ = self.file.seek(SeekFrom::Start(self.length));
            return Err(error);
        }
        self.length += u64::try_from(text.len()).unwrap_or(u64::MAX);
        Ok(())
    }
}

/// Reads what a journal says; nothing where there is none.
///
/// # Errors
/// As the file system does.
pub fn read(area: &Directory) -> io::Result<BTreeMap<FileNumber, Extents>> {
    match area.file(NAME, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        opened => parse(BufReader::new(opened?)),
    }
}

/// Reads what the text of a journal says.
///
/// # Errors
/// As its source does.
pub fn parse(text: impl BufRead) -> io::Result<BTreeMap<FileNumber, Extents>> {
    let mut files = BTreeMap::new();
    for line in text.split(b'\n') {
        let Ok(line) = serde_json::from_slice::<Line>(&line?) else { break };
        if !line.landed.is_sound() || line.file >= Limits::DEFAULT.files {
            break;
        }
        files.insert(line.file, line.landed);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn kept(end: u64) -> Extents {
        let mut landed = Extents::default();
        landed.insert(0..end);
        landed
    }

    #[test]
    fn the_last_line_of_a_file_counts() {
        let folder = tempfile::tempdir().unwrap();
        let area = Directory::open(folder.path()).unwrap();
        assert_eq!(read(&area).unwrap(), BTreeMap::new());
        Journal::open(&area).unwrap().write(vec![(0, kept(5)), (7, kept(1))]).unwrap();
        Journal::open(&area).unwrap().write(vec![(0, kept(9))]).unwrap();
        assert_eq!(read(&area).unwrap(), BTreeMap::from([(0, kept(9)), (7, kept(1))]));
    }

    #[test]
    fn what_is_written_after_a_cut_off_line_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (area, path) = (Directory::open(folder.path()).unwrap(), folder.path().join(NAME));
        Journal::open(&area).unwrap().write(vec![(0, kept(5)), (1, kept(6))]).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 4]).unwrap();
        let found = read(&area).unwrap();
        Journal::begin(&area, &found).unwrap();
        Journal::open(&area).unwrap().write(vec![(2, kept(7))]).unwrap();
        assert_eq!(read(&area).unwrap(), BTreeMap::from([(0, kept(5)), (2, kept(7))]));
    }

    #[test]
    fn a_journal_that_was_cut_off_or_spoiled_counts_up_to_there() {
        let folder = tempfile::tempdir().unwrap();
        let (area, path) = (Directory::open(folder.path()).unwrap(), folder.path().join(NAME));
        Journal::open(&area).unwrap().write(vec![(0, kept(5)), (1, kept(6))]).unwrap();
        let whole = fs::read(&path).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let found = read(&area).unwrap().len();
            // A line without its end may still be whole.
            assert_eq!(found, usize::from(cut + 1 >= first) + usize::from(cut + 1 >= whole.len()), "{cut}");
        }
        for bad in
            [r#"{"file":0,"landed":[{"start":5,"end":5}]}"#, r#"{"file":99999999,"landed":[]}"#, "\0\0"]
        {
            fs::write(&path, format!("{bad}\n{{\"file\":1,\"landed\":[]}}\n")).unwrap();
            assert_eq!(read(&area).unwrap(), BTreeMap::new(), "{bad}");
        }
    }
}
