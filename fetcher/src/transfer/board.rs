//! Who fetches what: the schedule of byte ranges over all files. Pure decisions; the clock comes in as durations.
//!
//! Untouched files are given out largest first, so that none is left over at the end. A connection stays with its
//! file and takes one part after another: its bytes then come in order and are hashed while they are hot. When no
//! file is untouched, connections join the file with the most left. Their parts are long enough that asking for one
//! costs little of its time, but no longer, because what comes out of order has to wait for the hash. Near the end
//! they are so short that all connections end together. When nothing is left to
//! give out, a part that is far slower than the others is raced: whoever has the next bytes first delivers them.
//!
//! Every byte is claimed before it is written, and can be claimed once. Racing and asking again therefore never
//! write a byte twice, and what is hashed is what is on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use super::extents::Extents;

/// Length of a part before anything is known about the source.
const FIRST_PART: u64 = 8 << 20;
/// Bounds of a part's length. Below, asking for it costs more than it brings; above, its end comes too late.
const SHORTEST: u64 = 2 << 20;
const LONGEST: u64 = 64 << 20;
/// Length of a part, at least, while every connection has a file of its own. Not longer: others may join, and what
/// they bring can be hashed only after it.
const ALONE: u64 = 16 << 20;
/// How many times as long as the wait for its first byte a part is to take.
const AMORTIZE: u64 = 20;
/// A part is raced when it would take this much longer than a fresh connection, and at least so long, by what was
/// measured of it for as long.
const RACE_FACTOR: u32 = 2;
const RACE_AT_LEAST: Duration = Duration::from_millis(500);

/// Number of a file in the plan.
pub type FileNumber = usize;

/// One part under way. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PartNumber(u64);

/// A part to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub part: PartNumber,
    pub file: FileNumber,
    /// The bytes; the end is `u64::MAX` when the file's size is not known.
    pub range: Range<u64>,
}

/// What a connection is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Fetch a part that nobody has.
    Part(Assignment),
    /// Fetch what is left of a part that another connection is too slow with.
    Race(Assignment),
    /// Nothing now, but work may come back.
    Wait,
}

/// A file to fetch.
#[derive(Debug)]
pub(super) struct Work {
    /// Its size in bytes, where it is known.
    pub size: Option<u64>,
    /// Whether ranges of it may be asked for side by side.
    pub splittable: bool,
    /// What is here already.
    pub here: Extents,
}

#[derive(Debug)]
struct File {
    end: u64,
    splittable: bool,
    /// What is here or given out.
    given: Extents,
    /// Parts under way.
    active: u64,
}

impl File {
    fn left(&self) -> u64 {
        self.end - self.given.bytes()
    }

    /// Whether a connection may take a part of it now.
    fn is_open(&self) -> bool {
        self.left() > 0 && (self.splittable || self.active == 0)
    }
}

#[derive(Debug)]
struct Part {
    file: FileNumber,
    /// The next byte that nobody has claimed.
    cursor: u64,
    end: u64,
    raced: bool,
    /// Where the cursor was at the last measurement.
    measured: u64,
    /// Bytes per second; unknown before the first measurement.
    rate: Option<u64>,
    /// How long that was measured.
    measured_for: Duration,
    slow_for: Duration,
    /// Whether the first byte of the request has come.
    flowing: bool,
    /// Whether it waits before it is asked for again, perhaps because the store said so.
    pausing: bool,
}

/// The schedule.
#[derive(Debug)]
pub(super) struct Board {
    files: Vec<File>,
    /// Files that nobody has begun, the largest last.
    untouched: Vec<FileNumber>,
    /// Files with something left that were begun.
    begun: Vec<FileNumber>,
    parts: BTreeMap<PartNumber, Part>,
    next_part: u64,
    width: u64,
    /// Bytes of known size that are not given out.
    left: u64,
    /// The shortest wait for a first byte so far.
    first_byte: Option<Duration>,
    /// The median rate of the connections.
    typical_rate: u64,
    /// Bytes claimed since the start.
    claimed: u64,
}

impl Board {
    pub(super) fn new(works: Vec<Work>) -> Self {
        let file = |work: Work| {
            let (end, mut given) = (work.size.unwrap_or(u64::MAX), work.here);
            given.truncate(end);
            File { end, splittable: work.splittable, given, active: 0 }
        };
        let files: Vec<File> = works.into_iter().map(file).collect();
        let mut untouched: Vec<_> = (0..files.len()).collect();
        let left = |number: &FileNumber| files.get(*number).map_or(0, File::left);
        untouched.retain(|number| left(number) > 0);
        untouched.sort_by_key(left);
        let known = files.iter().filter(|file| file.end < u64::MAX).map(File::left).sum();
        Self {
            files,
            untouched,
            begun: Vec::new(),
            parts: BTreeMap::new(),
            next_part: 0,
            width: 1,
            left: known,
            first_byte: None,
            typical_rate: 0,
            claimed: 0,
        }
    }

