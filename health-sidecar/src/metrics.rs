//! Every metric's name, and the page at `/metrics`. The names are stable: dashboards and alerts use them.
//!
//! | name | type | what it is |
//! |---|---|---|
//! | `plimsoll_phase{phase}` | gauge | 1 for the present phase, 0 for every other |
//! | `plimsoll_phase_seconds_total{phase}` | counter | time in each phase, all stays added up |
//! | `plimsoll_reason{code}` | gauge | 1 for the present reason, 0 for every other; see [`reason`](crate::reason) |
//! | `plimsoll_ready` | gauge | 1 while `/health` answers 200 |
//! | `plimsoll_time_to_ready_seconds` | gauge | from the Pod's start to the first ready; see below |
//! | `plimsoll_load_seconds` | gauge | from the accepted receipt to the server's first "loaded" |
//! | `plimsoll_fetch_bytes` | gauge | bytes of the model: fetched so far, then in the receipt |
//! | `plimsoll_fetch_expected_bytes` | gauge | bytes that the model has, once that is known |
//! | `plimsoll_fetch_seconds` | gauge | how long the fetch took |
//! | `plimsoll_resumed_bytes` | gauge | bytes that an interrupted fetch had left behind |
//! | `plimsoll_fetch_attempts` | gauge | starts of the fetcher on this volume |
//! | `plimsoll_fetch_retries_total` | counter | requests that the fetcher made again while it was watched |
//! | `plimsoll_fetch_failures_total{exit_code}` | counter | runs of the fetcher that failed while it was watched, by exit code |
//! | `plimsoll_fetch_integrity{rung}` | gauge | 1 for the rung in the receipt; no sample for any other |
//! | `plimsoll_probe_duration_seconds` | histogram | how long probes of the model server took |
//! | `plimsoll_probes_total{result}` | counter | probes by result, see [`ProbeResult`] |
//! | `plimsoll_smoke_runs_total{result}` | counter | runs of the smoke requests that `passed` or `failed` |
//! | `plimsoll_smoke_seconds_total` | counter | how long these took, added up |
//! | `plimsoll_report_total{result}` | counter | reports to the cluster that were `written`, or why not, see [`Kind`]; no sample unless some are to be made |
//! | `plimsoll_build_info{version}` | info | always 1 |
//! | `process_resident_memory_bytes` | gauge | memory of the sidecar itself |
//! | `process_cpu_seconds_total` | counter | processor time of the sidecar itself |
//! | `process_start_time_seconds` | gauge | when the sidecar started, since 1970 |
//!
//! A metric whose value is not known yet has no sample, rather than a zero that would look like one. The page
//! comes as Prometheus text, or as OpenMetrics for whoever asks for that ([`Format`]).
//!
//! **The Pod's start** is taken to be the sidecar's, since it is the first container of the Pod. A sidecar
//! that started after the fetcher was done, because it alone was restarted or because the Pod has another
//! order, did not see the start and gives no `plimsoll_time_to_ready_seconds`. The times in a receipt would not
//! help: on a volume that outlives its Pods they are those of another Pod.
//!
//! A scrape costs two small reads of `/proc` and one allocation: every label's value is one of the program's
//! own words, so nothing from outside can make the page grow.

use crate::condition::Record;
#[cfg(doc)]
use crate::condition::failure::Kind;
use crate::readiness::{Phase, Verdict};
use crate::reason::ReasonCode;
use crate::receipt_check::Accepted;
use crate::state::State;

mod counts;
mod format;
mod process;
#[cfg(test)]
mod tests;

pub use counts::{FailureCount, PhaseTimes, ProbeCounts, ProbeResult, RetryCount, SmokeCounts};
pub use format::{Family, Format};

use counts::BUCKETS;
use format::Page;
use process::Usage;

/// See the module's table.
pub const PHASE: Family = Family::gauge("plimsoll_phase", "1 for the present phase, 0 for every other.");
/// See the module's table.
pub const PHASE_SECONDS: Family =
    Family::counter("plimsoll_phase_seconds_total", "Time in each phase, all stays added up.");
/// See the module's table.
pub const REASON: Family = Family::gauge("plimsoll_reason", "1 for the present reason, 0 for every other.");
/// See the module's table.
pub const READY: Family = Family::gauge("plimsoll_ready", "1 while /health answers 200.");
/// See the module's table.
pub const TIME_TO_READY: Family =
    Family::gauge("plimsoll_time_to_ready_seconds", "From the Pod's start to the first ready.");
