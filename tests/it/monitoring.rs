//! What `k8s/monitoring` gives to whoever is on call: alerts that fire when they should and not otherwise, each with its page, and a
//! dashboard that Grafana takes. All of it may only speak of metrics that the sidecar has.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use plimsoll_tests::{places, process, skip, tools};
use serde_json::Value;

fn folder() -> PathBuf {
    places::workspace().join("k8s/monitoring")
}

fn text(file: &str) -> String {
    fs::read_to_string(folder().join(file)).unwrap()
}

fn alerts() -> Vec<Value> {
    let rule: Value = serde_saphyr::from_str(&text("rules.yaml")).unwrap();
    rule["spec"]["groups"][0]["rules"].as_array().unwrap().clone()
}

fn dashboard() -> Value {
    serde_json::from_str(&text("dashboard.json")).unwrap()
}

fn promtool() -> PathBuf {
    tools::debian_package("prometheus", "/usr/bin/promtool")
}

#[test]
fn every_alert_fires_when_it_should_and_not_otherwise() {
    if skip::asked("metrics", "every_alert_fires_when_it_should_and_not_otherwise") {
        return;
    }
    let rule: Value = serde_saphyr::from_str(&text("rules.yaml")).unwrap();
    let place = tempfile::tempdir().unwrap();
    // JSON is YAML.
    fs::write(place.path().join("groups.yaml"), rule["spec"].to_string()).unwrap();
    fs::write(place.path().join("rules_test.yaml"), text("rules_test.yaml")).unwrap();
    let run = |arguments: &[&str]| {
        process::run(Command::new(promtool()).args(arguments).current_dir(place.path()));
    };
    run(&["check", "rules", "groups.yaml"]);
    run(&["test", "rules", "rules_test.yaml"]);
}

#[test]
fn every_alert_has_cases_of_both_kinds_and_a_page() {
    let cases: Value = serde_saphyr::from_str(&text("rules_test.yaml")).unwrap();
    let expectations: Vec<_> = cases["tests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|case| case["alert_rule_test"].as_array().unwrap())
        .collect();
    let mut pages = BTreeSet::new();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let of_it = |fires: bool| {
            expectations.iter().any(|case| {
                case["alertname"] == name && case["exp_alerts"].as_array().unwrap().is_empty() != fires
            })
        };
        assert!(of_it(true) && of_it(false), "expected a case in which {name} fires, and one in which not");
        let url = alert["annotations"]["runbook_url"].as_str().unwrap();
        let page = url.split("/blob/main/").nth(1).unwrap();
        let page = places::workspace().join(page);
        let words = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(words.starts_with(&format!("# {name}\n")), "{}", page.display());
        pages.insert(page);
        assert!(["warning", "critical"].contains(&alert["labels"]["severity"].as_str().unwrap()), "{name}");
    }
    let there = fs::read_dir(folder().join("runbooks")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(there.collect::<BTreeSet<_>>(), pages, "expected a page for each alert and no other");
}

#[test]
fn grafana_takes_the_dashboard() {
    if skip::asked("metrics", "grafana_takes_the_dashboard") {
        return;
    }
    let program = tools::grafana();
    process::run(Command::new(&program).arg(folder().join("dashboard.json")));
    // What this is worth: it refuses what is wrong.
    let place = tempfile::tempdir().unwrap();
    let wrong = place.path().join("dashboard.json");
    for (right, replaced) in [("\"fillOpacity\": 10", "\"fillOpacty\": 10"), ("\"expr\"", "\"exp\"")] {
        fs::write(&wrong, text("dashboard.json").replace(right, replaced)).unwrap();
        let output = Command::new(&program).arg(&wrong).output().unwrap();
        assert!(!output.status.success(), "expected {replaced} to be refused");
    }
}

/// Every expression for Prometheus in alerts and panels.
fn expressions() -> Vec<String> {
    let panels = dashboard()["panels"].as_array().unwrap().clone();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let in_panels = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    let in_alerts = alerts();
    let in_alerts = in_alerts.iter().map(|alert| alert["expr"].as_str().unwrap().to_owned());
    in_alerts.chain(in_panels).collect()
}

/// The names in an expression that are ours.
fn names(expression: &str) -> Vec<&str> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    expression.split(|letter| !is_word(letter)).filter(|word| word.starts_with("plimsoll_")).collect()
}

#[test]
fn dashboard_and_alerts_speak_of_metrics_and_reasons_that_there_are() {
    let page = fs::read_to_string(places::workspace().join("health-sidecar/tests/data/ready.prom")).unwrap();
    let mut used = BTreeSet::new();
    for expression in expressions() {
        for name in names(&expression) {
            let is_there = page.lines().any(|line| line.starts_with(&format!("{name}{{")))
                || page.lines().any(|line| line.starts_with(&format!("{name} ")));
            assert!(is_there, "expected {name} among the metrics of the sidecar, in {expression}");
            used.insert(name.to_owned());
        }
        for (label, known) in [("phase", "plimsoll_phase"), ("code", "plimsoll_reason")] {
            let Some((_, rest)) = expression.split_once(&format!("{{{label}=")) else { continue };
            let values = rest.trim_start_matches('~').split('"').nth(1).unwrap();
            for value in values.split('|') {
                let sample = format!("{known}{{{label}=\"{value}\"}}");
                assert!(page.contains(&sample), "expected {sample} among the metrics of the sidecar");
            }
        }
    }
    assert!(used.len() > 10, "expected many metrics to be used, got {used:?}");
}

#[test]
fn prometheus_reads_every_expression_of_the_dashboard() {
    if skip::asked("metrics", "prometheus_reads_every_expression_of_the_dashboard") {
        return;
    }
    let rules: Vec<_> = expressions()
        .into_iter()
        .enumerate()
        .map(|(index, expression)| {
            // What Grafana fills in.
            let expression = expression.replace("$namespace", ".*").replace("$model", ".*");
            serde_json::json!({ "record": format!("expression:{index}"), "expr": expression })
        })
        .collect();
    let groups = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("groups.yaml"), groups.to_string()).unwrap();
    process::run(
        Command::new(promtool())
            .args(["check", "rules", "--lint=none", "groups.yaml"])
            .current_dir(place.path()),
    );
}
