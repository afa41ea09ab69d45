//! How many connections are worth having: pure decisions over what was measured.
//!
//! A web server on the same network fills the line with a few; an object store gives each connection some tens of
//! megabytes a second, however fast the line is. Nobody can tell beforehand, so the width starts small and grows
//! by steps while they pay and the machine has time to spare. What did not pay is taken back. A store that says it is
//! too busy gets fewer.

use std::time::Duration;

/// The width at the start: one for each file, as long as that is not more than can be hashed in step, and two for a
/// single one, so that one can wait for its first byte while the other receives.
const FIRST: std::ops::RangeInclusive<usize> = 2..=4;
/// The share of their time that the worker threads may be busy for more connections to be of use.
const BUSY: f64 = 0.6;
/// Where they are busy for less than this, a step multiplies by four, and otherwise by two.
const IDLE: f64 = 0.2;
/// What a step must bring, as a share of what it would bring if each connection had the same rate as before.
const WORTH_IT: f64 = 0.3;
/// Observations after a step that did not pay, or after the store was too busy, before the next is tried.
const REST: u32 = 50;

/// What happened since the last observation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Observation {
    /// Bytes that came in.
    pub bytes: u64,
    /// How long that took.
    pub elapsed: Duration,
    /// The share of that time that the worker threads were busy, from 0 to 1.
    pub busy: f64,
    /// Whether the store said that it is too busy, or failed.
    pub refused: bool,
    /// Whether there was more work than connections.
    pub wanted: bool,
}

/// The number of connections, and how it came to be.
#[derive(Clone, Debug)]
pub struct Width {
    now: usize,
    most: usize,
    /// The step that is being judged: the width before it and the rate it had.
    step: Option<(usize, f64)>,
    /// Observations to let pass.
    rest: u32,
}

impl Width {
    /// Starts for so many files, with at most `most`.
    pub fn new(files: usize, most: usize) -> Self {
        Self { now: files.clamp(*FIRST.start(), *FIRST.end()).min(most), most, step: None, rest: 0 }
    }

    /// How many connections there are to be.
    pub fn get(&self) -> usize {
        self.now
    }

    /// Takes an observation into account.
    pub fn observe(&mut self, seen: Observation) {
        if seen.refused {
            self.now = (self.now * 3 / 4).max(1);
            (self.step, self.rest) = (None, REST);
            return;
        }
        if self.rest > 0 {
            self.rest -= 1;
            return;
        }
        // Nothing came in yet, or there is no work for more: nothing to be learnt.
        if seen.bytes == 0 || !seen.wanted {
            return;
        }
        let rate = per_second(seen);
        if let Some((before, rate_before)) = self.step.take() {
            let gained = rate / rate_before - 1.0;
            let hoped = ratio(self.now, before) - 1.0;
            if gained < hoped * WORTH_IT {
                (self.now, self.rest) = (before, REST);
                return;
            }
        }
        if seen.busy < BUSY && self.now < self.most {
            self.step = Some((self.now, rate));
            let factor = if seen.busy < IDLE { 4 } else { 2 };
            self.now = self.now.saturating_mul(factor).min(self.most);
            // The new connections are opened meanwhile.
            self.rest = 1;
        }
    }
}

fn ratio(a: usize, b: usize) -> f64 {
    let as_float = |number: usize| u32::try_from(number).map_or(f64::MAX, f64::from);
    as_float(a) / as_float(b).max(1.0)
}

fn per_second(seen: Observation) -> f64 {
    // Precision beyond 32 bits does not matter for a rate.
    let kibibytes = u32::try_from(seen.bytes.div_ceil(1024)).map_or(f64::MAX, f64::from);
    kibibytes / seen.elapsed.as_secs_f64().max(0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a width against a source for some time and gives where it ends.
    fn settle(most: usize, steps: u32, source: impl Fn(usize) -> Observation) -> Vec<usize> {
        let mut width = Width::new(9, most);
        (0..steps)
            .map(|_| {
                width.observe(source(width.get()));
                width.get()
            })
            .collect()
    }

    fn seen(megabytes: usize, busy: f64) -> Observation {
        let bytes = u64::try_from(megabytes).unwrap() * 100_000;
        Observation {
            bytes,
            elapsed: Duration::from_millis(100),
            busy,
            wanted: true,
            ..Observation::default()
        }
    }

    #[test]
    fn a_store_that_limits_each_connection_gets_many_soon() {
        let widths = settle(16, 6, |width| seen(40 * width, 0.1));
        assert_eq!(widths, [16; 6]);
        let widths = settle(16, 6, |width| seen(40 * width, 0.4));
        assert_eq!(widths, [8, 8, 16, 16, 16, 16], "slower where that costs time");
    }

    #[test]
    fn it_begins_with_a_connection_for_each_file_within_bounds() {
        let first = |files, most| Width::new(files, most).get();
        assert_eq!([first(1, 16), first(3, 16), first(100, 16), first(100, 1)], [2, 3, 4, 1]);
    }

    #[test]
    fn a_line_that_is_full_keeps_few() {
        let widths = settle(64, 200, |_| seen(1000, 0.3));
        assert!(widths.iter().filter(|width| **width == 4).count() > 190, "{widths:?}");
        assert_eq!(widths.last(), Some(&4));
    }

    #[test]
    fn a_machine_that_is_busy_keeps_few() {
        assert_eq!(settle(64, 20, |width| seen(100 * width, 0.9)).last(), Some(&4));
    }

    #[test]
    fn a_store_that_is_too_busy_gets_fewer_but_never_none() {
        let refused = |_| Observation { refused: true, ..seen(10, 0.1) };
        assert_eq!(settle(16, 10, refused).last(), Some(&1));
        let mut width = Width::new(9, 16);
        width.observe(refused(0));
        assert_eq!(width.get(), 3);
        (0..=REST).for_each(|_| width.observe(seen(40 * 3, 0.1)));
        assert_eq!(width.get(), 12, "and more again after a while");
    }

    #[test]
    fn without_work_or_bytes_nothing_is_learnt() {
        assert_eq!(settle(16, 9, |_| Observation { wanted: false, ..seen(9, 0.0) }).last(), Some(&4));
        assert_eq!(settle(16, 9, |_| seen(0, 0.0)).last(), Some(&4));
        assert_eq!(settle(2, 9, |width| seen(40 * width, 0.1)).last(), Some(&2));
    }
}
