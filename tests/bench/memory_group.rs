//! A memory limit as a container has it: a control group of the kernel, in either of its two interfaces.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::problem::{Outcome, Problem};

const ROOT: &str = "/sys/fs/cgroup";

/// A group that is removed when this is dropped.
#[derive(Debug)]
pub struct MemoryGroup {
    path: PathBuf,
    names: &'static Names,
}

/// What the files of an interface are called.
#[derive(Debug)]
struct Names {
    limit: &'static str,
    swap: &'static str,
    peak: &'static str,
    kills: &'static str,
}

const FIRST: Names = Names {
    limit: "memory.limit_in_bytes",
    swap: "memory.swappiness",
    peak: "memory.max_usage_in_bytes",
    kills: "memory.oom_control",
};
const SECOND: Names =
    Names { limit: "memory.max", swap: "memory.swap.max", peak: "memory.peak", kills: "memory.events" };

impl MemoryGroup {
    /// A group whose processes together may use so many bytes, page cache included.
    pub fn with_limit(bytes: u64) -> Outcome<Self> {
        let (parent, names) = parent();
        let path = parent.join(format!("plimsoll-bench-{}", std::process::id()));
        let refused = |error: Problem| {
            error.hint("run as root on a machine whose control groups can limit memory, not in a container")
        };
        fs::create_dir(&path).map_err(Problem::at("create", &path)).map_err(refused)?;
        let group = Self { path, names };
        group.write(names.limit, &bytes.to_string()).map_err(refused)?;
        // Without it, a process that is too large would be slow instead of being killed.
        let _ = group.write(names.swap, "0");
        Ok(group)
    }

    fn write(&self, name: &str, value: &str) -> Outcome<()> {
        let path = self.path.join(name);
        fs::write(&path, value).map_err(Problem::at("write", &path))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap_or_default()
    }

    /// The command, run in the group.
    pub fn enclose(&self, inner: &Command) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo $$ >\"$0\" && exec \"$@\""]).arg(self.path.join("cgroup.procs"));
        command.arg(inner.get_program()).args(inner.get_args()).env_clear();
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }

    /// The most that was used, page cache included, if the kernel tells.
    pub fn peak(&self) -> Option<u64> {
        self.read(self.names.peak).trim().parse::<u64>().ok()
    }

    /// How many processes the kernel killed for want of memory.
    pub fn kills(&self) -> u64 {
        let text = self.read(self.names.kills);
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or_default()
    }
}

/// Where a group can be made so that whatever bounds this process bounds the group too. In the first
/// interface that is this process's own group; in the second, groups with processes have no subgroups, so it
/// is the one above.
fn parent() -> (PathBuf, &'static Names) {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of = |controllers: &str| {
        let mut groups = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        groups.find(|(found, _)| *found == controllers).map(|(_, group)| group.trim_start_matches('/'))
    };
    let first = Path::new(ROOT).join("memory");
    if first.is_dir() {
        let own = first.join(of("memory").unwrap_or_default());
        return (if own.is_dir() { own } else { first }, &FIRST);
    }
    let own = Path::new(ROOT).join(of("").unwrap_or_default());
    let above = own.parent().filter(|above| above.starts_with(ROOT) && above.join("cgroup.procs").exists());
    (above.unwrap_or(&own).to_owned(), &SECOND)
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
    }
}
