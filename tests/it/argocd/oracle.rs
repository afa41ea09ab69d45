//! Argo CD itself, asked about the same objects: its Lua machine with our scripts, and its own checks without them.
//!
//! The sandbox beside is an imitation that is at hand within a test and its thousands of objects; here it is held to what it
//! imitates. Parity is not looked up in a document either, but asked of the code that our scripts take the place of.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use plimsoll_tests::{places, skip, tools};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde::Deserialize;
use serde_json::{Value, json};

use super::PATCHES;
use super::cases::{Check, check, checks, from_yaml, read};
use super::mutation;
use super::sandbox::{Health, Libraries, judge};

/// Objects to spoil, of each check.
const SPOILED: usize = 1500;
/// The checks that take the place of one in Argo CD; all objects that are not ours are judged as there.
const REPLACED: [&str; 3] = ["Pod", "apps_Deployment", "argoproj.io_Rollout"];

/// What Argo CD says with our scripts, and without.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// With our scripts.
    pub customized: Option<Health>,
    /// By itself.
    pub builtin: Option<Health>,
}

/// Asks Argo CD about all these objects.
pub fn ask(objects: &[Value]) -> Vec<Answer> {
    let folder = tempfile::tempdir().unwrap();
    let (config_map, input) = (folder.path().join("argocd-cm.yaml"), folder.path().join("objects"));
    let mut data = serde_json::Map::new();
    for (file, _) in PATCHES {
        let path = places::workspace().join("k8s/argocd").join(file);
        let patch: Value = from_yaml(&path, &read(&path));
        data.extend(patch["data"].as_object().unwrap().clone());
    }
    // JSON is YAML.
    std::fs::write(&config_map, json!({ "data": data }).to_string()).unwrap();
    let mut lines = File::create(&input).unwrap();
    for object in objects {
        writeln!(lines, "{object}").unwrap();
    }
    let mut child = Command::new(tools::argocd_health())
        .arg(config_map)
        .stdin(File::open(input).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let answers = BufReader::new(child.stdout.take().unwrap());
    let answers: Vec<_> = answers.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert!(child.wait().unwrap().success());
    assert_eq!(answers.len(), objects.len(), "expected an answer for each object");
    answers
}

/// The object as one of nobody's.
fn of_others(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("labels");
    }
    object
}

#[test]
fn argocd_says_of_every_case_what_it_must() {
    if skip::asked("argocd", "argocd_says_of_every_case_what_it_must") {
        return;
    }
    for Check { key, cases, .. } in checks() {
        let objects: Vec<_> = cases.iter().map(|case| case.object.clone()).collect();
        for (case, answer) in cases.iter().zip(ask(&objects)) {
            assert_eq!(answer.customized.as_ref(), Some(&case.expected), "{}", case.name);
            if REPLACED.contains(&key.as_str()) && case.name.contains("/other-") {
                assert_eq!(answer.customized, answer.builtin, "{}", case.name);
            }
        }
    }
}

/// Objects as they should not be, spoiled in the same way each time; what says which check they are for stays.
fn spoiled(check: &Check) -> Vec<Value> {
    let mut runner = TestRunner::deterministic();
    let mut draw = |index: usize| {
        let object = &check.cases[index % check.cases.len()].object;
        let edits = mutation::edits().new_tree(&mut runner).unwrap().current();
        let mut mutated = mutation::mutate(object, &edits);
        for name in ["apiVersion", "kind"] {
            mutated[name] = object[name].clone();
        }
        // Of what is being deleted, Argo CD says so, and asks no script.
        if let Some(metadata) = mutated["metadata"].as_object_mut() {
            metadata.remove("deletionTimestamp");
        }
        mutated
    };
    (0..SPOILED).map(&mut draw).collect()
}

#[test]
fn the_sandbox_is_as_argocd_has_it() {
    if skip::asked("argocd", "the_sandbox_is_as_argocd_has_it") {
        return;
    }
    for check in checks() {
        let objects = spoiled(&check);
        for (object, answer) in objects.iter().zip(ask(&objects)) {
            let said = judge(&check.script, object, Libraries::Sandbox).unwrap();
            assert_eq!(answer.customized, Some(said), "{} of {object}", check.key);
        }
    }
}

#[test]
fn what_is_not_ours_is_judged_as_by_argocd_alone() {
    if skip::asked("argocd", "what_is_not_ours_is_judged_as_by_argocd_alone") {
        return;
    }
    for key in REPLACED {
        let objects: Vec<_> = spoiled(&check(key)).iter().map(of_others).collect();
        let mut compared = 0;
        for (object, answer) in objects.iter().zip(ask(&objects)) {
            let Some(builtin) = answer.builtin else { panic!("expected a built-in check for {object}") };
            // What no API server would have let in: Argo CD reports an error of its own.
            let is_refused =
                builtin.status.is_empty() || builtin.status == "Unknown" && !builtin.message.is_empty();
            // Rollouts of versions before 1.0, which we do not judge.
            let has_no_phase = key == "argoproj.io_Rollout" && !object["status"]["phase"].is_string();
            if is_refused || has_no_phase {
                continue;
            }
            compared += 1;
            assert_eq!(answer.customized, Some(builtin), "{object}");
        }
        assert!(compared > SPOILED / 4, "expected objects to compare of {key}, got {compared}");
    }
}

#[test]
fn a_model_is_never_healthier_than_argocd_says() {
    if skip::asked("argocd", "a_model_is_never_healthier_than_argocd_says") {
        return;
    }
    for key in REPLACED {
        let objects = spoiled(&check(key));
        for (object, answer) in objects.iter().zip(ask(&objects)) {
            if answer.customized.is_some_and(|health| health.status == "Healthy") {
                let builtin = answer.builtin.map(|health| health.status);
                let is_refused = builtin.as_deref() == Some("Unknown");
                assert!(is_refused || builtin.as_deref() == Some("Healthy"), "{builtin:?} of {object}");
            }
        }
    }
}
