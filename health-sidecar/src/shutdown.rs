//! The signals that end the sidecar.
//!
//! In a scratch container it may be process 1, for which the kernel has no default action: a signal without a
//! handler is dropped, and the Pod would hang until it is killed. So the handlers are installed before
//! anything else is done.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The handlers of SIGTERM and SIGINT.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Installs the handlers. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// Fails as the system does.
    pub fn install() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
