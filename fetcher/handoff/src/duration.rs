//! Durations as people write them: `500ms`, `5s`, `2m`, `1h`.
//!
//! One whole number and one unit. Both binaries read them from flags and variables, and a manifest must mean the
//! same in both; a dependency for more than that is not worth it.

use std::time::Duration;

/// The longest duration that reads: a day. Nothing here waits longer on purpose.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What a duration looks like, for error messages.
pub const EXPECTED: &str = "a whole number and a unit (`ms`, `s`, `m` or `h`), at most `24h`";

/// Reads a duration of at most [`LONGEST`].
pub fn parse(text: &str) -> Option<Duration> {
    let unit_at = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(unit_at)?;
    let milliseconds_per_unit: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return None,
    };
    let milliseconds = number.parse::<u64>().ok()?.checked_mul(milliseconds_per_unit)?;
    Some(Duration::from_millis(milliseconds)).filter(|&duration| duration <= LONGEST)
}

/// Prints a duration for a sentence: whole seconds as `2 s`, anything else as `500 ms`.
pub fn print(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{} s", duration.as_secs()),
        _ => format!("{} ms", duration.as_millis()),
    }
}

/// Prints a wait for a person, who does not count seconds when there are many: `45 s`, `11 min`, `2 h 5 min`.
pub fn rough(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_unit() {
        for (text, milliseconds) in
            [("0s", 0), ("500ms", 500), ("5s", 5_000), ("2m", 120_000), ("24h", 86_400_000), ("007s", 7_000)]
        {
            assert_eq!(parse(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_ambiguous_or_unbounded() {
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "+5s",
            "5 s",
            " 5s",
            "5s ",
            "1.5s",
            "1m30s",
            "5S",
            "5sec",
            "25h",
            "86400001ms",
            "99999999999999999999s",
            "18446744073709551615h",
            "٥s",
            "5µs",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn prints_what_a_sentence_needs() {
        assert_eq!(print(Duration::from_secs(2)), "2 s");
        assert_eq!(print(Duration::from_millis(1500)), "1500 ms");
    }

    #[test]
    fn a_long_wait_is_not_counted_in_seconds() {
        for (seconds, printed) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (700, "11 min"), (7500, "2 h 5 min")]
        {
            assert_eq!(rough(Duration::from_secs(seconds)), printed);
        }
    }
}
