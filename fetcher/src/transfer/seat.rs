//! Where a connection can be reached while it waits for bytes: whoever brings a part in takes a seat at it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::Notify;

use super::Shared;
use super::board::PartNumber;

/// The seat of one connection at one part.
#[derive(Debug, Default)]
pub(super) struct Seat {
    wake: Notify,
    cut: AtomicBool,
}

impl Seat {
    /// Tells that the part is done, by this connection or another.
    pub(super) fn done(&self) {
        self.wake.notify_one();
    }

    /// Tells the connection to give its request up and ask again.
    pub(super) fn cut(&self) {
        self.cut.store(true, Relaxed);
        self.wake.notify_one();
    }

    /// A new request begins: what was told about the last does not count.
    pub(super) fn sit_down(&self) {
        self.cut.store(false, Relaxed);
    }

    /// Whether the request is to be given up; once for each time it was said.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.swap(false, Relaxed)
    }

    /// Waits until something was told.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Waits until the part is done, by whichever connection.
    pub(super) async fn part_done(&self, shared: &Shared, part: PartNumber) {
        while shared.rest(part).is_some() {
            self.woken().await;
        }
    }
}
