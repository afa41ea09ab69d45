//! The worker threads. Each has a runtime of its own with some of the connections and a task that hashes what they
//! bring, so that a byte stays on one core from the socket to the hash. A thread may block on the disk without
//! holding up the signals, the progress file or the other threads.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime, RuntimeMetrics};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::connection::Connection;
use super::{Shared, Stores, TransferError, hashing};

/// How long the threads may take to end: one block's write, on a slow disk.
const WIND_DOWN: Duration = Duration::from_secs(5);

/// The running threads. They end when this is dropped.
pub(super) struct Crew {
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    failures: mpsc::Receiver<TransferError>,
    metrics: Vec<RuntimeMetrics>,
}

/// How busy the threads are.
#[derive(Default)]
pub(super) struct BusyTimes {
    metrics: Vec<RuntimeMetrics>,
    before: Duration,
}

impl BusyTimes {
    /// The share of `elapsed` that the threads were busy since the last call, from 0 to 1.
    pub(super) fn share_of(&mut self, elapsed: Duration) -> f64 {
        let now: Duration = self.metrics.iter().map(|metrics| metrics.worker_total_busy_duration(0)).sum();
        let busy = now.saturating_sub(std::mem::replace(&mut self.before, now));
        let threads = u32::try_from(self.metrics.len()).unwrap_or(u32::MAX).max(1);
        busy.as_secs_f64() / (elapsed.as_secs_f64().max(0.001) * f64::from(threads))
    }
}

impl Crew {
    /// Starts a thread for each set of stores, with every so-manieth of the connections.
    pub(super) fn start(
        shared: &Arc<Shared>,
        stores: Vec<Stores>,
        connections: usize,
    ) -> Result<Self, TransferError> {
        let count = stores.len().max(1);
        let (failed, failures) = mpsc::channel(count);
        let mut crew =
            Self { threads: Vec::new(), stop: watch::Sender::new(false), failures, metrics: Vec::new() };
        for (number, stores) in stores.into_iter().enumerate() {
            let runtime = Builder::new_current_thread().enable_all().build().map_err(TransferError::Start)?;
            crew.metrics.push(runtime.metrics());
            let (shared, failed, stop) = (Arc::clone(shared), failed.clone(), crew.stop.subscribe());
            let numbers: Vec<usize> = (number..connections).step_by(count).collect();
            let thread = std::thread::Builder::new().name(format!("transfer-{number}")).spawn(move || {
                let outcome = runtime.block_on(work(&shared, stores, number, &numbers, stop));
                // Reads of a local source may still be under way.
                Runtime::shutdown_background(runtime);
                if let Err(error) = outcome {
                    // There is room for one from each thread.
                    let _ = failed.try_send(error);
                }
            });
            crew.threads.push(thread.map_err(TransferError::Start)?);
        }
        Ok(crew)
    }

    /// Waits for the first failure.
    pub(super) async fn failure(&mut self) -> TransferError {
        match self.failures.recv().await {
            Some(error) => error,
            // Every thread has ended, and the last file was just verified.
            None => std::future::pending().await,
        }
    }

    pub(super) fn busy_times(&self) -> BusyTimes {
        BusyTimes { metrics: self.metrics.clone(), before: Duration::ZERO }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let started = Instant::now();
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && started.elapsed() < WIND_DOWN {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

async fn work(
    shared: &Arc<Shared>,
    stores: Stores,
    thread: usize,
    numbers: &[usize],
    mut stop: watch::Receiver<bool>,
) -> Result<(), TransferError> {
    let stores = Arc::new(stores);
    let mut tasks = JoinSet::new();
    tasks.spawn(hashing::run(Arc::clone(shared), thread));
    for &number in numbers {
        let (shared, stores) = (Arc::clone(shared), Arc::clone(&stores));
        tasks.spawn(Connection { number, shared, stores, thread }.run());
    }
    loop {
        let ended = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
            ended = tasks.join_next() => ended,
        };
        match ended {
            None => return Ok(()),
            Some(Ok(outcome)) => outcome?,
            Some(Err(error)) => return Err(TransferError::Task { reason: error.to_string() }),
        }
    }
}
