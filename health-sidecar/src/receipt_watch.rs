//! Notices when the fetcher has something new to say.
//!
//! Receipt and progress are replaced by renaming, so a look at their metadata tells whether there is anything
//! to read. Looking is one system call per file, several times a second while the Pod is not ready and once a
//! second when it is; inotify would save those calls and miss changes on some network volumes. Only a changed
//! file is read, and only a changed receipt makes its files be looked at, on a thread of its own that ends
//! when it is done. The server looks at the receipt before each answer too, so that no answer is green without one.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use handoff::{Layout, Progress, ReadError};
use tokio::sync::Notify;

use crate::expected::Expected;
use crate::one_line;
use crate::readiness::{Phase, ProgressWord};
use crate::receipt_check::{self, Accepted, Refusal};
use crate::state::State;

/// How often to look while the Pod is ready.
const READY_INTERVAL: Duration = Duration::from_secs(1);
/// How often to look otherwise.
const INTERVAL: Duration = Duration::from_millis(250);
/// How often to check an unchanged receipt that was refused: the cause may have been a file's, not its own.
const RECHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The receipt, as it was when somebody last looked.
pub struct ReceiptFile {
    watched: RefCell<Watched>,
    /// How often it has changed.
    changes: Cell<u64>,
    /// It has changed, whoever saw it.
    changed: Notify,
}

impl ReceiptFile {
    /// The receipt of `layout`, which nobody has looked at.
    pub fn new(layout: &Layout) -> Self {
        Self {
            watched: RefCell::new(Watched::new(layout.receipt())),
            changes: Cell::new(0),
            changed: Notify::new(),
        }
    }

    /// Looks, and tells `state` if it is not what it was.
    pub fn look(&self, state: &RefCell<State>) {
        let mut watched = self.watched.borrow_mut();
        if watched.has_changed() {
            self.changes.set(self.changes.get().wrapping_add(1));
            state.borrow_mut().receipt_changed(watched.exists());
            self.changed.notify_one();
        }
    }

    fn exists(&self) -> bool {
        self.watched.borrow().exists()
    }
}

/// Watches until the future is dropped, and looks at least every `longest_pause`. Tells `state` of every change and wakes `checked` for every receipt
/// that was checked.
pub async fn watch(
    layout: Layout,
    expected: Expected,
    receipt: &ReceiptFile,
    longest_pause: Duration,
    state: &RefCell<State>,
    checked: &Notify,
) -> Infallible {
    let mut progress = Watched::new(layout.progress());
    // Of the last receipt that was checked: which change it was, and when to check it again if it was refused.
    let (mut checked_change, mut recheck_at) = (0, None);
    loop {
        // Progress is read first and told last. The fetcher writes its last progress after the receipt, so
        // whoever has read "fetched" finds that receipt, and nobody is told that it is not there.
        let news = progress.has_changed().then(|| read_progress(&progress.path, &expected));
        receipt.look(state);
        if let Some(word) = news {
            state.borrow_mut().progress(word);
        }
        let change = receipt.changes.get();
        let is_due = change != checked_change || recheck_at.is_some_and(|at| at <= Instant::now());
        if receipt.exists() && is_due {
            let outcome = check(layout.clone(), expected.clone()).await;
            receipt.look(state);
            // What is there now may be another one than what was read.
            if receipt.changes.get() == change {
                (checked_change, recheck_at) =
                    (change, outcome.is_err().then(|| Instant::now() + RECHECK_INTERVAL));
                state.borrow_mut().receipt_checked(outcome);
                checked.notify_one();
            }
        }
        let ready = state.borrow_mut().verdict().phase == Phase::Ready;
        let pause = if ready { longest_pause.min(READY_INTERVAL) } else { longest_pause.min(INTERVAL) };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // The server may have seen it first.
            () = receipt.changed.notified() => {}
        }
    }
}

async fn check(layout: Layout, expected: Expected) -> Result<Accepted, Refusal> {
    let path = layout.receipt();
    tokio::task::spawn_blocking(move || receipt_check::check(&layout, &expected))
        .await
        .unwrap_or_else(|error| Err(ReadError::Io { path, source: io::Error::other(error) }.into()))
}

fn read_progress(path: &Path, expected: &Expected) -> ProgressWord {
    match Progress::read(path) {
        Ok(progress) => match expected.mismatch(&progress.model) {
            None => ProgressWord::Known(progress),
            Some(mismatch) => ProgressWord::Unusable(format!("the fetcher's progress is for {mismatch}")),
        },
        Err(ReadError::Missing { .. }) => ProgressWord::Absent,
        Err(error) => ProgressWord::Unusable(one_line::of_error(&error)),
    }
}

/// A file and what it was when last looked at.
struct Watched {
    path: PathBuf,
    seen: Identity,
}

/// Two looks that give the same identity saw the same content: every replacement is a new inode with a new
/// change time.
#[derive(PartialEq)]
enum Identity {
    Absent,
    Hidden(io::ErrorKind),
    Present { inode: u64, size: u64, modified: (i64, i64), changed: (i64, i64) },
}

impl Watched {
    fn new(path: PathBuf) -> Self {
        Self { path, seen: Identity::Absent }
    }

    /// Whether there was a file at the last look.
    fn exists(&self) -> bool {
        self.seen != Identity::Absent
    }

    /// Whether the file is another one than at the last look.
    fn has_changed(&mut self) -> bool {
        let now = match self.path.metadata() {
            Ok(metadata) => Identity::Present {
                inode: metadata.ino(),
                size: metadata.size(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Identity::Absent,
            Err(error) => Identity::Hidden(error.kind()),
        };
        let changed = now != self.seen;
        self.seen = now;
        changed
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_way_to_change_a_file_is_noticed_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("receipt.json");
        let mut watched = Watched::new(path.clone());
        assert!(!watched.has_changed(), "absent, as at first");
        let steps: [(&str, &dyn Fn()); 5] = [
            ("created", &|| fs::write(&path, "1").unwrap()),
            ("grown", &|| fs::write(&path, "22").unwrap()),
            ("replaced by one of the same size", &|| {
                fs::write(path.with_extension("new"), "33").unwrap();
                fs::rename(path.with_extension("new"), &path).unwrap();
            }),
            ("removed", &|| fs::remove_file(&path).unwrap()),
            ("created again", &|| fs::write(&path, "33").unwrap()),
        ];
        for (step, act) in steps {
            act();
            assert!(watched.has_changed(), "{step}");
            assert!(!watched.has_changed(), "{step}, but no second time");
        }
    }
}
