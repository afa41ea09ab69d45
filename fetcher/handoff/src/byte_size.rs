//! Sizes for people, as both binaries show them.

use std::fmt;
use std::str::FromStr;

/// How a size is written, for messages that refuse one.
const EXPECTED: &str = "expected a size such as 512KiB, 16MiB, 20Gi or 1G";

/// Bytes. Shown in the unit that reads best: `512 B`, `4.2 GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        // Tenths of the unit, in integers.
        let mut tenths = self.0.saturating_mul(10) / 1024;
        let mut unit = 0;
        while tenths >= 10_240 && unit + 1 < UNITS.len() {
            tenths /= 1024;
            unit += 1;
        }
        let name = UNITS.get(unit).copied().unwrap_or("TiB");
        write!(f, "{}.{} {name}", tenths / 10, tenths % 10)
    }
}

impl FromStr for ByteSize {
    type Err = &'static str;

    /// Reads a size as Kubernetes writes quantities (`20Gi`, `1G`, `1024`) or as people do (`20GiB`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.strip_suffix('B').unwrap_or(unit);
        let factor: u64 = match unit {
            "" => 1,
            "k" | "K" => 1000,
            "M" => 1_000_000,
            "G" => 1_000_000_000,
            "T" => 1_000_000_000_000,
            "Ki" => 1 << 10,
            "Mi" => 1 << 20,
            "Gi" => 1 << 30,
            "Ti" => 1 << 40,
            _ => return Err(EXPECTED),
        };
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).map(Self).ok_or(EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let shown = |bytes| ByteSize(bytes).to_string();
        assert_eq!(shown(0), "0 B");
        assert_eq!(shown(1023), "1023 B");
        assert_eq!(shown(1536), "1.5 KiB");
        assert_eq!(shown(4_509_715_660), "4.1 GiB");
        assert_eq!(shown(u64::MAX), "1677721.5 TiB");
    }

    #[test]
    fn sizes_are_read_as_people_and_kubernetes_write_them() {
        let read = |text: &str| text.parse::<ByteSize>().ok().map(|size| size.0);
        assert_eq!(read("1024"), Some(1024));
        assert_eq!((read("20Gi"), read("20GiB")), (Some(20 << 30), Some(20 << 30)));
        assert_eq!((read("1G"), read("2kB")), (Some(1_000_000_000), Some(2000)));
        for bad in ["", "Gi", "1.5Gi", "-1", "1 GiB", "1X", "99999999999Ti"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