/// See the module's table.
pub const LOAD_SECONDS: Family =
    Family::gauge("plimsoll_load_seconds", "From the accepted receipt to the server's first good word.");
/// See the module's table.
pub const FETCH_BYTES: Family =
    Family::gauge("plimsoll_fetch_bytes", "Bytes of the model: fetched so far, then in the receipt.");
/// See the module's table.
pub const FETCH_EXPECTED_BYTES: Family =
    Family::gauge("plimsoll_fetch_expected_bytes", "Bytes that the model has, once that is known.");
/// See the module's table.
pub const FETCH_SECONDS: Family = Family::gauge("plimsoll_fetch_seconds", "How long the fetch took.");
/// See the module's table.
pub const RESUMED_BYTES: Family =
    Family::gauge("plimsoll_resumed_bytes", "Bytes that an interrupted fetch had left behind.");
/// See the module's table.
pub const FETCH_ATTEMPTS: Family =
    Family::gauge("plimsoll_fetch_attempts", "Starts of the fetcher on this volume.");
/// See the module's table.
pub const FETCH_RETRIES: Family = Family::counter(
    "plimsoll_fetch_retries_total",
    "Requests that the fetcher made again while it was watched.",
);
/// See the module's table.
pub const FETCH_FAILURES: Family = Family::counter(
    "plimsoll_fetch_failures_total",
    "Runs of the fetcher that failed while it was watched, by exit code.",
);
/// See the module's table.
pub const FETCH_INTEGRITY: Family =
    Family::gauge("plimsoll_fetch_integrity", "Always 1; who vouches for the files is in the label.");
/// See the module's table.
pub const PROBE_DURATION: Family =
    Family::histogram("plimsoll_probe_duration_seconds", "How long probes of the model server took.");
/// See the module's table.
pub const PROBES: Family = Family::counter("plimsoll_probes_total", "Probes of the model server, by result.");
/// See the module's table.
pub const SMOKE_RUNS: Family =
    Family::counter("plimsoll_smoke_runs_total", "Runs of the smoke requests, by result.");
/// See the module's table.
pub const SMOKE_SECONDS: Family =
    Family::counter("plimsoll_smoke_seconds_total", "How long runs of the smoke requests took, added up.");
/// See the module's table.
pub const REPORTS: Family = Family::counter("plimsoll_report_total", "Reports to the cluster, by result.");
/// See the module's table.
pub const BUILD_INFO: Family = Family::info("plimsoll_build_info", "Always 1; the version is in the label.");
/// See the module's table.
pub const RESIDENT_MEMORY: Family =
    Family::gauge("process_resident_memory_bytes", "Memory of the sidecar itself.");
/// See the module's table.
pub const CPU_SECONDS: Family =
    Family::counter("process_cpu_seconds_total", "Processor time of the sidecar itself.");
/// See the module's table.
pub const START_TIME: Family =
    Family::gauge("process_start_time_seconds", "When the sidecar started, in seconds since 1970.");

/// Every family, in the order of the page.
pub const ALL: [&Family; 23] = [
    &PHASE,
    &PHASE_SECONDS,
    &REASON,
    &READY,
    &TIME_TO_READY,
    &LOAD_SECONDS,
    &FETCH_BYTES,
    &FETCH_EXPECTED_BYTES,
    &FETCH_SECONDS,
    &RESUMED_BYTES,
    &FETCH_ATTEMPTS,
    &FETCH_RETRIES,
    &FETCH_FAILURES,
    &FETCH_INTEGRITY,
    &PROBE_DURATION,
    &PROBES,
    &SMOKE_RUNS,
    &SMOKE_SECONDS,
    &REPORTS,
    &BUILD_INFO,
    &RESIDENT_MEMORY,
    &CPU_SECONDS,
    &START_TIME,
];

/// Room for the whole page, so that it is allocated once.
const PAGE_BYTES: usize = 11 * 1024;

/// What the page is made of.
#[derive(Debug)]
struct Values<'a> {
    phase: Phase,
    code: ReasonCode,
    phase_times: PhaseTimes,
    time_to_ready: Option<f64>,
    load: Option<f64>,
    receipt: Option<&'a Accepted>,
    progress: Option<&'a handoff::Progress>,
    retries: u64,
    failures: FailureCount,
    probes: &'a ProbeCounts,
    smoke: SmokeCounts,
    reports: Option<&'a Record>,
    usage: Usage,
    started: f64,
}

