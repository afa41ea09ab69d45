//! What is here of each file, and how far its hash has come.
//!
//! Bytes land in any order, and a hash wants them in order. Each file has a frontier: everything before it is
//! hashed. What lands at the frontier is kept in memory until it is hashed, which is soon; what lands beyond it is
//! kept while there is room, and otherwise read back from the disk when the frontier gets there. What an earlier run
//! left behind is taken in the same way, so it is hashed again like everything else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::block::Block;
use super::board::FileNumber;
use super::extents::Extents;
use super::staging_file::StagingFile;
use crate::confined::Place;
use crate::plan::PlannedFile;
use crate::store::Identity;
use crate::verify::{VerifiedFile, Verifier, VerifyError};

/// Bytes read back from the disk at a time.
const READ_BACK: u64 = 512 << 10;

/// Bytes that have to be read back. None, of a file that is at its end.
#[derive(Debug)]
pub(super) struct OnDisk {
    pub staged: Place,
    /// The file's size, where it is known.
    pub size: Option<u64>,
    pub handle: Option<Arc<StagingFile>>,
    pub range: Range<u64>,
}

/// A piece of hashing: the next bytes of one file. The verifier is out of the ledger meanwhile.
#[derive(Debug)]
pub(super) struct Job {
    pub file: FileNumber,
    generation: u32,
    pub verifier: Box<Verifier>,
    /// The bytes, as far as they are in memory; what is not hashed of them comes back with the job.
    pub block: Block,
    /// Where they are instead.
    pub on_disk: Option<OnDisk>,
}

/// A file that is at its end.
pub(super) enum Outcome {
    /// It is what it must be.
    Verified,
    /// It is not, and an earlier run had left some of it: it is to be fetched anew.
    Anew {
        /// Bytes that were counted for it.
        bytes: u64,
        /// Bytes of those that an earlier run had left.
        kept: u64,
    },
    /// It is not what it must be.
    Wrong(VerifyError),
}

#[derive(Debug)]
struct Entry {
    planned: PlannedFile,
    staged: Place,
    handle: Option<Arc<StagingFile>>,
    /// Its end, once that is known.
    end: Option<u64>,
    identity: Option<Identity>,
    landed: Extents,
    /// How many bytes an earlier run left, and where they end.
    kept: u64,
    kept_to: u64,
    frontier: u64,
    /// Where the job under way ends; the frontier, if there is none.
    hashing_to: u64,
    /// Out while a job is under way.
    verifier: Option<Box<Verifier>>,
    /// Blocks at and beyond the frontier that are still in memory.
    blocks: BTreeMap<u64, Block>,
    queued: bool,
    /// Counts how often it was begun anew, so that a job from before is not taken for one from after.
    generation: u32,
}

impl Entry {
    fn has_work(&self) -> bool {
        self.verifier.is_some()
            && (self.landed.reach(self.frontier) > self.frontier || self.end == Some(self.frontier))
    }

    /// Where the bytes end that are being hashed, or are in memory and follow those without a gap.
    fn in_memory_to(&self) -> u64 {
        let mut end = self.hashing_to;
        for (start, block) in self.blocks.range(end..) {
            if *start != end {
                break;
            }
            end += u64::try_from(block.len()).unwrap_or(u64::MAX);
        }
        end
    }

    /// Bytes in memory that can be hashed next.
    fn hashable(&self) -> u64 {
        self.in_memory_to() - self.hashing_to
    }

    /// Bytes that could be hashed, wherever they are, of those that came in by this run.
    fn behind(&self) -> u64 {
        self.landed.reach(self.frontier).saturating_sub(self.frontier.max(self.kept_to))
    }

    fn reset(&mut self) {
        self.blocks.clear();
        self.landed = Extents::default();
        (self.kept, self.kept_to, self.frontier, self.hashing_to) = (0, 0, 0, 0);
        self.generation += 1;
        self.verifier = Some(Box::new(Verifier::new(&self.planned.expected, self.planned.size)));
        // It may be of another content now.
        self.identity.clone_from(&self.planned.source.identity);
        self.end = self.planned.size;
    }
}

