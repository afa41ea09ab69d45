//! Asks a server as the sidecar would, with the sidecar's own configuration, but without the sidecar's process: so
//! that a hundred situations take a second.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests, outside #[test] functions")]

use clap::Parser as _;
use health_sidecar::cli::Cli;
use health_sidecar::config::ServeConfig;
use health_sidecar::probe::{Probe, Word};
use tokio::runtime;
use tokio::task::LocalSet;

pub struct Asking(Probe);

impl Asking {
    /// A probe of this kind, with settings as flags.
    pub fn new(kind: &str, url: &str, settings: &[&str]) -> Self {
        let mut arguments =
            vec!["health-sidecar", "--server", kind, "--server-url", url, "--probe-timeout", "400ms"];
        arguments.extend(settings);
        let cli = Cli::try_parse_from(arguments).unwrap();
        Self(ServeConfig::new(*cli.serve).unwrap().probe)
    }

    /// The server's word, now.
    pub fn word(&self) -> Word {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let word = LocalSet::new().block_on(&runtime, self.0.ask());
        let text = format!("{word:?}");
        assert!(text.chars().count() < 800 && !text.contains(char::is_control), "{text}");
        word
    }

    /// The word's kind, for a table, and what it says.
    pub fn sort(&self) -> (&'static str, String) {
        match self.word() {
            Word::Loaded { detail } => ("loaded", detail.unwrap_or_default()),
            Word::NotLoaded { asked, got } => ("not loaded", format!("{asked}: {got}")),
            Word::Unclear { asked, got } => ("unclear", format!("{asked}: {got}")),
        }
    }
}
