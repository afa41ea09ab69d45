//! What a client costs: wall time, CPU time and memory, of the process and all that it starts.
//!
//! * CPU time is what the kernel adds to this process's account of its children when it collects one: user
//!   and system time of the child and of every descendant that was collected in turn. It comes in hundredths
//!   of a second. The servers do not count, because they are not collected while a client runs.
//! * Memory is the largest sum, over the processes that are alive at the same time, of anonymous and
//!   file-mapped resident memory, looked at every ten milliseconds. The page cache and files in memory are
//!   not in it. A page that several processes share counts once for each.

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::problem::{Outcome, Problem};

/// How often memory is looked at.
const PAUSE: Duration = Duration::from_millis(10);
/// How many bytes of its output a failed client shows.
const TAIL: usize = 4000;

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Seconds from the start of the first process to the end of the last.
    pub wall: f64,
    /// Seconds of user and system time.
    pub cpu: f64,
    /// Bytes of memory of the whole tree at its peak.
    pub memory: u64,
    /// The largest peak of a single process as the kernel keeps it; shared and file-mapped pages are in it.
    pub largest_process: u64,
}

impl Usage {
    /// One after the other.
    pub fn then(self, next: Self) -> Self {
        Self {
            wall: self.wall + next.wall,
            cpu: self.cpu + next.cpu,
            memory: self.memory.max(next.memory),
            largest_process: self.largest_process.max(next.largest_process),
        }
    }
}

/// Runs commands at the same time and waits for all; each must succeed. Their output goes to `log`.
pub fn measure(commands: Vec<Command>, log: &Path) -> Outcome<Usage> {
    let output = File::create(log).map_err(Problem::at("create", log))?;
    let cpu_before = cpu_of_children()?;
    let started = Instant::now();
    let mut children = Vec::new();
    for mut command in commands {
        let stream = || output.try_clone().map(Stdio::from).map_err(Problem::at("open", log));
        command.stdin(Stdio::null()).stdout(stream()?).stderr(stream()?);
        let child = command.spawn().map_err(|error| {
            Problem::new(format!("cannot start {}: {error}", command.get_program().display()))
        })?;
        children.push((command, child));
    }
    let roots: Vec<u32> = children.iter().map(|(_, child)| child.id()).collect();
    let done = AtomicBool::new(false);
    let (statuses, wall, peak) = thread::scope(|scope| {
        let sampler = scope.spawn(|| sample(&roots, &done));
        let statuses: Vec<_> = children.iter_mut().map(|(command, child)| (command, child.wait())).collect();
        let wall = started.elapsed();
        done.store(true, Ordering::Relaxed);
        (statuses, wall, sampler.join().unwrap_or_default())
    });
    for (command, status) in statuses {
        let status = status.map_err(|error| Problem::new(format!("cannot wait for a client: {error}")))?;
        if !status.success() {
            let text = fs::read(log).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let tail = &text[text.floor_char_boundary(text.len().saturating_sub(TAIL))..];
            let shown = format!("{command:?}");
            let shown: String = shown.chars().take(600).collect();
            return Err(Problem::new(format!("{shown} ended with {status}:\n{tail}")));
        }
    }
    Ok(Usage {
        wall: wall.as_secs_f64(),
        cpu: cpu_of_children()? - cpu_before,
        memory: peak.tree,
        largest_process: peak.largest_process,
    })
}

#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    tree: u64,
    largest_process: u64,
}

fn sample(roots: &[u32], done: &AtomicBool) -> Peak {
    let mut peak = Peak::default();
    while !done.load(Ordering::Relaxed) {
        let mut sum = 0;
        for process in tree(roots) {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            sum += field(&status, "RssAnon:") + field(&status, "RssFile:");
            peak.largest_process = peak.largest_process.max(field(&status, "VmHWM:"));
        }
        peak.tree = peak.tree.max(sum);
        thread::sleep(PAUSE);
    }
    peak
}

/// The processes and all their descendants.
fn tree(roots: &[u32]) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut open: Vec<u32> = roots.to_vec();
    while let Some(process) = open.pop() {
        if !found.insert(process) {
            continue;
        }
        let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { continue };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            open.extend(children.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        }
    }
    found
}

/// A field of `/proc/<process>/status`, in bytes.
fn field(status: &str, name: &str) -> u64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = value.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

/// Seconds of user and system time of all collected children.
fn cpu_of_children() -> Outcome<f64> {
    let path = Path::new("/proc/self/stat");
    let text = fs::read_to_string(path).map_err(|error| {
        Problem::at("read", path)(error).hint("the benchmarks need Linux, where processes are seen in /proc")
    })?;
    // The name in parentheses may contain anything; user and system time of children are fields 16 and 17.
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        fields.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(crate::statistics::float(ticks) / crate::statistics::float(rustix::param::clock_ticks_per_second()))
}

/// Whether the kernel lists the children of a process.
pub fn check_kernel() -> Outcome<()> {
    let process = std::process::id();
    if Path::new(&format!("/proc/{process}/task/{process}/children")).exists() {
        return Ok(());
    }
    Err(Problem::new("this kernel does not list the children of a process in /proc")
        .hint("run the benchmarks on a Linux kernel with CONFIG_PROC_CHILDREN, as distributions have it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grandchildren_count() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "(i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done); sleep 0.1"]);
        let usage = measure(vec![shell], log.path()).unwrap();
        assert!(usage.cpu >= 0.02, "{usage:?}");
        assert!(usage.wall >= usage.cpu / 2.0, "{usage:?}");
        assert!(usage.memory > 100_000 && usage.memory < 50_000_000, "{usage:?}");
    }

    #[test]
    fn a_failure_shows_what_was_printed() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo sorry; exit 3"]);
        let problem = measure(vec![shell], log.path()).unwrap_err().to_string();
        assert!(problem.contains("exit status: 3") && problem.contains("sorry"), "{problem}");
    }
}
