//! Which bytes of a file are here: ranges in order that neither touch nor overlap.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A set of bytes of one file. Ranges are half-open, in bytes from the file's start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Extents(Vec<Range<u64>>);

impl Extents {
    /// Adds a range; what it touches or overlaps becomes one with it.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|other| other.end < range.start);
        let after = self.0.partition_point(|other| other.start <= range.end);
        let touched = self.0.get(first..after).unwrap_or_default();
        let start = touched.first().map_or(range.start, |other| other.start.min(range.start));
        let end = touched.last().map_or(range.end, |other| other.end.max(range.end));
        self.0.splice(first..after, std::iter::once(start..end));
    }

    /// Removes everything from `position` on.
    pub fn truncate(&mut self, position: u64) {
        self.0.retain(|range| range.start < position);
        if let Some(last) = self.0.last_mut() {
            last.end = last.end.min(position);
        }
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How far one can go from `position` without a gap: `position` itself if it is not here.
    pub fn reach(&self, position: u64) -> u64 {
        match self.0.get(self.0.partition_point(|range| range.end <= position)) {
            Some(range) if range.start <= position => range.end,
            _ => position,
        }
    }

    /// The first bytes from `from` on, and before `limit`, that are not here.
    pub fn gap(&self, from: u64, limit: u64) -> Option<Range<u64>> {
        let start = self.reach(from);
        let next = self.0.get(self.0.partition_point(|range| range.start <= start));
        let end = next.map_or(limit, |range| range.start.min(limit));
        (start < end).then_some(start..end)
    }

    /// The offset after the last byte.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |range| range.end)
    }

    /// Whether this is what the type promises, for a value that was read from disk.
    pub fn is_sound(&self) -> bool {
        let ordered = |pair: &[Range<u64>]| matches!(pair, [before, after] if before.end < after.start);
        self.0.iter().all(|range| range.start < range.end) && self.0.windows(2).all(ordered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_what_a_set_of_bytes_is(ranges in proptest::collection::vec((0_u64..60, 0_u64..9), 0..20), cut in 0_u64..80) {
            let (mut extents, mut bytes) = (Extents::default(), BTreeSet::new());
            for (start, length) in ranges {
                extents.insert(start..start + length);
                bytes.extend(start..start + length);
                prop_assert!(extents.is_sound(), "{extents:?}");
            }
            for round in 0..2 {
                prop_assert_eq!(extents.bytes(), u64::try_from(bytes.len()).unwrap());
                prop_assert_eq!(extents.end(), bytes.last().map_or(0, |last| last + 1));
                for from in 0..80 {
                    let reach = (from..).find(|byte| !bytes.contains(byte)).unwrap();
                    prop_assert_eq!(extents.reach(from), reach);
                    let end = (reach..70).find(|byte| bytes.contains(byte)).unwrap_or(70);
                    prop_assert_eq!(extents.gap(from, 70), (reach < 70).then_some(reach..end));
                }
                if round == 0 {
                    extents.truncate(cut);
                    bytes.retain(|byte| *byte < cut);
                    prop_assert!(extents.is_sound(), "{extents:?}");
                }
            }
        }
    }
}
