//! Durations as people write them in a manifest: `500ms`, `5s`, `2m`, `6h`.
//!
//! Both binaries take durations from flags and the environment; they must mean the same in both.

use std::time::Duration;

/// The longest duration admitted: a week. A longer one is a typing error.
pub const MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Reads a duration: a whole number and one of `ms`, `s`, `m`, `h`.
///
/// # Errors
/// Names the text and what was expected.
pub fn parse(text: &str) -> Result<Duration, String> {
    let refused =
        || format!("expected a duration up to 7 days such as `500ms`, `5s`, `2m` or `6h`, got `{text}`");
    let unit_at = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(refused)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| refused())?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(refused()),
    };
    let duration = number.checked_mul(milliseconds).map(Duration::from_millis);
    duration.filter(|duration| *duration <= MAX).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_unit() {
        for (text, milliseconds) in
            [("0s", 0), ("500ms", 500), ("5s", 5000), ("2m", 120_000), ("6h", 21_600_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)));
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "5", "s", "-1s", "1.5s", "1d", "5 s", "169h", "18446744073709551615h", "5ß"] {
            assert!(parse(text).unwrap_err().contains("expected a duration"), "{text}");
        }
    }
}
