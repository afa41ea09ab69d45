//! The signals that ask a run to end. As process 1 of a container nothing but an explicit handler hears them.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM or SIGINT and gives its name. Never returns where no handler can be installed.
pub async fn received() -> &'static str {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
