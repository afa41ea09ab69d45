//! What the sidecar itself uses, as the kernel counts it.

use std::fs::File;
use std::io::Read as _;

/// Longest file of `/proc/self` that is read: several times what the kernel writes.
const MAX_BYTES: u64 = 16 * 1024;
/// Parts of a second in which processor time is counted: `USER_HZ`, which is the same wherever Rust runs on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory and processor time; what the kernel does not tell is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    pub resident_bytes: Option<u64>,
    pub cpu_seconds: Option<f64>,
}

impl Usage {
    /// What is used now.
    pub(super) fn now() -> Self {
        Self {
            resident_bytes: read("/proc/self/status").as_deref().and_then(resident_bytes),
            cpu_seconds: read("/proc/self/stat").as_deref().and_then(cpu_seconds),
        }
    }
}

fn read(path: &str) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

/// `VmRSS` of `/proc/self/status`, which unlike `/proc/self/stat` does not count in pages.
fn resident_bytes(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    value.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// `utime` and `stime`, the 14th and 15th field of `/proc/self/stat`. The second, the program's name in
/// parentheses, may hold blanks and parentheses itself.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11).map(str::parse::<u32>);
    let (user, system) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_own_words_are_read() {
        let usage = Usage::now();
        assert!(usage.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{usage:?}");
        assert!(usage.cpu_seconds.is_some_and(|seconds| (0.0..3600.0).contains(&seconds)), "{usage:?}");
    }

    #[test]
    fn a_program_s_name_does_not_shift_the_fields() {
        let stat = "1 (a) b (c) S 0 1 1 0 -1 4194560 100 0 0 0 250 50 7 8 20 0 1 0 100 1000 10 0\n";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(resident_bytes("VmHWM:\t 9000 kB\nVmRSS:\t    2048 kB\n"), Some(2_097_152));
        for other in ["", "1 (a) S", "1 (a) S 0 1 1 0 -1 4194560 100 0 0 0 x y"] {
            assert_eq!((cpu_seconds(other), resident_bytes(other)), (None, None), "{other}");
        }
    }
}
