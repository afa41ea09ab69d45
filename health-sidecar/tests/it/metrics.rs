//! The page at `/metrics`, read by a parser that forgives nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside #[test] functions")]

use std::collections::BTreeMap;

use handoff::{Phase, Receipt};
use health_sidecar::metrics;
use jiff::{SignedDuration, Timestamp};

use crate::model_server::{ModelServer, Says};
use crate::sidecar::{Sidecar, exchange};
use crate::volume::{VERSION, Volume, receipt};

/// Samples by name and labels, as printed.
struct Page {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

/// Takes the text format apart: `HELP`, `TYPE`, then that family's samples and no other's; each once.
fn parse(text: &str) -> Result<Page, String> {
    let mut page = Page { kinds: BTreeMap::new(), samples: BTreeMap::new() };
    let mut helped = String::new();
    let mut family = String::new();
    let mut lines = text.strip_suffix('\n').ok_or("no newline at the end")?.split('\n');
    lines.try_for_each(|line| {
        let fault = |what: &str| Err(format!("{what}: `{line}`"));
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let Some((name, help)) = rest.split_once(' ') else { return fault("no help") };
            helped = name.to_owned();
            return if help.ends_with('.') { Ok(()) } else { fault("help is no sentence") };
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let Some((name, kind)) = rest.split_once(' ') else { return fault("no type") };
            if name != helped || !["gauge", "counter", "histogram"].contains(&kind) {
                return fault("type without help, or unknown");
            }
            family = name.to_owned();
            let again = page.kinds.insert(name.to_owned(), kind.to_owned()).is_some();
            return if again { fault("family twice") } else { Ok(()) };
        }
        let Some((key, value)) = line.rsplit_once(' ') else { return fault("no value") };
        let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
        let part = match page.kinds.get(&family).map(String::as_str) {
            Some("histogram") => ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)),
            _ => Some(name),
        };
        if part != Some(&family) {
            return fault("a sample outside its family");
        }
        let Some(labels) = labels.strip_suffix('}') else { return fault("labels are not closed") };
        let quoted = |label: &str| {
            label.split_once('=').is_some_and(|(name, value)| {
                let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
                    && inner.is_some_and(|it| !it.contains('"'))
            })
        };
        if !labels.is_empty() && !labels.split(',').all(quoted) {
            return fault("malformed labels");
        }
        let Ok(value) = value.parse() else { return fault("not a number") };
        let again = page.samples.insert(key.to_owned(), value).is_some();
        if again { fault("sample twice") } else { Ok(()) }
    })?;
    Ok(page)
}

fn scrape(sidecar: &Sidecar) -> Page {
    let reply = sidecar.get("/metrics");
    assert!(reply.head.contains("content-type: text/plain; version=0.0.4"), "{}", reply.head);
    parse(&reply.body).unwrap()
}

fn phases(page: &Page) -> Vec<&str> {
    let on = page.samples.iter().filter(|(key, value)| key.starts_with("plimsoll_phase{") && **value == 1.0);
    on.map(|(key, _)| key.as_str()).collect()
}

