//! Numbers from several rounds.

/// The middle, and between what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

/// The spread of some values; zero of none.
pub fn spread(values: impl IntoIterator<Item = f64>) -> Spread {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    let middle = values.len() / 2;
    let median = match values.len() % 2 {
        0 => f64::midpoint(at(middle.saturating_sub(1)), at(middle)),
        _ => at(middle),
    };
    Spread { median, least: at(0), most: at(values.len().saturating_sub(1)) }
}

/// The median of values that belong together, one divided by the other: what the machine did in a round met
/// both.
pub fn paired_ratio(values: &[f64], by: &[f64]) -> f64 {
    spread(values.iter().zip(by).map(|(value, by)| value / by)).median
}

/// An integer as a fraction, exact below 2^53.
pub fn float(value: u64) -> f64 {
    let high = u32::try_from(value >> 32).unwrap_or(u32::MAX);
    let low = u32::try_from(value & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

/// Bytes in MiB.
pub fn mebibytes(bytes: u64) -> f64 {
    float(bytes) / 1_048_576.0
}

/// Bytes in GiB.
pub fn gibibytes(bytes: u64) -> f64 {
    float(bytes) / 1_073_741_824.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(spread([3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(spread([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(spread([]).median, 0.0);
    }

    #[test]
    fn ratios_are_of_one_round() {
        // The second round was twice as slow for both.
        assert_eq!(paired_ratio(&[3.0, 6.0, 3.0], &[1.0, 2.0, 1.0]), 3.0);
    }

    #[test]
    fn integers_keep_their_value() {
        assert_eq!(float(5_000_000_000), 5e9);
    }
}
