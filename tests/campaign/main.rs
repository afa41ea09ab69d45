//! Everything that can be done to the fetcher, and what came of it, in numbers: `cargo run --locked --bin campaign`.
//!
//! The same cases and kills as in the tests, and more kills. It prints the table that stands in `fetcher/FAULTS.md`, and
//! ends with 1 when anything was not as it must be.
#![allow(clippy::expect_used, reason = "a campaign stops at what fails, and says so")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;

use clap::Parser;
use plimsoll_tests::crashes::{self, Model, Toll};
use plimsoll_tests::faults::{self, Case, Report};
use plimsoll_tests::skip::say;
use rustix::process::Signal;

/// How many cases run at the same time. Most of them wait.
const AT_ONCE: usize = 4;

/// Damages what a real store answers, kills the fetcher everywhere, and counts.
#[derive(Debug, Parser)]
struct Options {
    /// Kills at random moments, beside those at every call
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    kills: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let reports = run(faults::cases());
    say("killing at every call …");
    let calls = crashes::at_every_call();
    say("killing at random …");
    let large = crashes::at_random(options.kills / 5, Signal::KILL, Model::Large);
    let small = crashes::at_random(options.kills - large.count(), Signal::KILL, Model::Small);
    say("terminating at random …");
    let terminated = crashes::at_random(options.kills / 10, Signal::TERM, Model::Large);

    let tolls = [
        ("at every call", &calls),
        ("large model", &large),
        ("small model", &small),
        ("SIGTERM", &terminated),
    ];
    print_table(&reports, &tolls);
    let problems: Vec<_> = reports
        .iter()
        .flat_map(|report| report.problems.iter().map(|problem| format!("{}: {problem}", report.name)))
        .chain(
            tolls.iter().flat_map(|(name, toll)| toll.problems.iter().map(move |it| format!("{name}: {it}"))),
        )
        .collect();
    for problem in &problems {
        say(&format!("problem: {problem}"));
    }
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(cases: Vec<Case>) -> Vec<Report> {
    let count = cases.len();
    let (waiting, done) = (Mutex::new(cases), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(case) = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop() else {
                        return;
                    };
                    let report = faults::run(&case);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push(report);
                    say(&format!("fault {} of {count}: {}", done.len(), case.name));
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn print_table(reports: &[Report], tolls: &[(&str, &Toll)]) {
    let runs = |report: &Report| 1 + usize::from(report.again.is_some());
    let seen = |report: &Report| {
        let seen = std::iter::once(&report.run).chain(report.again.as_ref()).map(|run| &run.seen);
        seen.fold((0, 0), |(checked, differing), seen| {
            (checked + seen.checked, differing + seen.differing.len())
        })
    };
    println!(
        "| what | how often | runs | looks at files at final names | that differed | bytes fetched again |"
    );
    println!("|---|---|---|---|---|---|");
    let (checked, differing) =
        reports.iter().map(seen).fold((0, 0), |sum, seen| (sum.0 + seen.0, sum.1 + seen.1));
    let again: u64 = reports.iter().map(|report| report.refetched_bytes).sum();
    let strikes: usize = reports.iter().map(|report| report.strikes).sum();
    let count: usize = reports.iter().map(runs).sum();
    println!(
        "| faults on the way: {} kinds | {strikes} answers or connections | {count} | {checked} | {differing} | {} |",
        reports.len(),
        mib(again)
    );
    for (name, toll) in tolls {
        let stages =
            toll.ends.iter().map(|(stage, count)| format!("{count} {stage}")).collect::<Vec<_>>().join(", ");
        println!(
            "| ended, {name}: {stages} | {} | {} | {} | {} | {} |",
            toll.count(),
            toll.count() + toll.models,
            toll.checked,
            toll.differing,
            mib(toll.refetched)
        );
    }
}

fn mib(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, (bytes >> 10 & 1023) * 10 / 1024)
}