/// The page.
pub fn render(state: &State, verdict: &Verdict, format: Format) -> String {
    print(
        &Values {
            phase: verdict.phase,
            code: verdict.code,
            phase_times: state.phase_times(),
            time_to_ready: state.time_to_ready().map(|time| time.as_secs_f64()),
            load: state.load().map(|load| load.as_secs_f64()),
            receipt: state.receipt(),
            progress: state.fetcher_progress(),
            retries: state.fetch_retries(),
            failures: state.fetch_failures(),
            probes: state.probe_counts(),
            smoke: *state.smoke_counts(),
            reports: state.reports(),
            usage: Usage::now(),
            started: state.started_at().as_duration().as_secs_f64(),
        },
        format,
    )
}

fn print(values: &Values<'_>, format: Format) -> String {
    let Values { receipt, progress, probes, .. } = values;
    let mut page = Page::new(format, PAGE_BYTES);
    page.family(&PHASE);
    for phase in Phase::ALL {
        page.labelled(&PHASE, ("phase", phase.name()), u64::from(phase == values.phase));
    }
    page.family(&PHASE_SECONDS);
    for phase in Phase::ALL {
        page.labelled(&PHASE_SECONDS, ("phase", phase.name()), values.phase_times.of(phase).as_secs_f64());
    }
    page.family(&REASON);
    for code in ReasonCode::ALL {
        page.labelled(&REASON, ("code", code.name()), u64::from(code == values.code));
    }
    page.single(&READY, Some(u64::from(values.phase == Phase::Ready)));
    page.single(&TIME_TO_READY, values.time_to_ready);
    page.single(&LOAD_SECONDS, values.load);
    page.single(&FETCH_BYTES, receipt.map(|it| it.bytes).or(progress.map(|it| it.bytes)));
    let expected = progress.and_then(|it| it.total_bytes);
    page.single(&FETCH_EXPECTED_BYTES, receipt.map(|it| it.bytes).or(expected));
    page.single(&FETCH_SECONDS, receipt.map(|it| it.seconds));
    page.single(&RESUMED_BYTES, receipt.map(|it| it.resumed_bytes));
    page.single(&FETCH_ATTEMPTS, progress.map(|it| it.attempt));
    page.single(&FETCH_RETRIES, Some(values.retries));
    page.family(&FETCH_FAILURES);
    for (code, runs) in values.failures.all() {
        page.labelled(&FETCH_FAILURES, ("exit_code", code), runs);
    }
    page.family(&FETCH_INTEGRITY);
    if let Some(receipt) = receipt {
        page.labelled(&FETCH_INTEGRITY, ("rung", receipt.integrity.name()), 1);
    }
    page.family(&PROBE_DURATION);
    for ((bound, _), count) in BUCKETS.iter().zip(probes.within()) {
        page.bucket(&PROBE_DURATION, bound, *count);
    }
    page.bucket(&PROBE_DURATION, "+Inf", probes.count());
    page.sum_and_count(&PROBE_DURATION, probes.total().as_secs_f64(), probes.count());
    page.family(&PROBES);
    for result in ProbeResult::ALL {
        page.labelled(&PROBES, ("result", result.name()), probes.of(result));
    }
    page.family(&SMOKE_RUNS);
    page.labelled(&SMOKE_RUNS, ("result", "passed"), values.smoke.of(true));
    page.labelled(&SMOKE_RUNS, ("result", "failed"), values.smoke.of(false));
    page.single(&SMOKE_SECONDS, Some(values.smoke.total().as_secs_f64()));
    page.family(&REPORTS);
    for (result, count) in values.reports.iter().flat_map(|reports| reports.counts()) {
        page.labelled(&REPORTS, ("result", result), count);
    }
    page.family(&BUILD_INFO);
    page.labelled(&BUILD_INFO, ("version", env!("CARGO_PKG_VERSION")), 1);
    page.single(&RESIDENT_MEMORY, values.usage.resident_bytes);
    page.single(&CPU_SECONDS, values.usage.cpu_seconds);
    page.single(&START_TIME, Some(values.started));
    page.finish()
}
