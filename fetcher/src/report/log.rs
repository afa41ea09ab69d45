//! The log on standard error, and the place where bars and log lines agree not to overwrite each other.

use std::io::{self, IsTerminal as _};
use std::sync::OnceLock;

use indicatif::MultiProgress;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use clap::ValueEnum;
use handoff::ExitCode;

use crate::scrub::scrub;

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people, with bars on a terminal.
    Text,
    /// One JSON object per line.
    Json,
}

static FORMAT: OnceLock<LogFormat> = OnceLock::new();
static BARS: OnceLock<MultiProgress> = OnceLock::new();

/// The bars of this process, where there is a terminal to show them.
pub(super) fn bars() -> Option<&'static MultiProgress> {
    BARS.get()
}

/// Sets up the log. Other crates speak only when something is wrong: at their lower levels some print URLs and
/// headers, which may hold secrets.
pub fn init(format: LogFormat, level: Level) {
    let ours = LevelFilter::from_level(level);
    let filter = Targets::new().with_target("fetcher", ours).with_default(LevelFilter::ERROR);
    let terminal = io::stderr().is_terminal();
    let registry = tracing_subscriber::registry().with(filter);
    let _ = FORMAT.set(format);
    // Both fail only when a subscriber is set already, as in a test that runs in the process.
    let _ = match format {
        LogFormat::Json => {
            let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false);
            registry.with(layer.with_writer(|| AroundBars)).try_init()
        }
        LogFormat::Text => {
            if terminal {
                let _ = BARS.set(MultiProgress::new());
            }
            let layer = tracing_subscriber::fmt::layer().with_target(false).with_ansi(terminal);
            registry.with(layer.with_writer(|| AroundBars)).try_init()
        }
    };
}

/// Says why a run failed: the error once, with its causes, and what the user can do about it.
pub fn failure(line: &str, hint: Option<&str>, code: ExitCode) {
    if FORMAT.get() == Some(&LogFormat::Json) {
        return tracing::error!(exit_code = code.code(), hint, "{line}");
    }
    let hint = hint.map_or_else(String::new, |hint| format!("\n  hint: {hint}\n"));
    let text = format!("error: {line}\n{hint}");
    // Standard error that is gone leaves nowhere to say so.
    let _ = io::Write::write_all(&mut AroundBars, text.as_bytes());
}

/// Writes to standard error, without secrets, and with the bars out of the way.
struct AroundBars;

impl io::Write for AroundBars {
    /// Takes a line as a whole, as those above give it.
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let shown = String::from_utf8_lossy(text);
        let shown = scrub(&shown);
        let write = || io::Write::write_all(&mut io::stderr(), shown.as_bytes());
        match bars() {
            Some(bars) => bars.suspend(write),
            None => write(),
        }?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::Write::flush(&mut io::stderr())
    }
}