/// The files of a plan as they come in.
#[derive(Debug)]
pub(super) struct Ledger {
    files: Vec<Entry>,
    ready: VecDeque<FileNumber>,
    /// Bytes held in memory for the hash.
    held: usize,
    verified: Vec<VerifiedFile>,
    changed: BTreeSet<FileNumber>,
}

impl Ledger {
    /// The files of a plan, with their staging files and what is there of them.
    pub(super) fn new(files: impl IntoIterator<Item = (PlannedFile, Place, Option<Extents>)>) -> Self {
        let entry = |(planned, staged, kept): (PlannedFile, Place, Option<Extents>)| {
            let landed = kept.unwrap_or_default();
            Entry {
                staged,
                handle: None,
                end: planned.size,
                identity: planned.source.identity.clone(),
                kept: landed.bytes(),
                kept_to: landed.end(),
                landed,
                frontier: 0,
                hashing_to: 0,
                verifier: Some(Box::new(Verifier::new(&planned.expected, planned.size))),
                blocks: BTreeMap::new(),
                queued: false,
                generation: 0,
                planned,
            }
        };
        let files: Vec<_> = files.into_iter().map(entry).collect();
        let count = files.len();
        let mut ledger = Self {
            files,
            ready: VecDeque::new(),
            held: 0,
            verified: Vec::with_capacity(count),
            changed: BTreeSet::new(),
        };
        (0..count).for_each(|number| ledger.enqueue(number));
        ledger
    }

    fn enqueue(&mut self, number: FileNumber) {
        if let Some(entry) = self.files.get_mut(number)
            && !entry.queued
            && entry.has_work()
        {
            entry.queued = true;
            self.ready.push_back(number);
        }
    }

    /// The plan's word on a file.
    pub(super) fn planned(&self, number: FileNumber) -> Option<&PlannedFile> {
        self.files.get(number).map(|entry| &entry.planned)
    }

    /// Its staging file, and the open file if it is open.
    pub(super) fn staged(&self, number: FileNumber) -> Option<(&Place, Option<Arc<StagingFile>>)> {
        self.files.get(number).map(|entry| (&entry.staged, entry.handle.clone()))
    }

    /// Keeps an open file for those who come after. Gives the one that all are to use, if two opened it at once.
    pub(super) fn opened(&mut self, number: FileNumber, handle: StagingFile) -> Arc<StagingFile> {
        let handle = Arc::new(handle);
        let Some(entry) = self.files.get_mut(number) else { return handle };
        Arc::clone(entry.handle.get_or_insert(handle))
    }

    /// Which content of the file is being read, as far as that is known.
    pub(super) fn identity(&self, number: FileNumber) -> Option<&Identity> {
        self.files.get(number)?.identity.as_ref()
    }

    /// The source named the content. Says whether it is the one that is being read.
    pub(super) fn identified(&mut self, number: FileNumber, identity: Option<Identity>) -> bool {
        let (Some(entry), Some(identity)) = (self.files.get_mut(number), identity) else { return true };
        *entry.identity.get_or_insert_with(|| identity.clone()) == identity
    }

    /// Bytes are on the disk. Those that cannot be hashed before others are read back stay in memory while less than
    /// `room` is held.
    pub(super) fn landed(&mut self, number: FileNumber, offset: u64, block: Block, room: usize) {
        let Some(entry) = self.files.get_mut(number) else { return };
        let end = offset + u64::try_from(block.len()).unwrap_or(u64::MAX);
        let in_order = entry.in_memory_to() == offset;
        entry.landed.insert(offset..end);
        if in_order || self.held + block.len() <= room {
            self.held += block.len();
            entry.blocks.insert(offset, block);
        }
        self.changed.insert(number);
        self.enqueue(number);
    }

    /// Whether more than half of `room` waits in memory to be hashed, of this file and of those that are ready, or
    /// the hash of this file is behind by more than `span`, so that no more should come in before. What cannot be
    /// hashed yet is not counted, so waiting for the hash always ends.
    pub(super) fn is_crowded(&self, number: FileNumber, room: usize, span: u64) -> bool {
        let others = self.ready.iter().filter(|other| **other != number);
        let waiting = others.chain([&number]).filter_map(|number| self.files.get(*number));
        let in_memory = waiting.map(Entry::hashable).sum::<u64>();
        let behind = self.files.get(number).map_or(0, Entry::behind);
        in_memory > u64::try_from(room / 2).unwrap_or(u64::MAX) || behind > span
    }

