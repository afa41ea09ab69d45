//! Keeps the page cache small where memory is.
//!
//! What is written stays in the page cache, and that is good: the model server loads it from there. But the cache
//! counts towards the container's memory limit. Where the model is larger than what the limit leaves, the kernel
//! would spend its time looking for pages to drop, so they are written out and dropped here, a stretch behind the
//! hash.

use rustix::fs::{Advice, fadvise, fdatasync};

use super::Shared;
use super::board::FileNumber;

/// How many bytes are written out and dropped at a time.
const STRETCH: u64 = 8 << 20;

/// The bytes before `hashed` are not needed any more; they are dropped whenever a stretch of them is full.
pub(super) fn drop_behind(shared: &Shared, file: FileNumber, hashed: u64) {
    let (handle, from) = {
        let mut state = shared.state();
        let Some((_, Some(handle))) = state.ledger.staged(file) else { return };
        let dropped = state.dropped.entry(file).or_default();
        if hashed < *dropped + STRETCH {
            return;
        }
        let from = *dropped;
        *dropped = hashed;
        (handle, from)
    };
    // A volume that cannot do either keeps its cache, as it would without us.
    let written = fdatasync(&**handle);
    let dropped = fadvise(&**handle, from, std::num::NonZeroU64::new(hashed - from), Advice::DontNeed);
    if let Err(error) = written.and(dropped) {
        tracing::debug!("cannot drop the page cache: {error}");
    }
}
