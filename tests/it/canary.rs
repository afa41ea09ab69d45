//! The analysis of a canary: what Prometheus says of the requests to its Pods, and what Argo Rollouts makes of that, each by its own
//! code.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use plimsoll_tests::{places, process, skip, tools};
use serde_json::{Value, json};

/// The AnalysisTemplates of the component.
fn templates() -> Vec<Value> {
    let path = places::workspace().join("k8s/components/canary/argo-rollouts/analysis.yaml");
    serde_saphyr::from_multiple(&fs::read_to_string(path).unwrap()).unwrap()
}

fn metric(name: &str) -> (Value, Value) {
    let found = templates().into_iter().find_map(|template| {
        let metrics = template["spec"]["metrics"].as_array().unwrap().clone();
        metrics.into_iter().find(|metric| metric["name"] == name).map(|metric| (template, metric))
    });
    found.unwrap_or_else(|| panic!("expected a metric {name}"))
}

/// What Argo Rollouts makes of a result.
fn phase(name: &str, result: &Value) -> String {
    let (template, _) = metric(name);
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("template.json");
    fs::write(&file, template.to_string()).unwrap();
    process::run(Command::new(tools::analysis()).arg(file).args([name, &result.to_string()]))
        .trim()
        .to_owned()
}

/// Has Prometheus compute the query of a metric over these series, each with a sample every 15 seconds, and holds it to what is expected.
fn assert_query(name: &str, series: &[(&str, &str)], expected: &[f64]) {
    let (_, metric) = metric(name);
    let query = metric["provider"]["prometheus"]["query"].as_str().unwrap();
    let query = query.replace("{{args.namespace}}", "shop").replace("{{args.hash}}", "7c9d");
    // To thousandths: promtool compares every last bit.
    let query = format!("round({query}, 0.001)");
    let series: Vec<_> =
        series.iter().map(|(series, values)| json!({ "series": series, "values": values })).collect();
    let samples: Vec<_> = expected.iter().map(|value| json!({ "labels": "{}", "value": value })).collect();
    let test = json!({ "tests": [{
        "interval": "15s",
        "input_series": series,
        "promql_expr_test": [{ "expr": query, "eval_time": "10m", "exp_samples": samples }],
    }] });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.json");
    fs::write(&file, test.to_string()).unwrap();
    let promtool = tools::debian_package("prometheus", "/usr/bin/promtool");
    process::run(Command::new(promtool).args(["test", "rules"]).arg(file));
}

const GOOD: &str =
    "http_requests_total{namespace=\"shop\", rollouts_pod_template_hash=\"7c9d\", code=\"200\"}";
const BAD: &str =
    "http_requests_total{namespace=\"shop\", rollouts_pod_template_hash=\"7c9d\", code=\"503\"}";
const OF_THE_STABLE: &str =
    "http_requests_total{namespace=\"shop\", rollouts_pod_template_hash=\"5d5d\", code=\"503\"}";

#[test]
fn errors_end_a_canary_and_no_data_is_neither_good_nor_bad() {
    if skip::asked("canary", "errors_end_a_canary_and_no_data_is_neither_good_nor_bad") {
        return;
    }
    for (series, expected, said) in [
        (&[(GOOD, "0+98x60"), (BAD, "0+2x60")][..], 0.02, "Successful"),
        (&[(GOOD, "0+97x60"), (BAD, "0+3x60")], 0.03, "Failed"),
        (&[(GOOD, "0+100x60")], 0.0, "Successful"),
        // What the version before does is not the canary's.
        (&[(GOOD, "0+100x60"), (OF_THE_STABLE, "0+100x60")], 0.0, "Successful"),
    ] {
        assert_query("error-rate", series, &[expected]);
        assert_eq!(phase("error-rate", &json!([expected])), said, "{series:?}");
    }
    assert_query("error-rate", &[(OF_THE_STABLE, "0+100x60")], &[]);
    assert_eq!(phase("error-rate", &json!([])), "Inconclusive");
    // Nobody asks: nothing of nothing.
    assert_eq!(phase("error-rate", &json!(["NaN"])), "Inconclusive");
}

#[test]
fn slow_answers_end_a_canary() {
    if skip::asked("canary", "slow_answers_end_a_canary") {
        return;
    }
    let bucket = |bound: &str| {
        format!(
            "http_request_duration_seconds_bucket{{namespace=\"shop\", rollouts_pod_template_hash=\"7c9d\", le=\"{bound}\"}}"
        )
    };
    let bounds = ["0.25", "0.5", "1", "+Inf"].map(bucket);
    let series = |values: [&'static str; 4]| -> Vec<(String, &'static str)> {
        bounds.iter().cloned().zip(values).collect()
    };
    for (values, expected, said) in [
        (["0+98x60", "0+100x60", "0+100x60", "0+100x60"], 0.375, "Successful"),
        (["0+90x60", "0+98x60", "0+100x60", "0+100x60"], 0.75, "Failed"),
    ] {
        let series = series(values);
        let series: Vec<_> = series.iter().map(|(series, values)| (series.as_str(), *values)).collect();
        assert_query("latency-p99", &series, &[expected]);
        assert_eq!(phase("latency-p99", &json!([expected])), said);
    }
    assert_query("latency-p99", &[], &[]);
    assert_eq!(phase("latency-p99", &json!([])), "Inconclusive");
}

#[test]
fn a_model_that_fails_to_load_ends_a_canary_and_one_that_takes_its_time_does_not() {
    if skip::asked("canary", "a_model_that_fails_to_load_ends_a_canary_and_one_that_takes_its_time_does_not")
    {
        return;
    }
    for loading in ["waiting", "resolving", "fetching", "verifying", "publishing", "loading", "ready"] {
        assert_eq!(phase("model-load", &json!(loading)), "Successful", "{loading}");
    }
    assert_eq!(phase("model-load", &json!("failed")), "Failed");
    // After how long: as many failures as are let pass, and one.
    let (_, metric) = metric("model-load");
    let seconds: u64 = metric["interval"].as_str().unwrap().trim_end_matches('s').parse().unwrap();
    let patience = seconds * (metric["failureLimit"].as_u64().unwrap() + 1);
    assert!((30..=120).contains(&patience), "expected a minute or so, got {patience} s");
}
