//! The `fetcher` binary; everything is in the library.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match fetcher::cli::Cli::try_parse() {
        Ok(cli) => fetcher::run(cli).into(),
        Err(error) => fetcher::refuse(&error).into(),
    }
}
