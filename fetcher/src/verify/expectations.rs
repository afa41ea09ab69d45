//! What somebody vouches for beside the SHA-256 of a whole file, computed in the same pass.
//!
//! A store's checksum and a signature's hash are over the whole file, a signature's shards over parts of it that
//! follow each other. All are fed what the SHA-256 is fed, while it is hot; a file of which only the SHA-256 is
//! known costs nothing here.

use std::ops::Range;

use super::VerifyError;
use super::content_digest::{Algorithm, ContentDigest, ContentHasher};
use crate::plan::{Expected, PlannedFile};

/// The digests of one file that are under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Expectations {
    /// Bytes taken so far.
    at: u64,
    whole: Vec<(Algorithm, ContentHasher)>,
    /// Sorted by where they begin.
    shards: Vec<Shard>,
    /// The first shard that is not at its end, and its digest up to here.
    next: usize,
    current: Option<ContentHasher>,
}

#[derive(Clone, Debug)]
struct Shard {
    range: Range<u64>,
    algorithm: Algorithm,
    digest: Option<ContentDigest>,
}

impl Expectations {
    pub(super) fn new(expected: &[Expected], size: Option<u64>) -> Self {
        let mut new = Self::default();
        for Expected { digest, range, .. } in expected {
            let algorithm = digest.algorithm();
            match range {
                Some(range) => new.shards.push(Shard { range: range.clone(), algorithm, digest: None }),
                // That one is always computed.
                None if algorithm == Algorithm::Sha256 => {}
                None if new.whole.iter().any(|(known, _)| *known == algorithm) => {}
                None => new.whole.push((algorithm, ContentHasher::of_file(digest, size))),
            }
        }
        new.shards.sort_by_key(|shard| (shard.range.start, shard.range.end));
        new
    }

    /// Takes the next bytes of the file.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.whole.iter_mut().for_each(|(_, hasher)| hasher.update(bytes));
        let mut rest = bytes;
        while let Some(shard) = self.shards.get_mut(self.next) {
            let left = shard.range.end.saturating_sub(self.at);
            let (taken, beyond) = rest.split_at(usize::try_from(left).unwrap_or(usize::MAX).min(rest.len()));
            let hasher = self.current.get_or_insert_with(|| ContentHasher::new(shard.algorithm));
            hasher.update(taken);
            self.at += length(taken);
            rest = beyond;
            if self.at < shard.range.end {
                return;
            }
            shard.digest = self.current.take().map(ContentHasher::finish);
            self.next += 1;
        }
        self.at += length(rest);
    }

    /// Compares everything that the plan expects, beside the SHA-256 of the whole, with what came in.
    pub(super) fn finish(mut self, planned: &PlannedFile) -> Result<(), VerifyError> {
        // A shard of no bytes ends where it begins, and one that goes on beyond the end is cut there.
        self.update(&[]);
        let cut = self.current.take().map(ContentHasher::finish);
        if let Some(shard) = self.shards.get_mut(self.next) {
            shard.digest = cut;
        }
        let whole: Vec<_> = self.whole.into_iter().map(|(_, hasher)| hasher.finish()).collect();
        for expected in &planned.expected {
            let algorithm = expected.digest.algorithm();
            let got = match &expected.range {
                None if algorithm == Algorithm::Sha256 => continue,
                None => whole.iter().find(|digest| digest.algorithm() == algorithm).cloned(),
                Some(range) => {
                    let is_it = |shard: &&Shard| shard.range == *range && shard.algorithm == algorithm;
                    self.shards.iter().find(is_it).and_then(|shard| shard.digest.clone())
                }
            };
            let got = got.unwrap_or_else(|| ContentHasher::new(algorithm).finish());
            compare(planned, expected, got)?;
        }
        Ok(())
    }
}

/// Fails unless `got` is what is expected.
pub(super) fn compare(
    planned: &PlannedFile,
    expected: &Expected,
    got: ContentDigest,
) -> Result<(), VerifyError> {
    if expected.digest == got {
        return Ok(());
    }
    let (path, part, expected) = (planned.path.clone(), expected.range.clone(), expected.digest.clone());
    Err(VerifyError::Checksum { path, part: part.into(), expected, got })
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use handoff::Integrity;

    use super::*;
    use crate::plan::Source;

    fn expected(digest: &str, range: Option<Range<u64>>) -> Expected {
        Expected { rung: Integrity::Signed, digest: digest.parse().unwrap(), range }
    }

    fn digest(algorithm: Algorithm, content: &[u8]) -> String {
        let any = ContentDigest::new(algorithm, &vec![0; algorithm.bytes()]).unwrap();
        let mut hasher = ContentHasher::of_file(&any, Some(length(content)));
        hasher.update(content);
        hasher.finish().to_string()
    }

    fn outcome(expected: Vec<Expected>, content: &[u8]) -> Result<(), String> {
        let path: handoff::SafePath = "m.bin".parse().unwrap();
        let source = Source { store: "s3://b".parse().unwrap(), path: path.clone(), identity: None };
        let planned = PlannedFile { path, size: None, expected, source, unpack: None };
        let mut results = [1, 3, 1000].map(|step| {
            let mut expectations = Expectations::new(&planned.expected, Some(length(content)));
            content.chunks(step).for_each(|chunk| expectations.update(chunk));
            expectations.finish(&planned).map_err(|error| error.to_string())
        });
        assert!(results.iter().all(|result| *result == results[0]), "in whatever steps");
        std::mem::replace(&mut results[0], Ok(()))
    }

    #[test]
    fn every_digest_of_the_whole_has_to_match() {
        let content = b"0123456789";
        let right = |algorithm| expected(&digest(algorithm, content), None);
        assert_eq!(outcome(Algorithm::ALL.map(right).into(), content), Ok(()));
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != Algorithm::Sha256) {
            let mut both = vec![right(Algorithm::Blake3), right(algorithm)];
            both.push(expected(&digest(algorithm, b"other"), None));
            let error = outcome(both, content).unwrap_err();
            assert!(error.contains(&format!("expected {} ", algorithm.name())), "{error}");
        }
    }

    #[test]
    fn shards_are_compared_one_by_one() {
        let content = b"0123456789";
        let shard = |start: usize, end: usize, of: &[u8]| {
            let range = u64::try_from(start).unwrap()..u64::try_from(end).unwrap();
            expected(&digest(Algorithm::Sha256, of), Some(range))
        };
        let right = [shard(4, 8, b"4567"), shard(0, 4, b"0123"), shard(8, 10, b"89"), shard(10, 10, b"")];
        assert_eq!(outcome(right.to_vec(), content), Ok(()));
        assert_eq!(outcome(vec![shard(0, 0, b"")], b""), Ok(()));
        for (index, wrong) in right.iter().enumerate() {
            let mut shards = right.to_vec();
            let range = wrong.range.clone();
            shards[index] = expected(&digest(Algorithm::Sha256, b"other"), range);
            assert!(outcome(shards, content).unwrap_err().starts_with("checksum mismatch on m.bin, bytes "));
        }
        assert!(outcome(vec![shard(0, 20, content)], content).is_ok(), "the size is compared elsewhere");
        assert!(outcome(vec![shard(12, 20, b"89")], content).is_err());
    }
}