    /// The file ends at `end`, which nobody knew beforehand.
    pub(super) fn ended(&mut self, number: FileNumber, end: u64) {
        if let Some(entry) = self.files.get_mut(number) {
            entry.end = Some(end);
            self.enqueue(number);
        }
    }

    /// Begins a file anew that cannot be gone on with. Gives how much of it had come in.
    pub(super) fn restart(&mut self, number: FileNumber) -> u64 {
        let Some(entry) = self.files.get_mut(number) else { return 0 };
        let bytes = entry.landed.bytes();
        self.held -= entry.blocks.values().map(Block::len).sum::<usize>();
        entry.reset();
        self.changed.insert(number);
        bytes
    }

    /// Files with something to hash.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Takes up to `count` pieces of hashing, of as many files.
    pub(super) fn take_jobs(&mut self, count: usize) -> Vec<Job> {
        let mut jobs = Vec::with_capacity(count);
        while jobs.len() < count
            && let Some(number) = self.ready.pop_front()
        {
            let Some(entry) = self.files.get_mut(number) else { continue };
            entry.queued = false;
            let Some(verifier) = entry.verifier.take() else { continue };
            let reach = entry.landed.reach(entry.frontier);
            let block = entry.blocks.remove(&entry.frontier).unwrap_or_default();
            self.held -= block.len();
            let on_disk = block.is_empty().then(|| {
                let in_memory = entry.blocks.keys().next().copied().unwrap_or(u64::MAX);
                let end = reach.min(entry.frontier + READ_BACK).min(in_memory);
                let (staged, handle) = (entry.staged.clone(), entry.handle.clone());
                OnDisk { staged, size: entry.end, handle, range: entry.frontier..end }
            });
            let length = u64::try_from(block.len()).unwrap_or(u64::MAX);
            entry.hashing_to = on_disk.as_ref().map_or(entry.frontier + length, |on_disk| on_disk.range.end);
            jobs.push(Job { file: number, generation: entry.generation, verifier, block, on_disk });
        }
        jobs
    }

    /// Takes a piece of hashing back. Tells what became of the file if that was its last.
    pub(super) fn hashed(&mut self, job: Job) -> (FileNumber, Option<Outcome>) {
        let number = job.file;
        let Some(entry) = self.files.get_mut(number) else { return (number, None) };
        if entry.generation != job.generation {
            return (number, None);
        }
        entry.frontier = job.verifier.length();
        entry.hashing_to = entry.frontier;
        if !job.block.is_empty() {
            self.held += job.block.len();
            entry.blocks.insert(entry.frontier, job.block);
        }
        if entry.end == Some(entry.frontier) {
            return (number, Some(self.conclude(number, *job.verifier)));
        }
        entry.verifier = Some(job.verifier);
        self.enqueue(number);
        (number, None)
    }

    fn conclude(&mut self, number: FileNumber, verifier: Verifier) -> Outcome {
        let Some(entry) = self.files.get_mut(number) else { return Outcome::Verified };
        entry.handle = None;
        match verifier.finish(&entry.planned, entry.staged.clone()) {
            Ok(file) => {
                self.verified.push(file);
                Outcome::Verified
            }
            Err(_) if entry.kept > 0 => {
                let (bytes, kept) = (entry.landed.bytes(), entry.kept);
                entry.reset();
                self.changed.insert(number);
                Outcome::Anew { bytes, kept }
            }
            Err(error) => {
                // Known to be wrong: a next run must not go on from it.
                entry.reset();
                self.changed.insert(number);
                Outcome::Wrong(error)
            }
        }
    }

    /// Whether every file is verified.
    pub(super) fn is_complete(&self) -> bool {
        self.verified.len() == self.files.len()
    }

    /// The verified files.
    pub(super) fn take_verified(&mut self) -> Vec<VerifiedFile> {
        std::mem::take(&mut self.verified)
    }

    /// What has changed since the last call, for the journal.
    pub(super) fn take_changes(&mut self) -> Vec<(FileNumber, Extents)> {
        let changed = std::mem::take(&mut self.changed);
        let landed = |number: FileNumber| Some((number, self.files.get(number)?.landed.clone()));
        changed.into_iter().filter_map(landed).collect()
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
