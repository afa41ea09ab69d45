//! The sidecar's metrics in every phase, read by Prometheus' own tools: `promtool` judges the text format, the official
//! client's parser the OpenMetrics.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use plimsoll_tests::{http, places, skip, tools};

use crate::sidecar::Sidecar;

fn scrape(sidecar: &Sidecar, accept: &str) -> String {
    let answer = http::request("GET", sidecar.port(), "/metrics", &[("accept", accept)], &[]).unwrap();
    assert_eq!(answer.status, 200);
    answer.text().to_owned()
}

/// Runs a command with `page` on its standard input, and gives whether it succeeded and what it said.
fn ask(mut command: Command, page: &str) -> (bool, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(page.as_bytes()).unwrap();
    let output = command.stdin(File::open(file.path()).unwrap()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

fn promtool(program: &Path, page: &str) -> (bool, String) {
    let mut command = Command::new(program);
    command.args(["check", "metrics"]);
    ask(command, page)
}

fn openmetrics(page: &str) -> (bool, String) {
    let mut command = tools::metrics_python().command("python");
    command.arg(places::data("metrics/parse.py"));
    ask(command, page)
}

#[test]
fn prometheus_own_tools_read_every_page() {
    if skip::asked("metrics", "metrics: prometheus_own_tools_read_every_page") {
        return;
    }
    let program = tools::debian_package("prometheus", "/usr/bin/promtool");
    let sidecar = Sidecar::start("search-ranking", "v2.3");
    let check = |phase: &str| {
        sidecar.until(phase);
        let plain = scrape(&sidecar, "text/plain");
        assert!(plain.contains(&format!("plimsoll_phase{{phase=\"{phase}\"}} 1\n")), "{plain}");
        assert_eq!(promtool(&program, &plain), (true, String::new()), "{phase}");
        let open = scrape(&sidecar, "application/openmetrics-text; version=1.0.0");
        let (read, families) = openmetrics(&open);
        assert!(read, "{phase}: {families}\n{open}");
        families
    };
    check("waiting");
    sidecar.fetching();
    check("fetching");
    sidecar.failed("checksum mismatch on model.safetensors");
    check("failed");
    sidecar.fetching();
    sidecar.fetched(3, 1000);
    check("loading");
    sidecar.set_loaded(true);
    let families = check("ready");
    for family in [
        "plimsoll_phase gauge - 9",
        "plimsoll_phase_seconds counter seconds 9",
        "plimsoll_time_to_ready_seconds gauge seconds 1",
        "plimsoll_fetch_integrity gauge - 1",
        "plimsoll_fetch_failures counter - 10",
        "plimsoll_fetch_retries counter - 1",
        "plimsoll_probe_duration_seconds histogram seconds 11",
        "plimsoll_probes counter - 3",
        "plimsoll_build info - 1",
        "process_cpu_seconds counter seconds 1",
        "process_resident_memory_bytes gauge bytes 1",
    ] {
        assert!(families.lines().any(|line| line == family), "expected `{family}` among:\n{families}");
    }

    // What these tools are worth: each refuses a page that is wrong.
    let plain = scrape(&sidecar, "text/plain");
    let wrong = plain.replace("plimsoll_probes_total", "plimsoll_probes");
    assert!(promtool(&program, &wrong).1.contains("counter metrics should have \"_total\" suffix"));
    assert!(!openmetrics(&plain).0, "the text format has no end mark");
}
