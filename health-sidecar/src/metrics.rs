//! Every metric's name, and the page at `/metrics`. The names are stable: dashboards and alerts use them.
//!
//! | name | type | what it is |
//! |---|---|---|
//! | `plimsoll_phase{phase}` | gauge | 1 for the present phase, 0 for every other |
//! | `plimsoll_ready` | gauge | 1 while `/health` answers 200 |
//! | `plimsoll_fetch_bytes` | gauge | bytes of the model: fetched so far, then in the receipt |
//! | `plimsoll_fetch_seconds` | gauge | how long the fetch took |
//! | `plimsoll_resumed_bytes` | gauge | bytes that an interrupted fetch had left behind |
//! | `plimsoll_load_seconds` | gauge | from the accepted receipt to the server's first "loaded" |
//! | `plimsoll_probe_duration_seconds` | histogram | how long probes of the model server took |
//! | `plimsoll_probes_total{result}` | counter | probes that ended `loaded` or `not_loaded` |
//! | `plimsoll_build_info{version}` | gauge | always 1 |
//!
//! A metric whose value is not known yet has no sample, rather than a zero that would look like one.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use crate::readiness::Phase;
use crate::state::State;

/// See the module's table.
pub const PHASE: &str = "plimsoll_phase";
/// See the module's table.
pub const READY: &str = "plimsoll_ready";
/// See the module's table.
pub const FETCH_BYTES: &str = "plimsoll_fetch_bytes";
/// See the module's table.
pub const FETCH_SECONDS: &str = "plimsoll_fetch_seconds";
/// See the module's table.
pub const RESUMED_BYTES: &str = "plimsoll_resumed_bytes";
/// See the module's table.
pub const LOAD_SECONDS: &str = "plimsoll_load_seconds";
/// See the module's table.
pub const PROBE_DURATION: &str = "plimsoll_probe_duration_seconds";
/// See the module's table.
pub const PROBES: &str = "plimsoll_probes_total";
/// See the module's table.
pub const BUILD_INFO: &str = "plimsoll_build_info";

/// The histogram's upper bounds, as they are printed and as they are compared.
const BUCKETS: [(&str, Duration); 8] = [
    ("0.001", Duration::from_millis(1)),
    ("0.005", Duration::from_millis(5)),
    ("0.01", Duration::from_millis(10)),
    ("0.05", Duration::from_millis(50)),
    ("0.1", Duration::from_millis(100)),
    ("0.5", Duration::from_millis(500)),
    ("1", Duration::from_secs(1)),
    ("5", Duration::from_secs(5)),
];

/// Probes, counted by result and by how long they took.
#[derive(Clone, Debug, Default)]
pub struct ProbeCounts {
    loaded: u64,
    not_loaded: u64,
    /// How many probes took at most each bucket's bound: cumulative, as they are printed.
    within: [u64; BUCKETS.len()],
    total: Duration,
}

impl ProbeCounts {
    /// Counts one probe.
    pub fn observe(&mut self, loaded: bool, took: Duration) {
        let result = if loaded { &mut self.loaded } else { &mut self.not_loaded };
        *result = result.saturating_add(1);
        for (count, (_, bound)) in self.within.iter_mut().zip(BUCKETS) {
            *count = count.saturating_add(u64::from(took <= bound));
        }
        self.total = self.total.saturating_add(took);
    }

    fn count(&self) -> u64 {
        self.loaded.saturating_add(self.not_loaded)
    }
}

/// The page, in Prometheus' text format.
pub fn render(state: &State, phase: Phase) -> String {
    let receipt = state.receipt();
    let fetching = state.fetcher_progress().map(|progress| progress.bytes);
    let counts = state.probe_counts();

    let mut page = Page(String::with_capacity(3 * 1024));
    page.family(PHASE, "gauge", "1 for the present phase, 0 for every other.");
    for each in Phase::ALL {
        page.sample(PHASE, &format!("{{phase=\"{each}\"}}"), Some(u64::from(each == phase)));
    }
    page.family(READY, "gauge", "1 while /health answers 200.");
    page.sample(READY, "", Some(u64::from(phase == Phase::Ready)));
    page.family(FETCH_BYTES, "gauge", "Bytes of the model: fetched so far, then in the receipt.");
    page.sample(FETCH_BYTES, "", receipt.map(|receipt| receipt.bytes).or(fetching));
    page.family(FETCH_SECONDS, "gauge", "How long the fetch took.");
    page.sample(FETCH_SECONDS, "", receipt.map(|receipt| receipt.seconds));
    page.family(RESUMED_BYTES, "gauge", "Bytes that an interrupted fetch had left behind.");
    page.sample(RESUMED_BYTES, "", receipt.map(|receipt| receipt.resumed_bytes));
    page.family(LOAD_SECONDS, "gauge", "From the accepted receipt to the server's first good word.");
    page.sample(LOAD_SECONDS, "", state.load().map(|load| load.as_secs_f64()));
    page.family(PROBE_DURATION, "histogram", "How long probes of the model server took.");
    let bucket = format!("{PROBE_DURATION}_bucket");
    for (count, (bound, _)) in counts.within.iter().zip(BUCKETS) {
        page.sample(&bucket, &format!("{{le=\"{bound}\"}}"), Some(*count));
    }
    page.sample(&bucket, "{le=\"+Inf\"}", Some(counts.count()));
    page.sample(&format!("{PROBE_DURATION}_sum"), "", Some(counts.total.as_secs_f64()));
    page.sample(&format!("{PROBE_DURATION}_count"), "", Some(counts.count()));
    page.family(PROBES, "counter", "Probes of the model server, by result.");
    page.sample(PROBES, "{result=\"loaded\"}", Some(counts.loaded));
    page.sample(PROBES, "{result=\"not_loaded\"}", Some(counts.not_loaded));
    page.family(BUILD_INFO, "gauge", "Always 1; the version is in the label.");
    page.sample(BUILD_INFO, concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), Some(1));
    page.0
}

/// Writing to a String cannot fail, so the results are dropped.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_hold_their_bound() {
        let mut counts = ProbeCounts::default();
        counts.observe(true, Duration::from_millis(1));
        counts.observe(false, Duration::from_millis(2));
        counts.observe(false, Duration::from_secs(60));
        assert_eq!(counts.within, [1, 2, 2, 2, 2, 2, 2, 2]);
        assert_eq!((counts.loaded, counts.not_loaded, counts.count()), (1, 2, 3));
        assert_eq!(counts.total, Duration::from_millis(60_003));
    }

    #[test]
    fn the_printed_bounds_are_the_compared_ones() {
        for (text, bound) in BUCKETS {
            assert_eq!(text.parse::<f64>().unwrap(), bound.as_secs_f64());
        }
    }
}