    /// How many connections share the work from now on.
    pub(super) fn set_width(&mut self, width: usize) {
        self.width = u64::try_from(width).unwrap_or(u64::MAX).max(1);
    }

    /// Whether there is something to give out.
    pub(super) fn has_more(&self) -> bool {
        !self.untouched.is_empty() || self.begun.iter().any(|number| self.is_open(*number))
    }

    fn is_open(&self, number: FileNumber) -> bool {
        self.files.get(number).is_some_and(File::is_open)
    }

    /// Gives out work to a connection that was with `last` until now.
    pub(super) fn next(&mut self, last: Option<FileNumber>) -> Next {
        let stays = last.filter(|number| self.is_open(*number));
        let chosen = stays.or_else(|| self.begin_largest()).or_else(|| self.join_longest());
        if let Some(assignment) = chosen.and_then(|number| self.give(number)) {
            return Next::Part(assignment);
        }
        self.race().map_or(Next::Wait, Next::Race)
    }

    fn begin_largest(&mut self) -> Option<FileNumber> {
        let number = self.untouched.pop()?;
        self.begun.push(number);
        Some(number)
    }

    fn join_longest(&self) -> Option<FileNumber> {
        let share = |number: &FileNumber| self.files.get(*number).map(|file| file.left() / (file.active + 1));
        self.begun.iter().copied().filter(|number| self.is_open(*number)).max_by_key(share)
    }

    fn give(&mut self, number: FileNumber) -> Option<Assignment> {
        let part_bytes = self.part_bytes();
        let file = self.files.get_mut(number)?;
        let gap = file.given.gap(0, file.end)?;
        // A rest that is hardly worth a request of its own goes along.
        let whole = !file.splittable || gap.end - gap.start <= part_bytes + part_bytes / 2;
        let range = if whole { gap } else { gap.start..gap.start + part_bytes };
        file.given.insert(range.clone());
        file.active += 1;
        if file.end < u64::MAX {
            self.left = self.left.saturating_sub(range.end - range.start);
        }
        if file.left() == 0 {
            self.begun.retain(|begun| *begun != number);
        }
        let part = PartNumber(self.next_part);
        self.next_part += 1;
        let (cursor, end) = (range.start, range.end);
        self.parts.insert(
            part,
            Part {
                file: number,
                cursor,
                end,
                raced: false,
                measured: cursor,
                rate: None,
                measured_for: Duration::ZERO,
                slow_for: Duration::ZERO,
                flowing: false,
                pausing: false,
            },
        );
        Some(Assignment { part, file: number, range })
    }

    /// How many files have something left to give out.
    fn files_to_fetch(&self) -> u64 {
        u64::try_from(self.untouched.len() + self.begun.len()).unwrap_or(u64::MAX)
    }

    /// How long a part is to be.
    fn part_bytes(&self) -> u64 {
        // Near the end, two more for every connection; one that is alone has nobody to share with.
        let fair = if self.width > 1 { self.left / (2 * self.width) } else { LONGEST };
        self.full_part_bytes().min(fair).max(SHORTEST)
    }

    /// How long a part is while there is much to do.
    fn full_part_bytes(&self) -> u64 {
        let by_latency = match self.first_byte {
            Some(wait) if self.typical_rate > 0 => {
                let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
                self.typical_rate.saturating_mul(AMORTIZE).saturating_mul(micros) / 1_000_000
            }
            _ => FIRST_PART,
        };
        // The bytes of a connection that has a file of its own come in order however long its parts are.
        let by_order = if self.files_to_fetch() >= self.width { ALONE } else { SHORTEST };
        by_latency.max(by_order).min(LONGEST)
    }

    /// How far the hash of a file may be behind: twice what the parts under way span, since so much comes in beyond
    /// the first of them before that is done, and some more while it is caught up with. Whoever has brought the last
    /// part of a file goes on to the next without waiting for the hash.
    pub(super) fn span(&self, number: FileNumber) -> u64 {
        let active = self.files.get(number).map_or(0, |file| file.active).max(1);
        active.saturating_mul(2).saturating_mul(self.full_part_bytes())
    }

