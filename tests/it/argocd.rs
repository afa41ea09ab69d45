//! The health checks for Argo CD: every case word by word, in the sandbox and outside it, and what must hold for any
//! object at all, since a check is asked about every object of its kind in the cluster.

mod cases;
mod mutation;
pub mod oracle;
mod sandbox;

use std::collections::BTreeMap;
use std::{env, fmt, fs};

use plimsoll_tests::{places, skip};
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};
use proptest::sample::select;
use proptest::test_runner::Config;
use serde_json::{Value, json};

use cases::{Check, check, checks, from_yaml, read};
use sandbox::{Libraries, judge};

const MAX_LINES: usize = 200;
/// What a script must not name: libraries that the sandbox lacks, and what behaves differently there.
const FORBIDDEN: [&str; 10] =
    ["string", "math", "os", "io", "debug", "coroutine", "package", "pairs", "next", "load"];
/// Which patch of Argo CD's ConfigMap holds which checks: what changes the health of objects that are not ours, or takes the
/// place of code that Argo CD keeps up to date, is apart.
const PATCHES: [(&str, &[&str]); 3] = [
    ("argocd-cm.yaml", &["Pod", "argoproj.io_Rollout", "serving.kserve.io_InferenceService"]),
    ("argocd-cm-application.yaml", &["argoproj.io_Application"]),
    ("argocd-cm-deployment.yaml", &["apps_Deployment"]),
];
/// Where a patch comes from.
const CONFIG_MAP_HEAD: &str = "\
# Generated from resource_customizations by `PLIMSOLL_BLESS=1 cargo test -p plimsoll-tests argocd_cm`.
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
data:
";

#[test]
fn every_case_says_what_it_must() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for check in checks() {
        for case in &check.cases {
            for libraries in [Libraries::Sandbox, Libraries::Open] {
                let said = judge(&check.script, &case.object, libraries);
                if said.as_ref() != Ok(&case.expected) {
                    wrong.push(format!(
                        "{} ({libraries:?}):\n  expected {:?}\n  got      {said:?}",
                        case.name, case.expected
                    ));
                }
            }
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 0, "expected cases, got none");
    skip::say(&format!("{count} cases of Argo CD health checks, each with and without the sandbox"));
}

#[test]
fn the_scripts_are_short_and_stay_in_the_sandbox() {
    for Check { key, script, .. } in checks() {
        let lines = script.lines().count();
        assert!(lines < MAX_LINES, "{key}: expected less than {MAX_LINES} lines, got {lines}");
        let code: String =
            script.lines().map(|line| line.split("--").next().unwrap().to_owned() + "\n").collect();
        for name in FORBIDDEN {
            assert!(!uses(&code, name), "{key} must not use {name}");
        }
    }
}

/// Whether a name is called or looked into.
fn uses(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let is_inside = code[..at].ends_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
        !is_inside && code[at + name.len()..].trim_start().starts_with(['.', ':', '(', '['])
    })
}

#[test]
fn a_use_is_told_from_a_word() {
    for code in ["x = math.floor(1)", "return pairs (x)", "os[\"time\"]", "string:x()"] {
        assert!(FORBIDDEN.iter().any(|name| uses(code, name)), "{code}");
    }
    for code in ["ipairs(x)", "typed(\"string\", x)", "loading(x)", "my_os.x"] {
        assert!(!FORBIDDEN.iter().any(|name| uses(code, name)), "{code}");
    }
}

#[test]
fn argocd_cm_holds_the_scripts_as_they_are() {
    let mut scripts: BTreeMap<_, _> = checks().into_iter().map(|check| (check.key, check.script)).collect();
    for (file, keys) in PATCHES {
        let path = places::workspace().join("k8s/argocd").join(file);
        let data: BTreeMap<_, _> = keys
            .iter()
            .map(|&key| (format!("resource.customizations.health.{key}"), scripts.remove(key).unwrap()))
            .collect();
        let expected = data.iter().fold(CONFIG_MAP_HEAD.to_owned(), |text, (key, script)| {
            let indented: String = script
                .lines()
                .map(|line| if line.is_empty() { "\n".into() } else { format!("    {line}\n") })
                .collect();
            format!("{text}  {key}: |\n{indented}")
        });
        if env::var_os("PLIMSOLL_BLESS").is_some() {
            fs::write(&path, &expected).unwrap();
        }
        let text = read(&path);
        assert!(
            text == expected,
            "expected {} to hold the health checks as they are; run PLIMSOLL_BLESS=1 cargo test -p plimsoll-tests argocd_cm",
            path.display()
        );
        let config_map: Value = from_yaml(&path, &text);
        assert_eq!(config_map["data"], json!(data), "expected YAML to read as it was written");
    }
    assert_eq!(scripts.keys().collect::<Vec<_>>(), Vec::<&String>::new(), "expected each check in a patch");
}

/// A script, too long to be printed with a counterexample.
#[derive(Clone)]
struct Script(String);

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("health.lua")
    }
}

/// The objects of all cases, spoiled, each with its script.
fn spoiled(checks: Vec<Check>) -> impl Strategy<Value = (Script, Value)> {
    let cases: Vec<_> = checks
        .into_iter()
        .flat_map(|Check { script, cases, .. }| {
            cases.into_iter().map(move |case| (Script(script.clone()), case.object))
        })
        .collect();
    (select(cases), mutation::edits())
        .prop_map(|((script, object), edits)| (script, mutation::mutate(&object, &edits)))
}

/// The same Pod if it were not ours.
fn without_labels(pod: &Value) -> Value {
    let mut pod = pod.clone();
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("labels");
    }
    pod
}

proptest! {
    #![proptest_config(Config { cases: 2000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn no_object_makes_a_script_fail((script, object) in spoiled(checks())) {
        let sandboxed = judge(&script.0, &object, Libraries::Sandbox);
        let health = sandboxed.clone().unwrap_or_else(|error| panic!("{error} on {object}"));
        prop_assert!(!health.message.contains("health.lua failed"), "{} on {object}", health.message);
        prop_assert_eq!(sandboxed, judge(&script.0, &object, Libraries::Open));
    }

    /// The check may know more than Argo CD's own, but it must not open a gate that Argo CD would keep shut, and a
    /// sync hook ends when Argo CD says so.
    #[test]
    fn a_model_pod_is_never_healthier_than_argocd_says((script, object) in spoiled(vec![check("Pod")])) {
        let of_model = judge(&script.0, &object, Libraries::Sandbox).unwrap();
        let of_any = judge(&script.0, &without_labels(&object), Libraries::Sandbox).unwrap();
        if of_model.status == "Healthy" {
            prop_assert_eq!(&of_any.status, "Healthy", "on {}", object);
        }
        if object["spec"]["restartPolicy"] != "Always" {
            prop_assert_eq!(&of_model.status, &of_any.status, "on {}", object);
        }
        if let Some(name) = object["metadata"]["labels"]["plimsoll.dev/model-name"].as_str() {
            prop_assert!(of_model.message.starts_with(name), "{} on {object}", of_model.message);
        } else {
            prop_assert_eq!(of_model, of_any);
        }
    }
}
