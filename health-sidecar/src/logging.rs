//! Log lines on standard error: one for each change, none while nothing changes.

use std::io;

use tracing::Level;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object.
    Json,
}

/// How to log, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Logging {
    /// How a line looks.
    pub format: LogFormat,
    /// The least important level that is logged.
    pub level: Level,
}

impl Logging {
    /// Sends every later log line of this process to standard error. Only the first call counts.
    pub fn install(self) {
        let builder = tracing_subscriber::fmt()
            .with_max_level(self.level)
            .with_target(false)
            .with_ansi(false)
            .with_writer(io::stderr);
        let _ = match self.format {
            LogFormat::Text => builder.try_init(),
            LogFormat::Json => builder.json().flatten_event(true).try_init(),
        };
    }
}
