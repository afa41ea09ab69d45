//! Which boot of the node this is.
//!
//! Weights are not synced to disk one by one, so what was written before a restart of the node may be lost without a
//! trace. A receipt names the boot it was written in, and counts in that one only.

use std::fs;

/// Where Linux names the present boot; random(4).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The kernel's name for this boot; nothing where it has none to be read.
pub fn id() -> String {
    fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned()
}
