//! Both formats against golden files. After a change that is meant, `PLIMSOLL_BLESS=1` writes them anew.

use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use handoff::{Connections, Integrity, ModelDigest, ModelId, Progress, Resolved, progress};
use jiff::Timestamp;

use super::*;
use crate::condition::Target;
use crate::condition::failure::Failure;
use crate::condition::patch::Condition;

fn accepted() -> Accepted {
    Accepted {
        model: ModelId { name: "m".into(), version: "v1".into() },
        resolved: Resolved { registry: "uri".into(), version: "v1".into(), uri: "s3://m/1".into() },
        digest: ModelDigest::of([]),
        integrity: Integrity::Registry,
        signer: None,
        files: 0,
        first_files: Vec::new(),
        bytes: 1_000_000,
        resumed_bytes: 4,
        seconds: 2.5,
        completed_at: "2026-11-20T10:00:00Z".parse().unwrap(),
    }
}

fn fetching() -> Progress {
    Progress {
        schema: progress::SCHEMA,
        model: accepted().model,
        phase: progress::Phase::Fetching,
        bytes: 630_000,
        total_bytes: Some(1_000_000),
        files: 1,
        total_files: 2,
        bytes_per_second: 10,
        eta_seconds: None,
        connections: Some(Connections { open: 4, slowest_bytes_per_second: None, retries: 3 }),
        attempt: 2,
        error: None,
        updated_at: "2026-11-20T09:59:00Z".parse().unwrap(),
    }
}

fn pages(format: Format) -> [(&'static str, String); 2] {
    let (receipt, progress) = (accepted(), fetching());
    let mut phase_times = PhaseTimes::default();
    phase_times.add(Phase::Waiting, Duration::from_millis(1500));
    phase_times.add(Phase::Fetching, Duration::from_millis(2500));
    let mut probes = ProbeCounts::default();
    let mut failures = FailureCount::default();
    let error = Some(progress::Failure { code: 69, message: "no".into() });
    failures.observe(&Progress { attempt: 1, error, ..fetching() });
    let early = Values {
        phase: Phase::Fetching,
        code: ReasonCode::Fetching,
        phase_times,
        time_to_ready: None,
        load: None,
        receipt: None,
        progress: Some(&progress),
        retries: 3,
        failures,
        probes: &probes.clone(),
        smoke: SmokeCounts::default(),
        reports: None,
        usage: Usage::default(),
        started: 1_795_168_800.125,
    };
    let first = print(&early, format);
    phase_times.add(Phase::Loading, Duration::from_millis(4000));
    phase_times.add(Phase::Ready, Duration::from_secs(3600));
    for (result, milliseconds) in [(ProbeResult::NotLoaded, 2), (ProbeResult::Loaded, 750)] {
        probes.observe(result, Duration::from_millis(milliseconds));
    }
    let mut smoke = SmokeCounts::default();
    smoke.observe(true, Duration::from_millis(120));
    let target = Target::Pod { namespace: "shop".into(), name: "pod".into(), uid: "3f1c".into() };
    let mut reports = Record::new(target);
    let verdict = Verdict { phase: Phase::Ready, code: ReasonCode::Loaded, reason: "loaded".into() };
    let condition = Condition { verdict, since: Timestamp::UNIX_EPOCH, now: Timestamp::UNIX_EPOCH };
    reports.observe(condition.clone(), &Err(Failure::TimedOut));
    reports.observe(condition, &Ok(()));
    let ready = Values {
        phase: Phase::Ready,
        code: ReasonCode::Loaded,
        phase_times,
        time_to_ready: Some(8.0),
        load: Some(4.0),
        receipt: Some(&receipt),
        progress: Some(&progress),
        retries: 3,
        failures,
        probes: &probes,
        smoke,
        reports: Some(&reports),
        usage: Usage { resident_bytes: Some(5_242_880), cpu_seconds: Some(0.25) },
        started: 1_795_168_800.125,
    };
    [("fetching", first), ("ready", print(&ready, format))]
}

#[test]
fn both_formats_are_what_the_golden_files_say() {
    for (format, ending) in [(Format::Prometheus, "prom"), (Format::OpenMetrics, "openmetrics")] {
        for (name, page) in pages(format) {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/{name}.{ending}"));
            if env::var_os("PLIMSOLL_BLESS").is_some() {
                fs::write(&path, &page).unwrap();
            }
            assert_eq!(page, fs::read_to_string(&path).unwrap(), "{}", path.display());
            assert!(page.len() < PAGE_BYTES * 3 / 4, "{} bytes are more than there is room for", page.len());
        }
    }
}

#[test]
fn the_page_holds_every_family_once_and_in_order() {
    let [_, (_, page)] = pages(Format::Prometheus);
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    assert!(types.eq(ALL.iter().map(|family| family.name)), "{page}");
}

#[test]
fn the_table_of_this_module_lists_every_family_and_no_other() {
    let listed = include_str!("../metrics.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `")?.split(['`', '{']).next());
    assert!(listed.eq(ALL.iter().map(|family| family.name)));
}
