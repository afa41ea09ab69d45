//! The `fetcher` binary; everything is in the library.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match fetcher::cli::Cli::try_parse() {
        Ok(cli) => fetcher::run(cli).into(),
        Err(error) => {
            // Help and version are no error; anything else is a bad argument.
            let _ = error.print();
            if error.use_stderr() { handoff::ExitCode::Config.into() } else { ExitCode::SUCCESS }
        }
    }
}