    /// The part that would gain the most from a second connection, if any would gain enough.
    fn race(&mut self) -> Option<Assignment> {
        let first_byte = self.first_byte?;
        // Where everything else came before it could be measured, a part that brings nothing is still raced.
        let typical_rate = self.typical_rate.max(1);
        let (files, time) = (&self.files, |bytes: u64, rate: u64| {
            Duration::from_millis(bytes.saturating_mul(1000).checked_div(rate).unwrap_or(u64::MAX))
        });
        // Of a part that has only just begun, or whose first byte may still be on its way, the rate says nothing.
        let telling = RACE_AT_LEAST.max(first_byte.saturating_mul(RACE_FACTOR));
        let candidates = self.parts.iter_mut().filter(|(_, part)| {
            let splittable = files.get(part.file).is_some_and(|file| file.splittable);
            let fit = splittable && !part.raced && !part.pausing && part.cursor < part.end;
            fit && part.measured_for >= telling
        });
        let (_, number, part) = candidates
            .filter_map(|(number, part)| {
                let left = part.end - part.cursor;
                let as_it_goes = time(left, part.rate?);
                let anew = first_byte.saturating_add(time(left, typical_rate));
                let slow = as_it_goes > anew.saturating_mul(RACE_FACTOR);
                (slow && as_it_goes > RACE_AT_LEAST).then_some((as_it_goes, number, part))
            })
            .max_by_key(|(as_it_goes, ..)| *as_it_goes)?;
        part.raced = true;
        Some(Assignment { part: *number, file: part.file, range: part.cursor..part.end })
    }

    /// What is left of a part; nothing when it is done.
    pub(super) fn rest(&self, part: PartNumber) -> Option<Range<u64>> {
        self.parts.get(&part).map(|part| part.cursor..part.end)
    }

    /// Claims those bytes of `position..position + length` that are the next of a part. What comes back is
    /// to be written; an empty range says that none are wanted.
    pub(super) fn claim(&mut self, number: PartNumber, position: u64, length: u64) -> Range<u64> {
        let Some(part) = self.parts.get_mut(&number) else { return position..position };
        let end = position.saturating_add(length).min(part.end);
        if position > part.cursor || end <= part.cursor {
            return position..position;
        }
        let claimed = part.cursor..end;
        part.cursor = end;
        self.claimed += end - claimed.start;
        if part.cursor == part.end {
            self.close(number);
        }
        claimed
    }

    /// The part's file ends here, which nobody knew beforehand.
    pub(super) fn ended(&mut self, number: PartNumber) {
        if let Some(part) = self.parts.get(&number)
            && let Some(file) = self.files.get_mut(part.file)
        {
            file.end = part.cursor;
            file.given.truncate(part.cursor);
            self.close(number);
        }
    }

    /// Lets a part go on into what follows it, if nobody has that. Gives the part's new end.
    pub(super) fn extend(&mut self, number: PartNumber) -> Option<u64> {
        let part = self.parts.get_mut(&number)?;
        let file = self.files.get_mut(part.file)?;
        let gap = file.given.gap(part.end, file.end).filter(|gap| gap.start == part.end)?;
        self.left = self.left.saturating_sub(gap.end - gap.start);
        part.end = gap.end;
        file.given.insert(gap);
        Some(part.end)
    }

    /// Takes what is left of a part back, to be given out again.
    pub(super) fn give_back(&mut self, number: PartNumber) {
        let Some(part) = self.parts.get(&number) else { return };
        let (file_number, rest) = (part.file, part.cursor..part.end);
        self.close(number);
        let Some(file) = self.files.get_mut(file_number) else { return };
        let mut given = Extents::default();
        let mut position = 0;
        // Everything that was given but for the rest.
        while let Some(gap) = file.given.gap(position, file.end) {
            given.insert(position..gap.start.min(rest.start));
            given.insert(rest.end.max(position)..gap.start);
            position = gap.end;
        }
        given.insert(position..file.end.min(rest.start));
        given.insert(rest.end.max(position)..file.end);
        file.given = given;
        if file.end < u64::MAX {
            self.left += rest.end - rest.start;
        }
        if !self.begun.contains(&file_number) {
            self.begun.push(file_number);
        }
    }

    /// Begins a file anew whose bytes are all worth nothing; none of its parts may be under way.
    pub(super) fn forget(&mut self, number: FileNumber) {
        let Some(file) = self.files.get_mut(number) else { return };
        if file.end < u64::MAX {
            self.left += file.given.bytes();
        }
        file.given = Extents::default();
        if !self.begun.contains(&number) {
            self.begun.push(number);
        }
    }

