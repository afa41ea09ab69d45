//! Sizes, times and names as people read them. A number and its unit are held together by a no-break space.

use std::fmt;
use std::time::Duration;

use handoff::Integrity;

use crate::readiness::Phase;

/// Bytes, in the unit that reads best, as the fetcher shows them: `512 B`, `4.1 GiB`.
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1024 {
            return write!(f, "{}\u{a0}B", self.0);
        }
        // Tenths of the unit, in integers.
        let mut tenths = self.0.saturating_mul(10) / 1024;
        let mut units = ["KiB", "MiB", "GiB"].into_iter();
        let unit = units.find(|_| {
            let found = tenths < 10_240;
            tenths = if found { tenths } else { tenths / 1024 };
            found
        });
        write!(f, "{}.{}\u{a0}{}", tenths / 10, tenths % 10, unit.unwrap_or("TiB"))
    }
}

/// How long something took, in two units at most: `3.2 ms`, `340 ms`, `4.2 s`, `12 s`, `1 min 5 s`, `2 h 3 min`, `3 d 4 h`.
pub struct Took(pub Duration);

impl Took {
    /// Of a number of seconds; what is no duration counts as none.
    pub fn seconds(seconds: f64) -> Self {
        Self(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (micros, millis, seconds) = (self.0.as_micros(), self.0.as_millis(), self.0.as_secs());
        match seconds {
            0 if millis < 10 => write!(f, "{}.{}\u{a0}ms", millis, micros / 100 % 10),
            0 => write!(f, "{millis}\u{a0}ms"),
            1..10 => write!(f, "{seconds}.{}\u{a0}s", self.0.subsec_millis() / 100),
            10..60 => write!(f, "{seconds}\u{a0}s"),
            60..3600 => write!(f, "{}\u{a0}min\u{a0}{}\u{a0}s", seconds / 60, seconds % 60),
            3600..86400 => write!(f, "{}\u{a0}h\u{a0}{}\u{a0}min", seconds / 3600, seconds / 60 % 60),
            _ => write!(f, "{}\u{a0}d\u{a0}{}\u{a0}h", seconds / 86400, seconds / 3600 % 24),
        }
    }
}

/// A phase's name at the beginning of a line.
pub fn capitalised(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "Waiting",
        Phase::Resolving => "Resolving",
        Phase::Fetching => "Fetching",
        Phase::Verifying => "Verifying",
        Phase::Publishing => "Publishing",
        Phase::Loading => "Loading",
        Phase::Ready => "Ready",
        Phase::Failed => "Failed",
        Phase::Draining => "Draining",
    }
}

/// What a rung of the integrity ladder means.
pub fn meaning(rung: Integrity) -> &'static str {
    match rung {
        Integrity::Recorded => "nobody vouches for the files; their SHA-256 was written down",
        Integrity::Store => "the store’s own checksums vouch for every file",
        Integrity::Manifest => "a list of checksums beside the files vouches for every file",
        Integrity::Registry => "digests that the registry holds vouch for every file",
        Integrity::Signed => "a signature vouches for every file",
        Integrity::Pinned => "the digest that the deployment names vouches for every file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_fetcher() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1023.9 KiB"),
            (1_048_576, "1.0 MiB"),
            (4_509_715_660, "4.1 GiB"),
        ] {
            assert_eq!(Size(bytes).to_string().replace('\u{a0}', " "), shown);
        }
        assert_eq!(Size(5 << 40).to_string(), "5.0\u{a0}TiB");
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (micros, shown) in [
            (0, "0.0 ms"),
            (3_260, "3.2 ms"),
            (340_000, "340 ms"),
            (4_290_000, "4.2 s"),
            (59_999_999, "59 s"),
            (65_000_000, "1 min 5 s"),
            (7_380_000_000, "2 h 3 min"),
            (273_600_000_000, "3 d 4 h"),
        ] {
            let took = Took(Duration::from_micros(micros)).to_string();
            assert_eq!(took.replace('\u{a0}', " "), shown);
        }
        for nonsense in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(Took::seconds(nonsense).to_string(), "0.0\u{a0}ms");
        }
    }

    #[test]
    fn a_phase_has_one_name() {
        for phase in Phase::ALL {
            assert!(capitalised(phase).eq_ignore_ascii_case(phase.name()));
        }
    }
}
