//! The readiness sidecar: serves `/health`, which is green only while the receipt is valid *and* the model
//! server itself says that this model is loaded.
//!
//! It starts before the fetcher and lives as long as the Pod, so it is one thread and a few MiB. Data flows one
//! way:
//!
//! ```text
//! cli → config → serve ─┬─ receipt_watch → receipt_check ─┐
//!                       ├─ probe (+ probe/<server>) ──────┼→ state (readiness judges) → server → report, page, metrics
//!                       └─ shutdown ──────────────────────┘                               └→ condition, in the cluster
//!              → check  (asks a running sidecar) + smoke (asks the model server to predict)
//!       install (copies the program to where another container can run `check`)
//! ```
//!
//! [`readiness`] is the one decision, and it is pure. Everything else sees, remembers or tells.

use std::env;
use std::io::Write as _;

use handoff::ExitCode;

pub mod check;
pub mod cli;
pub mod condition;
pub mod config;
pub mod connection;
pub mod error;
pub mod exchange;
pub mod expected;
pub mod grpc_client;
pub mod http_client;
pub mod http_headers;
pub mod http_url;
pub mod install;
pub mod last_words;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod one_line;
pub mod page;
pub mod places;
pub mod probe;
pub mod readiness;
pub mod reason;
pub mod receipt_check;
pub mod receipt_watch;
pub mod report;
pub mod serve;
pub mod server;
pub mod shutdown;
pub mod smoke;
pub mod state;

use check::Judgement;
use cli::{Cli, Command};
use config::{CheckConfig, ServeConfig};
use error::Error;

/// Does what the command line says.
///
/// # Errors
/// See [`Error`].
pub fn run(cli: Cli) -> Result<ExitCode, Error> {
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(flags) => {
            let config = ServeConfig::new(*flags)?;
            config.logging.install();
            serve::serve(config)?;
            Ok(ExitCode::Success)
        }
        Command::Check(flags) => {
            let config = CheckConfig::new(flags, env::var_os("HEALTH_SMOKE"))?;
            let finding = check::check(&config).map_err(Error::Check)?;
            // Whoever closed the pipe reads the exit code.
            let _ = writeln!(std::io::stdout(), "{}", finding.line);
            Ok(if finding.verdict == Judgement::Ready { ExitCode::Success } else { ExitCode::Unavailable })
        }
        Command::Install(flags) => {
            let path = install::install(&flags.folder)?;
            let _ = writeln!(std::io::stdout(), "installed {}", path.display());
            Ok(ExitCode::Success)
        }
    }
}