    /// Sets a part back to the file's first byte. For files of one part, which cannot be gone on with.
    pub(super) fn restart(&mut self, number: PartNumber) {
        if let Some(part) = self.parts.get_mut(&number) {
            (part.cursor, part.measured) = (0, 0);
        }
    }

    /// No more than one range of this file at a time: the source gives only whole files.
    pub(super) fn is_not_splittable(&mut self, number: FileNumber) {
        if let Some(file) = self.files.get_mut(number) {
            file.splittable = false;
        }
    }

    /// Whether somebody else is at work on the same file.
    pub(super) fn is_shared(&self, file: FileNumber) -> bool {
        self.files.get(file).is_some_and(|file| file.active > 1)
    }

    fn close(&mut self, number: PartNumber) {
        if let Some(part) = self.parts.remove(&number)
            && let Some(file) = self.files.get_mut(part.file)
        {
            file.active = file.active.saturating_sub(1);
        }
    }

    /// A part is asked for. Until its first byte comes, its rate says nothing.
    pub(super) fn asked(&mut self, number: PartNumber) {
        if let Some(part) = self.parts.get_mut(&number)
            && !part.raced
        {
            (part.flowing, part.pausing) = (false, false);
            part.measured_for = Duration::ZERO;
        }
    }

    /// A part waits before it is asked for again.
    pub(super) fn pauses(&mut self, number: PartNumber) {
        if let Some(part) = self.parts.get_mut(&number) {
            part.pausing = true;
        }
    }

    /// A request got its first byte.
    pub(super) fn first_byte(&mut self, number: PartNumber, after: Duration) {
        if let Some(part) = self.parts.get_mut(&number) {
            part.flowing = true;
        }
        self.first_byte = Some(self.first_byte.map_or(after, |shortest| shortest.min(after)));
    }

    /// Measures the rate of every part since the last time. Gives those that were below `floor`, or far below
    /// the others, for so long that they are better asked for again.
    pub(super) fn measure(&mut self, elapsed: Duration, floor: Floor) -> Vec<PartNumber> {
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut rates: Vec<u64> = Vec::with_capacity(self.parts.len());
        for part in self.parts.values_mut() {
            let now = part.cursor.saturating_sub(part.measured).saturating_mul(1000) / millis;
            part.measured = part.cursor;
            let smoothed = part.rate.map_or(now, |before| before / 4 * 3 + now / 4);
            part.rate = Some(smoothed);
            part.measured_for += elapsed;
            rates.push(smoothed);
        }
        rates.sort_unstable();
        let median = rates.get(rates.len() / 2).copied().unwrap_or_default();
        // When nothing is left to give out, those that are still at work are the slow ones.
        if median > self.typical_rate || (median > 0 && self.has_more()) {
            self.typical_rate = median;
        }
        let relative = if rates.len() >= floor.quorum { median / floor.share } else { 0 };
        let mut cut = Vec::new();
        for (number, part) in &mut self.parts {
            let splittable = self.files.get(part.file).is_some_and(|file| file.splittable);
            let rate = part.rate.unwrap_or_default();
            let patience = if rate < relative { floor.patience_among_others } else { floor.patience };
            if !splittable || !part.flowing || rate >= relative.max(floor.rate) {
                part.slow_for = Duration::ZERO;
                continue;
            }
            part.slow_for += elapsed;
            if part.slow_for >= patience {
                part.slow_for = Duration::ZERO;
                cut.push(*number);
            }
        }
        cut
    }

    /// Bytes claimed since the start, those included that were thrown away.
    pub(super) fn claimed(&self) -> u64 {
        self.claimed
    }

    /// How many files have a part under way.
    pub(super) fn files_under_way(&self) -> usize {
        let files: BTreeSet<FileNumber> = self.parts.values().map(|part| part.file).collect();
        files.len()
    }

    /// The rate of the slowest connection and how many there are.
    pub(super) fn slowest(&self) -> (Option<u64>, usize) {
        (self.parts.values().filter_map(|part| part.rate).min(), self.parts.len())
    }
}

/// How slow is too slow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Floor {
    /// Bytes per second that any part must reach.
    pub rate: u64,
    /// How long a part may be below that.
    pub patience: Duration,
    /// Or this part of the median rate, among at least `quorum` parts.
    pub share: u64,
    pub quorum: usize,
    /// How long a part may be below that.
    pub patience_among_others: Duration,
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
