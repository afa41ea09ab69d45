//! Looks at a model directory all the time: whatever is at a final name must be right, from its first moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use handoff::Layout;

/// Between two looks: a wrong file that lasts for less would have to be missed many times over to be missed.
const PAUSE: Duration = Duration::from_millis(2);

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Files at final names whose content was looked at.
    pub checked: usize,
    /// Those that were not what they must be.
    pub differing: BTreeSet<String>,
    /// Whether there was a receipt beside less than the whole model.
    pub early_receipt: bool,
    /// The most memory that the process had, in KiB.
    pub peak_kib: u64,
}

/// A watcher at work.
pub(super) struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Watcher {
    /// Watches the model directory and the process `pid`.
    pub(super) fn start(model: &Path, expected: BTreeMap<String, Vec<u8>>, pid: u32) -> Self {
        let (stop, model) = (Arc::new(AtomicBool::new(false)), model.to_owned());
        let told_to_stop = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut look = Look { model, expected, known: BTreeSet::new(), seen: Seen::default() };
            loop {
                // One more look after the end, so that the last state is seen for certain.
                let last = told_to_stop.load(Ordering::Relaxed);
                look.at_files();
                look.seen.peak_kib = look.seen.peak_kib.max(peak_kib(pid));
                if last {
                    return look.seen;
                }
                thread::sleep(PAUSE);
            }
        });
        Self { stop, thread }
    }

    /// Ends it.
    ///
    /// # Panics
    /// When it could not look.
    pub(super) fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the watcher does not panic")
    }
}

struct Look {
    model: PathBuf,
    expected: BTreeMap<String, Vec<u8>>,
    /// Files that were looked at: name, inode, size and time of change.
    known: BTreeSet<(String, u64, u64, i64, i64)>,
    seen: Seen,
}

impl Look {
    fn at_files(&mut self) {
        // The receipt first: what it vouches for must be there by then.
        let receipt = Layout::new(self.model.clone(), None).receipt().exists();
        let files = files(&self.model);
        for path in &files {
            let name = path.strip_prefix(&self.model).unwrap_or(path).display().to_string();
            let Ok(found) = fs::metadata(path) else { continue };
            let key = (name.clone(), found.ino(), found.size(), found.mtime(), found.mtime_nsec());
            if !self.known.insert(key) {
                continue;
            }
            let Ok(content) = fs::read(path) else { continue };
            self.seen.checked += 1;
            if self.expected.get(&name) != Some(&content) {
                self.seen.differing.insert(name);
            }
        }
        if receipt && files.len() != self.expected.len() {
            self.seen.early_receipt = true;
        }
    }
}

/// Every file below a model directory, but for the fetcher's own state.
pub(crate) fn files(model: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![model.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if !path.is_dir() {
                files.push(path);
            } else if path.file_name().is_none_or(|name| name != ".plimsoll") {
                folders.push(path);
            }
        }
    }
    files
}

/// The most memory a process had so far, as long as it runs.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}
