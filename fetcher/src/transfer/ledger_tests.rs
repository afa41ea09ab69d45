//! Whatever the order in which blocks land and jobs come back, each hash sees each byte of its file once, in order.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bytes::Bytes;
use fastrand::Rng;
use handoff::{Integrity, SafePath, Sha256Digest};
use proptest::prelude::*;

use super::*;
use crate::confined::Directory;
use crate::plan::{Expected, Source};
use crate::verify;

/// Steps in which every case is at its end, by far.
const ENOUGH: usize = 200_000;

fn planned(name: &str, size: Option<usize>, content: &[u8]) -> PlannedFile {
    let path: SafePath = name.parse().unwrap();
    let expected = Expected::whole(Sha256Digest::of(content), Integrity::Registry);
    let source = Source { store: "s3://b".parse().unwrap(), path: path.clone(), identity: None };
    let size = size.map(|size| u64::try_from(size).unwrap());
    PlannedFile { path, size, expected: vec![expected], source, unpack: None }
}

fn place(path: &Path) -> Place {
    let name = path.file_name().unwrap().to_str().unwrap();
    Place::new(&Directory::open(path.parent().unwrap()).unwrap(), name.to_owned())
}

fn bytes(range: &Range<usize>) -> Range<u64> {
    u64::try_from(range.start).unwrap()..u64::try_from(range.end).unwrap()
}

/// What happens to a file.
enum Step {
    Land(Range<usize>, Bytes),
    Restart,
    End(usize),
}

/// A file in pieces of random lengths.
fn pieces(size: usize, rng: &mut Rng) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    while let start = pieces.last().map_or(0, |piece: &Range<usize>| piece.end)
        && start < size
    {
        pieces.push(start..(start + rng.usize(1..700)).min(size));
    }
    pieces
}

/// A ledger, and the jobs that are out.
struct Hashing {
    ledger: Ledger,
    jobs: Vec<Job>,
    rng: Rng,
}

impl Hashing {
    fn take(&mut self) -> bool {
        let mut jobs = self.ledger.take_jobs(self.rng.usize(1..=4));
        for job in &mut jobs {
            if let Some(on_disk) = job.on_disk.take() {
                let file = StagingFile::open(&on_disk.staged, on_disk.size).unwrap();
                let length = on_disk.range.end - on_disk.range.start;
                assert!(length <= READ_BACK);
                let mut buffer = vec![0; usize::try_from(length).unwrap()];
                file.read_exact_at(&mut buffer, on_disk.range.start).unwrap();
                job.block.push(buffer.into());
            }
        }
        let some = !jobs.is_empty();
        self.jobs.append(&mut jobs);
        some
    }

    /// Hashes some bytes of a job and gives it back.
    fn give_back(&mut self) -> Option<Outcome> {
        let mut job = self.jobs.swap_remove(self.rng.usize(..self.jobs.len()));
        let all = job.block.len();
        let some = if self.rng.bool() { all } else { self.rng.usize(..=all) };
        verify::update_together(&mut [(job.verifier.as_mut(), job.block.pieces())], some);
        job.block.keep(some, all - some);
        self.ledger.hashed(job).1
    }

    /// Takes jobs or gives one back. There must be one or the other.
    fn hash(&mut self) -> Option<Outcome> {
        if (self.jobs.is_empty() || self.rng.bool()) && self.take() {
            return None;
        }
        assert!(!self.jobs.is_empty(), "there is nothing to hash");
        self.give_back()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Files as (size, whether it is known, whether some is here, whether it begins anew in the middle).
    #[test]
    fn every_file_is_what_it_is_in_whatever_order_it_comes(
        files in proptest::collection::vec((0_usize..6000, any::<bool>(), any::<bool>(), any::<bool>()), 1..6),
        room in 0_usize..5000,
        span in 0_u64..9000,
        seed in any::<u64>(),
    ) {
        let (folder, mut rng) = (tempfile::tempdir().unwrap(), Rng::with_seed(seed));
        let (mut entries, mut scripts, mut handles) = (Vec::new(), Vec::new(), Vec::new());
        for (number, &(size, known, here, anew)) in files.iter().enumerate() {
            let path = folder.path().join(number.to_string());
            let mut content = || Bytes::from_iter(std::iter::repeat_with(|| rng.u8(..)).take(size));
            let (first, last) = (content(), content());
            let mut parts = pieces(size, &mut rng);
            // Only a file of known size comes in several places at once, or is gone on with.
            if known {
                rng.shuffle(&mut parts);
            }
            let mut landed = Extents::default();
            let left = if known && here { rng.usize(..=parts.len()) } else { parts.len() };
            let begun = if anew { &first } else { &last };
            fs::write(&path, vec![0; size]).unwrap();
            let handle = OpenOptions::new().read(true).write(true).open(&path).unwrap();
            for part in &parts[left..] {
                handle.write_all_at(&begun[part.clone()], bytes(part).start).unwrap();
                landed.insert(bytes(part));
            }
            let land = |parts: &[Range<usize>], content: &Bytes| -> Vec<Step> {
                parts.iter().map(|part| Step::Land(part.clone(), content.slice(part.clone()))).collect()
            };
            let mut script = land(&parts[..left], begun);
            if anew && left > 0 {
                script.truncate(rng.usize(..left));
                script.push(Step::Restart);
                script.append(&mut land(&parts, &last));
            }
            if !known {
                script.push(Step::End(size));
            }
            script.reverse();
            let is_last = !anew || left > 0;
            let plan = planned(&number.to_string(), known.then_some(size), if is_last { &last } else { &first });
            entries.push((plan, place(&path), Some(landed)));
            handles.push(Arc::new(handle));
            scripts.push(script);
        }
        let mut hashing = Hashing { ledger: Ledger::new(entries), jobs: Vec::new(), rng };
        for step in 0.. {
            prop_assert!(step < ENOUGH, "it does not end");
            let waiting: Vec<_> = (0..scripts.len()).filter(|number| !scripts[*number].is_empty()).collect();
            if hashing.ledger.is_complete() {
                prop_assert!(waiting.is_empty());
                break;
            }
            let mut outcomes = Vec::new();
            match hashing.rng.choice(waiting) {
                Some(number) if hashing.rng.bool() => match scripts[number].pop().unwrap() {
                    Step::Land(part, content) => {
                        handles[number].write_all_at(&content, bytes(&part).start).unwrap();
                        let mut block = Block::default();
                        content.chunks(97).for_each(|piece| block.push(Bytes::copy_from_slice(piece)));
                        let start = bytes(&part).start;
                        hashing.ledger.landed(number, start, block, room);
                        while hashing.ledger.is_crowded(number, room, span) {
                            outcomes.extend(hashing.hash());
                        }
                    }
                    Step::Restart => drop(hashing.ledger.restart(number)),
                    Step::End(size) => hashing.ledger.ended(number, u64::try_from(size).unwrap()),
                },
                None => outcomes.extend(hashing.hash()),
                Some(_) if hashing.jobs.is_empty() => drop(hashing.take()),
                Some(_) => outcomes.extend(hashing.hash()),
            }
            prop_assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Verified)));
        }
        prop_assert_eq!(hashing.ledger.held, 0);
        let verified = hashing.ledger.take_verified();
        prop_assert_eq!(verified.len(), files.len());
    }
}

