//! Shows a run while it goes on: the progress file, the bar on a terminal, a log line otherwise.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handoff::{Phase, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use super::{Rate, Tracker, log};
use handoff::ByteSize;

/// How often the progress file is replaced. The contract says at most twice a second.
const TICK: Duration = Duration::from_millis(500);
/// How often a line is logged where no terminal shows a bar.
const LINE: Duration = Duration::from_secs(10);
/// Over how many ticks throughput is averaged: 5 s, long enough not to flicker.
const WINDOW: usize = 10;

/// A running display. Dropping it stops it.
pub struct Ticker {
    tracker: Arc<Tracker>,
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Ticker {
    /// Begins to write `path` and to show what `tracker` counts.
    pub fn start(tracker: Arc<Tracker>, path: PathBuf) -> Self {
        let mut display = Display::new(Arc::clone(&tracker), path.clone());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            loop {
                ticks.tick().await;
                display.tick();
            }
        });
        Self { tracker, path, task }
    }

    /// Writes the last state, in full, and stops.
    pub fn finish(self) {
        self.task.abort();
        write(&self.path, &self.tracker.snapshot(Rate::default()));
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A progress file that cannot be written (a full volume) must not end a transfer that could go on.
fn write(path: &std::path::Path, progress: &Progress) {
    if let Err(error) = progress.write(path) {
        tracing::debug!("cannot write {}: {error}", path.display());
    }
}

struct Display {
    tracker: Arc<Tracker>,
    path: PathBuf,
    samples: VecDeque<(Instant, u64)>,
    bar: Option<ProgressBar>,
    last_line: Instant,
    last_phase: Phase,
}

impl Display {
    fn new(tracker: Arc<Tracker>, path: PathBuf) -> Self {
        let samples = VecDeque::with_capacity(WINDOW + 1);
        Self { tracker, path, samples, bar: None, last_line: Instant::now(), last_phase: Phase::Waiting }
    }

    fn tick(&mut self) {
        let bytes = self.tracker.snapshot(Rate::default()).bytes;
        self.samples.push_back((Instant::now(), bytes));
        if self.samples.len() > WINDOW {
            self.samples.pop_front();
        }
        let progress = self.tracker.snapshot(rate(&self.samples));
        write(&self.path, &progress);
        match log::bars() {
            Some(bars) => {
                // A bar says nothing before there is something to measure.
                if self.bar.is_none() && progress.phase == Phase::Fetching {
                    self.bar = Some(bars.add(ProgressBar::new(0).with_style(style())));
                }
                if let Some(bar) = &self.bar {
                    bar.set_message(beside_the_bar(&progress));
                    bar.set_length(progress.total_bytes.unwrap_or(progress.bytes));
                    bar.set_position(progress.bytes);
                }
            }
            None => {
                if progress.phase != self.last_phase || self.last_line.elapsed() >= LINE {
                    (self.last_phase, self.last_line) = (progress.phase, Instant::now());
                    line(&progress);
                }
            }
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    // What is long comes last and is cut, so that the line never wraps.
    ProgressStyle::with_template("{bar:20} {percent:>3}% {binary_bytes}/{binary_total_bytes} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn beside_the_bar(progress: &Progress) -> String {
    let left = progress.eta_seconds.map_or_else(String::new, |seconds| format!(", {seconds} s left"));
    let rate = ByteSize(progress.bytes_per_second);
    let connections = progress.connections.map_or_else(String::new, |connections| {
        let slowest = connections.slowest_bytes_per_second.map(ByteSize);
        let slowest = slowest.map_or_else(String::new, |slowest| format!(", slowest {slowest}/s"));
        let retries = connections.retries;
        let retried = if retries > 0 { format!(", {retries} retries") } else { String::new() };
        format!(", {} connections{slowest}{retried}", connections.open)
    });
    let (files, total) = (progress.files, progress.total_files);
    format!("{rate}/s{left}, {files}/{total} files of {}{connections}", progress.model)
}

fn line(progress: &Progress) {
    if progress.phase != Phase::Fetching {
        return tracing::info!(phase = progress.phase.name(), "{} {}", progress.model, progress.phase);
    }
    let total =
        progress.total_bytes.map_or_else(|| "unknown".to_owned(), |total| ByteSize(total).to_string());
    tracing::info!(
        phase = progress.phase.name(),
        percent = progress.percent(),
        files = progress.files,
        total_files = progress.total_files,
        eta_seconds = progress.eta_seconds,
        connections = progress.connections.map(|connections| connections.open),
        slowest_bytes_per_second =
            progress.connections.and_then(|connections| connections.slowest_bytes_per_second),
        retries = progress.connections.map(|connections| connections.retries),
        "{} {}: {} of {total} at {}/s",
        progress.model,
        progress.phase,
        ByteSize(progress.bytes),
        ByteSize(progress.bytes_per_second),
    );
}

/// Throughput over the window; bytes that were taken back count as none.
fn rate(samples: &VecDeque<(Instant, u64)>) -> Rate {
    let (Some((from, before)), Some((to, after))) = (samples.front(), samples.back()) else {
        return Rate::default();
    };
    let milliseconds = to.duration_since(*from).as_millis();
    let bytes = u128::from(after.saturating_sub(*before));
    let per_second = (bytes * 1000).checked_div(milliseconds).unwrap_or(0);
    Rate { bytes_per_second: u64::try_from(per_second).unwrap_or(u64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_window() {
        let start = Instant::now();
        let at = |milliseconds, bytes| (start + Duration::from_millis(milliseconds), bytes);
        let of = |samples: &[(Instant, u64)]| rate(&samples.iter().copied().collect()).bytes_per_second;
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[at(0, 5)]), 0);
        assert_eq!(of(&[at(0, 0), at(500, 10), at(2000, 1000)]), 500);
        assert_eq!(of(&[at(0, 100), at(1000, 0)]), 0);
    }
}