#[test]
fn the_page_follows_the_model_from_nothing_to_ready() {
    let volume = Volume::empty();
    let server = ModelServer::start(Says::Failures(1));
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    let page = scrape(&sidecar);
    let names: Vec<_> = page.kinds.keys().map(String::as_str).collect();
    let mut listed = metrics::ALL.map(|family| family.name);
    listed.sort_unstable();
    assert_eq!(names, listed);
    assert_eq!(phases(&page), ["plimsoll_phase{phase=\"waiting\"}"]);
    assert_eq!(page.samples["plimsoll_ready"], 0.0);
    assert_eq!(page.samples.get("plimsoll_fetch_seconds"), None);
    assert_eq!(page.samples["plimsoll_probes_total{result=\"loaded\"}"], 0.0);

    volume.put_progress(Phase::Fetching);
    sidecar.until("fetching", "fetching 63 %");
    let page = scrape(&sidecar);
    assert_eq!(phases(&page), ["plimsoll_phase{phase=\"fetching\"}"]);
    assert_eq!(page.samples["plimsoll_fetch_bytes"], 63.0);
    assert_eq!(page.samples["plimsoll_fetch_expected_bytes"], 100.0);
    assert_eq!(page.samples["plimsoll_fetch_attempts"], 1.0);
    assert!(page.samples["plimsoll_phase_seconds_total{phase=\"waiting\"}"] > 0.0);

    volume.put_files();
    let receipt = Receipt { completed_at: Timestamp::now(), ..receipt(VERSION) };
    volume.put_receipt(&receipt);
    sidecar.until("ready", "loaded");
    let page = scrape(&sidecar);
    assert_eq!(phases(&page), ["plimsoll_phase{phase=\"ready\"}"]);
    assert_eq!(page.samples["plimsoll_ready"], 1.0);
    assert_eq!(page.samples["plimsoll_fetch_bytes"].to_string(), receipt.bytes.to_string());
    assert_eq!(page.samples["plimsoll_fetch_seconds"], 0.25);
    assert_eq!(page.samples["plimsoll_resumed_bytes"], 4.0);
    assert!(page.samples["plimsoll_load_seconds"] > 0.0);
    assert_eq!(page.samples["plimsoll_probes_total{result=\"unclear\"}"], 1.0);
    assert_eq!(page.samples["plimsoll_reason{code=\"loaded\"}"], 1.0);
    let count = page.samples["plimsoll_probe_duration_seconds_count"];
    assert!(count >= 2.0);
    assert_eq!(page.samples["plimsoll_probe_duration_seconds_bucket{le=\"+Inf\"}"], count);
    assert!(page.samples["plimsoll_probe_duration_seconds_sum"] > 0.0);
    assert_eq!(page.samples["plimsoll_fetch_integrity{rung=\"registry\"}"], 1.0);

    // All phases together lasted as long as the process so far, and the way to ready was no longer than that.
    let times = page.samples.iter().filter(|(key, _)| key.starts_with("plimsoll_phase_seconds_total"));
    let all: f64 = times.map(|(_, seconds)| seconds).sum();
    let started = page.samples["process_start_time_seconds"];
    let age = Timestamp::now().as_duration().as_secs_f64() - started;
    assert!(all > 0.0 && all <= age, "{all} of {age}");
    let to_ready = page.samples["plimsoll_time_to_ready_seconds"];
    assert!(page.samples["plimsoll_load_seconds"] <= to_ready && to_ready <= all, "{to_ready} of {all}");
    assert!(page.samples["process_resident_memory_bytes"] > 100_000.0);
    assert!(page.samples["process_cpu_seconds_total"] < age);
}

#[test]
fn a_start_that_was_not_seen_is_not_told() {
    let volume = Volume::empty();
    volume.put_files();
    let completed_at = Timestamp::now() - SignedDuration::from_secs(60);
    volume.put_receipt(&Receipt { completed_at, ..receipt(VERSION) });
    let server = ModelServer::start(Says::loaded());
    let sidecar = Sidecar::start(&volume, &server.url(), &[]);
    sidecar.until("ready", "loaded");
    let page = scrape(&sidecar);
    assert_eq!(page.samples.get("plimsoll_time_to_ready_seconds"), None);
    assert!(page.samples["plimsoll_load_seconds"] > 0.0);
}

#[test]
fn openmetrics_comes_to_whoever_asks_for_it() {
    let sidecar = Sidecar::start(&Volume::empty(), "http://127.0.0.1:9", &[]);
    let ask = |accept: &str| {
        let head = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{accept}\r\n");
        exchange(sidecar.address(), &head).unwrap()
    };
    let open = ask("Accept: text/plain;q=0.5\r\nAccept: application/openmetrics-text; version=1.0.0\r\n");
    assert!(open.head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{}", open.head);
    assert!(open.head.contains("\r\nvary: accept"), "{}", open.head);
    assert!(open.body.ends_with("\n# EOF\n"), "{}", open.body);
    assert!(open.body.contains("\n# TYPE plimsoll_probes counter\nplimsoll_probes_total{"), "{}", open.body);
    for accept in ["", "Accept: */*\r\n", "Accept: \u{fc}\r\n"] {
        let plain = ask(accept);
        assert!(plain.head.contains("content-type: text/plain; version=0.0.4"), "{}", plain.head);
        assert!(!plain.body.contains("# EOF") && !plain.body.contains("# UNIT"), "{}", plain.body);
    }
}

#[test]
fn the_parser_forgives_nothing() {
    let head = "# HELP a A.\n# TYPE a gauge\n";
    assert_eq!(parse(&format!("{head}a 1\na{{b=\"c\"}} 2\n")).unwrap().samples.len(), 2);
    for rest in ["a 1", "b 1\n", "a 1\na 1\n", "a{b=c} 1\n", "a{b=\"c\" 1\n", "a one\n", "a\n", "\n"] {
        assert!(parse(&format!("{head}{rest}")).is_err(), "{rest}");
    }
    assert!(parse("# TYPE a gauge\na 1\n").is_err());
}