/// A ledger with one file, of which all is said to be here.
fn all_here(content: &[u8], on_disk: &[u8]) -> (tempfile::NamedTempFile, Hashing) {
    let part = tempfile::NamedTempFile::new().unwrap();
    fs::write(part.path(), on_disk).unwrap();
    let mut landed = Extents::default();
    landed.insert(bytes(&(0..content.len())));
    let plan = planned("a", Some(content.len()), content);
    let ledger = Ledger::new([(plan, place(part.path()), Some(landed))]);
    (part, Hashing { ledger, jobs: Vec::new(), rng: Rng::with_seed(1) })
}

fn conclude(hashing: &mut Hashing) -> Outcome {
    (0..ENOUGH).find_map(|_| hashing.hash()).unwrap()
}

#[test]
fn what_an_earlier_run_left_is_hashed_from_the_disk() {
    let content: Vec<u8> = (0..1_300_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let (_part, mut hashing) = all_here(&content, &content);
    assert!(matches!(conclude(&mut hashing), Outcome::Verified));
    assert!(hashing.ledger.is_complete());
}

#[test]
fn what_an_earlier_run_left_wrong_gets_one_clean_chance() {
    let (_part, mut hashing) = all_here(b"right", b"wrong");
    assert!(matches!(conclude(&mut hashing), Outcome::Anew { bytes: 5, kept: 5 }));
    assert!(!hashing.take(), "nothing is left of it");
    let mut block = Block::default();
    block.push(Bytes::from_static(b"wrong"));
    hashing.ledger.landed(0, 0, block, 100);
    assert!(matches!(conclude(&mut hashing), Outcome::Wrong(VerifyError::Checksum { .. })));
    assert_eq!(hashing.ledger.take_changes(), [(0, Extents::default())], "nor in the journal");
}

#[test]
fn a_job_from_before_a_restart_counts_for_nothing() {
    let (_part, mut hashing) = all_here(b"right", b"wrong");
    assert!(hashing.take());
    assert_eq!(hashing.ledger.restart(0), 5);
    assert!(hashing.give_back().is_none());
    let mut block = Block::default();
    block.push(Bytes::from_static(b"right"));
    hashing.ledger.landed(0, 0, block, 100);
    assert!(matches!(conclude(&mut hashing), Outcome::Verified));
}

#[test]
fn what_waits_for_its_turn_is_never_what_crowds() {
    let content = vec![7; 4000];
    let plan = planned("a", Some(content.len()), &content);
    let part = tempfile::NamedTempFile::new().unwrap();
    fs::write(part.path(), &content).unwrap();
    let mut ledger = Ledger::new([(plan, place(part.path()), None)]);
    // All but the first bytes, so that nothing can be hashed.
    for offset in (100..4000).step_by(100) {
        let mut block = Block::default();
        block.push(Bytes::from(vec![7; 100]));
        ledger.landed(0, offset, block, 300);
        assert!(!ledger.is_crowded(0, 300, 100_000), "at {offset}");
    }
    assert_eq!((ledger.ready(), ledger.held), (0, 300));
}

#[test]
fn a_hash_that_is_too_far_behind_crowds_but_not_for_what_an_earlier_run_left() {
    let content = vec![7; 4000];
    let plan = planned("a", Some(content.len()), &content);
    let mut kept = Extents::default();
    kept.insert(0..1000);
    let mut ledger = Ledger::new([(plan, place(Path::new("/a")), Some(kept))]);
    for offset in (1000..4000).step_by(100) {
        assert_eq!(ledger.is_crowded(0, 300, 500), offset > 1500, "at {offset}");
        let mut block = Block::default();
        block.push(Bytes::from(vec![7; 100]));
        ledger.landed(0, offset, block, 300);
    }
    assert_eq!(ledger.held, 300, "the rest is read back");
}
