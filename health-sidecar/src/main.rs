//! The `health-sidecar` binary: parse, run, map to an exit code.

use clap::Parser as _;
use handoff::ExitCode;
use health_sidecar::cli::Cli;
use health_sidecar::last_words;

fn main() -> std::process::ExitCode {
    let outcome = match Cli::try_parse() {
        Ok(cli) => health_sidecar::run(cli),
        Err(error) => {
            // Where the pipe is closed there is nobody to tell.
            let _ = error.print();
            if !error.use_stderr() {
                return ExitCode::Success.into();
            }
            last_words::write(&error.to_string());
            return ExitCode::Config.into();
        }
    };
    match outcome {
        Ok(code) => code.into(),
        Err(error) => {
            eprint!("{}", error.explain());
            last_words::write(&error.explain());
            error.exit_code().into()
        }
    }
}
