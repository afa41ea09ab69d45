//! Fetches a machine-learning model by name and version into a volume, verified.
//!
//! The stages, in the order in which data flows through them:
//!
//! | stage | from → to |
//! |---|---|
//! | [`cli`] → [`config`] | the command line and the environment → a [`Job`], checked as a whole |
//! | [`resolve`] | a name → a [`Location`](resolve::Location): one immutable version |
//! | [`store`] | a location → a listing, and ranges of bytes |
//! | [`evidence`] | files → [`Manifest`](manifest::Manifest)s: what vouches for them |
//! | [`plan`] | listing and digests → a [`Plan`](plan::Plan); no I/O |
//! | [`transfer`] | the plan → bytes in the staging area |
//! | [`verify`] | bytes → a [`VerifiedFile`](verify::VerifiedFile), which nothing else can make |
//! | [`publish`] | verified files → final names, receipt last |
//! | [`report`] | what all of them count → progress file, bar, log, termination message |
//!
//! [`signature`] says who vouches for a model, [`volume`] is the directory that is filled, [`memory`] what the container leaves for it, [`retry`] the one retry budget,
//! [`error`] the exit code of it all.

pub mod archive;
pub mod catalog;
pub mod chain;
pub mod cli;
mod command;
pub mod config;
pub mod confined;
pub mod connection;
pub mod credentials;
pub mod dns;
pub mod error;
pub mod evidence;
pub mod filter;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod limits;
pub mod manifest;
pub mod memory;
pub mod name;
pub mod plan;
pub mod publish;
pub mod redact;
pub mod reference;
pub mod report;
pub mod resolve;
pub mod retry;
pub mod scrub;
pub mod signal;
pub mod signature;
pub mod store;
pub mod transfer;
pub mod uri;
pub mod verify;
pub mod volume;

use std::time::Duration;

use handoff::ExitCode;

use crate::config::{Job, TERMINATION_LOG, TerminationLog};
use crate::credentials::Environment;
use crate::error::Error;
use crate::report::termination;

/// How long work on the blocking pool may go on after a signal: one buffer's write, on a slow disk.
const WIND_DOWN: Duration = Duration::from_secs(5);

/// Does what the command line says, reports how it went, and gives the exit code.
pub fn run(cli: cli::Cli) -> ExitCode {
    scrub::remember();
    report::log::init(cli.log.log_format, cli.log.log_level);
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let default_log = termination_log(&environment);
    let job = match config::job(cli, &environment) {
        Ok(job) => job,
        Err(error) => return conclude(&default_log, "fetcher", Err(error.into())),
    };
    termination::install_panic_hook(job.termination_log().unwrap_or(default_log));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot start: {error}");
            return ExitCode::LocalIo;
        }
    };
    let code = runtime.block_on(carry_out(job));
    runtime.shutdown_timeout(WIND_DOWN);
    code
}

/// Says what is wrong with the command line or with a setting of the environment, to people and to the kubelet. Help and version are
/// asked for in the same way and are no error.
pub fn refuse(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::Success;
    }
    let text = error.to_string();
    let paragraph: Vec<_> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let words = paragraph.join(" ");
    let default_log = termination_log(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    termination::write(&default_log, &format!("fetcher: {}", words.trim_start_matches("error: ")));
    ExitCode::Config
}

/// Where the outcome goes as long as nobody knows what is to be done.
fn termination_log(environment: Environment<'_>) -> TerminationLog {
    match environment("FETCHER_TERMINATION_LOG") {
        Some(path) => TerminationLog::Always(path.into()),
        None => TerminationLog::IfPresent(TERMINATION_LOG.into()),
    }
}

async fn carry_out(job: Job) -> ExitCode {
    match job {
        Job::Pull(pulls) => {
            for pull in pulls {
                let who = pull.wanted.reference.id().to_string();
                let code = conclude(&pull.termination_log, &who, command::pull::run(&pull).await);
                if code != ExitCode::Success {
                    return code;
                }
            }
            ExitCode::Success
        }
        Job::Resolve(job) => {
            let who = job.wanted.reference.id().to_string();
            conclude(
                &job.termination_log,
                &who,
                within(job.network.deadline, command::resolve::run(&job)).await,
            )
        }
        Job::Publish(job) => say("publish", within(job.network.deadline, command::publish::run(&job)).await),
        Job::Verify(job) => say("verify", command::verify::run(&job)),
        Job::Digest(directory) => say("digest", command::digest::run(&directory)),
    }
}

/// Ends work that leaves nothing behind at a signal or when its time is up.
async fn within(limit: Duration, work: impl Future<Output = Result<String, Error>>) -> Result<String, Error> {
    tokio::select! {
        outcome = work => outcome,
        () = tokio::time::sleep(limit) => Err(Error::Deadline { limit }),
        signal = signal::received() => Err(Error::Interrupted { signal, progress: "before it was done".into() }),
    }
}

/// Reports the outcome to people and to the kubelet.
fn conclude(log: &TerminationLog, who: &str, outcome: Result<String, Error>) -> ExitCode {
    let line = match &outcome {
        Ok(line) => line.clone(),
        Err(error) => format!("{who}: {}", error.chain()),
    };
    termination::write(log, &line);
    say(who, outcome)
}

/// Reports the outcome to people.
fn say(who: &str, outcome: Result<String, Error>) -> ExitCode {
    match outcome {
        Ok(line) => {
            tracing::info!("{line}");
            ExitCode::Success
        }
        Err(error) => {
            let code = error.exit_code();
            report::log::failure(&format!("{who}: {}", error.chain()), error.hint(), code);
            code
        }
    }
}
