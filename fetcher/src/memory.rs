//! How much memory a transfer may use: a share of what the container has, and never more than it was told.
//!
//! The container's limit is that of its control group, or of the tightest one above it. Both versions of the
//! kernel's interface are read (cgroups(7)); a container usually sees its own group as the root. Without a limit,
//! or without `/proc` and `/sys`, the flag alone decides.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// The part of the container's limit that buffers may take up. The rest is for the program and the page cache.
const SHARE: u64 = 8;
/// Bounds of a block. Below, each system call moves too little; above, bytes leave the cache before they are hashed.
const SMALLEST_BLOCK: u64 = 64 << 10;
const LARGEST_BLOCK: u64 = 256 << 10;
/// What the program itself needs, and the kernel for its connections, beside the buffers.
const PROGRAM: u64 = 24 << 20;
/// What a connection takes beside its block: buffers of the network library and what follows in them.
const CONNECTION: u64 = 2 << 20;
/// More than any buffer of a connection.
const FREED_AT_ONCE: usize = 1 << 20;
/// Limits from here on mean that there is none; version 1 has no other way to say so.
const UNLIMITED: u64 = 1 << 60;

/// Has the allocator keep what it was given back, up to two of these, instead of returning it to the kernel each time
/// and asking for it again: glibc takes as a sign what large allocations a program frees (mallopt(3),
/// `M_MMAP_THRESHOLD`). Network buffers come and go thousands of times a second. Other allocators do not mind.
pub fn keep_freed_buffers() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(FREED_AT_ONCE)));
}

/// What a transfer may keep in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes that a connection gathers before it writes them.
    pub block_bytes: usize,
    /// Bytes that wait in memory to be hashed, over all files.
    pub held_bytes: usize,
    /// Whether what is written may stay in the page cache, for the model server to load from.
    pub keeps_page_cache: bool,
}

impl Memory {
    /// Divides up what there is among `connections`, for a model of `model_bytes` if that is known: of the
    /// container's limit, if it has one, and of `most`.
    pub fn divide(limit: Option<u64>, most: u64, connections: usize, model_bytes: Option<u64>) -> Self {
        let budget = limit.map_or(most, |limit| most.min(limit / SHARE));
        let connections = u64::try_from(connections).unwrap_or(u64::MAX).max(1);
        // A half is for the connections, of which the network library has as much again under way for each.
        let block = (budget / 4 / connections).clamp(SMALLEST_BLOCK, LARGEST_BLOCK);
        let bytes = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let fits =
            |limit: u64| model_bytes.is_some_and(|model| model <= limit.saturating_sub(budget + PROGRAM));
        Self {
            block_bytes: bytes(block),
            held_bytes: bytes((budget / 2).max(2 * block)),
            keeps_page_cache: limit.is_none_or(fits),
        }
    }
}

/// How many connections, of at most `most`, the container's limit can hold.
pub fn affordable(limit: Option<u64>, most: usize) -> usize {
    let room = limit.unwrap_or(u64::MAX).saturating_sub(PROGRAM) / CONNECTION;
    most.min(usize::try_from(room).unwrap_or(usize::MAX)).max(1)
}

/// The memory limit of this container in bytes, if it has one.
pub fn container_limit() -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    limit(&read(Path::new("/proc/self/cgroup"))?, &read(Path::new("/proc/self/mountinfo"))?, read)
}

/// The tightest limit of the groups in `cgroup`, which are found by `mountinfo`; both as in `/proc/self`.
pub(crate) fn limit(cgroup: &str, mountinfo: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let limits = cgroup.lines().filter_map(|line| {
        // hierarchy:controllers:path, and for version 2 `0::path`.
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        let file = match controllers {
            "" => "memory.max",
            _ if controllers.split(',').any(|name| name == "memory") => "memory.limit_in_bytes",
            _ => return None,
        };
        let (root, mount) = mountinfo.lines().find_map(|line| mounted(line, controllers.is_empty()))?;
        // Where the mount does not begin at the top, the group is named from above it.
        let below = Path::new(group).strip_prefix(&root).unwrap_or(Path::new(""));
        // A group outside of the namespace is named by the way up to it, which the mount has not.
        let is_inside = below.components().all(|component| matches!(component, Component::Normal(_)));
        let below = if is_inside { below } else { Path::new("") };
        let groups = below.ancestors().map(|group| mount.join(group).join(file));
        groups.filter_map(|path| read(&path)?.trim().parse::<u64>().ok()).min()
    });
    limits.min().filter(|limit| *limit < UNLIMITED)
}

/// Root and mount point of a line of mountinfo, if it is the memory controller's.
fn mounted(line: &str, unified: bool) -> Option<(PathBuf, PathBuf)> {
    // id parent device root mount-point options… - type source super-options; proc_pid_mountinfo(5)
    let (before, after) = line.split_once(" - ")?;
    let mut kinds = after.split(' ');
    let (kind, options) = (kinds.next()?, kinds.nth(1)?);
    let ours = match unified {
        true => kind == "cgroup2",
        false => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
    };
    let mut fields = before.split(' ').skip(3);
    ours.then_some((fields.next()?.into(), fields.next()?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const MIB: u64 = 1 << 20;

    fn found(cgroup: &str, mountinfo: &str, files: &[(&str, &str)]) -> Option<u64> {
        let files: HashMap<_, _> = files.iter().map(|(path, text)| (PathBuf::from(path), *text)).collect();
        limit(cgroup, mountinfo, |path| files.get(path).map(|text| (*text).to_owned()))
    }

    #[test]
    fn version_2_in_a_container() {
        let mounts = "31 30 0:28 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate";
        let limit = |text| found("0::/\n", mounts, &[("/sys/fs/cgroup/memory.max", text)]);
        assert_eq!(limit("134217728\n"), Some(128 * MIB));
        assert_eq!(limit("max\n"), None);
    }

    #[test]
    fn the_tightest_group_above_counts() {
        let mounts = "31 30 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        let files = [
            ("/sys/fs/cgroup/pod/memory.max", "1000"),
            ("/sys/fs/cgroup/pod/a/memory.max", "max"),
            ("/sys/fs/cgroup/other/memory.max", "1"),
        ];
        assert_eq!(found("0::/pod/a\n", mounts, &files), Some(1000));
    }

    #[test]
    fn a_group_outside_of_the_namespace_is_not_looked_for_outside_of_the_mount() {
        let mounts = "31 30 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        let files = [("/sys/fs/cgroup/../a/memory.max", "1"), ("/sys/fs/cgroup/memory.max", "1000")];
        assert_eq!(found("0::/../a\n", mounts, &files), Some(1000));
        let without_a_root = mounts.replace(" / ", "  ");
        assert_eq!(found("0::/\n", &without_a_root, &[("/memory.max", "1")]), None);
    }

    #[test]
    fn version_1_in_a_container() {
        let mounts = "40 30 0:29 /docker/ab /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n\
                      41 30 0:30 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
        let file = "/sys/fs/cgroup/memory/memory.limit_in_bytes";
        let cgroup = "5:cpu:/docker/ab\n4:memory:/docker/ab\n0::/\n";
        assert_eq!(found(cgroup, mounts, &[(file, "134217728")]), Some(128 * MIB));
        assert_eq!(found(cgroup, mounts, &[(file, "9223372036854771712")]), None);
        assert_eq!(found("garbage\n::\n", "garbage", &[(file, "1")]), None);
    }

    #[test]
    fn buffers_are_a_share_of_the_limit_and_never_more_than_the_flag() {
        let plenty = Memory::divide(None, 16 * MIB, 16, None);
        assert_eq!(plenty, Memory { block_bytes: 256 << 10, held_bytes: 8 << 20, keeps_page_cache: true });
        let tight = Memory::divide(Some(64 * MIB), 16 * MIB, 16, Some(8192 * MIB));
        assert_eq!(tight, Memory { block_bytes: 128 << 10, held_bytes: 4 << 20, keeps_page_cache: false });
        assert_eq!(Memory::divide(Some(MIB), 16 * MIB, 256, None).block_bytes, 64 << 10);
    }

    #[test]
    fn a_tight_limit_holds_fewer_connections() {
        assert_eq!(
            [None, Some(1024 * MIB), Some(40 * MIB), Some(MIB)].map(|limit| affordable(limit, 16)),
            [16, 16, 8, 1]
        );
    }

    #[test]
    fn the_page_cache_is_kept_while_the_model_fits_the_limit() {
        let keeps = |model| Memory::divide(Some(1024 * MIB), 16 * MIB, 16, model).keeps_page_cache;
        assert!(keeps(Some(900 * MIB)));
        assert!(!keeps(Some(1000 * MIB)));
        assert!(!keeps(None), "of unknown size");
    }
}
