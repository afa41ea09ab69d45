//! The command line: what is refused before anything is touched, and the forms of what is printed.

use std::process::Command;

use plimsoll_tests::{binaries, process};

use crate::fetcher::{Fetcher, sample_model, tree};

#[test]
fn a_bad_configuration_is_refused_before_anything_is_touched() {
    let named = ["--model-name", "a", "--model-version", "v1"];
    let cases: [(&[&str], &str); 6] = [
        (&["pull"], "fetcher: --registry (MODEL_REGISTRY) is not set"),
        (&["pull", "--registry", "mlflow+ftp://h"], "unsupported scheme"),
        (&["pull", "--uri", "https://me:canary@host/x"], "holds credentials, expected none"),
        (&["pull", "--registry", "catalog+s3://b", "--model-name", "../a"], "is not set"),
        (&["pull", "--uri", "s3://"], "--uri (MODEL_URI) is not usable"),
        (&["s3://bucket/only-one"], "expected pairs of a URI and a destination"),
    ];
    for (arguments, words) in cases {
        let fetcher = Fetcher::new();
        let refused = fetcher.run(arguments).expect(64);
        assert!(refused.stderr.contains(words), "{arguments:?}: {}", refused.stderr);
        assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
        assert!(!fetcher.model().exists(), "{arguments:?}");
    }
    let refused =
        Fetcher::new().run(&[&["pull", "--connections", "0", "--registry", "x"][..], &named].concat());
    assert!(refused.expect(64).stderr.contains("--connections"));
    let refused = Fetcher::new().with("MODEL_DIGEST", "sha256:short").run(&["pull"]).expect(64);
    assert!(refused.stderr.contains("64 hexadecimal digits"), "{}", refused.stderr);
}

#[test]
fn an_error_is_said_once_with_a_hint() {
    let refused = Fetcher::new().run(&["pull"]).expect(64);
    assert_eq!(
        refused.stderr,
        "error: fetcher: --registry (MODEL_REGISTRY) is not set\n\n  hint: name a registry, or give the model's \
         address with --uri (MODEL_URI)\n"
    );
}

#[test]
fn json_logs_are_json_to_the_last_line() {
    let model = sample_model();
    let fetcher = Fetcher::new().with("FETCHER_LOG_FORMAT", "json");
    let good = fetcher.run(&["pull", "--uri", &format!("file://{}", model.path().display())]).expect(0);
    let bad = fetcher.run(&["pull", "--uri", "file:///does/not/exist"]).expect(66);
    for line in good.stderr.lines().chain(bad.stderr.lines()) {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["message"].is_string() && line["level"].is_string(), "{line}");
    }
    let last: serde_json::Value = serde_json::from_str(bad.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(last["exit_code"], 66);
}

#[test]
fn pairs_are_pulled_as_kserve_calls_it() {
    let (one, two, target) = (sample_model(), sample_model(), tempfile::tempdir().unwrap());
    std::fs::remove_file(two.path().join("config.json")).unwrap();
    let uri = |model: &tempfile::TempDir| format!("file://{}", model.path().display());
    let place = |name: &str| target.path().join(name).display().to_string();
    let fetcher = Fetcher::new();
    let arguments = [uri(&one), place("one"), uri(&two), place("two")];
    fetcher.run(&arguments.each_ref().map(String::as_str)).expect(0);
    assert_eq!(tree(&target.path().join("one")), tree(one.path()));
    assert_eq!(tree(&target.path().join("two")), tree(two.path()));
}

#[test]
fn every_flag_has_a_variable_and_a_default_in_the_help() {
    let help = |binary: &std::path::Path, command: &str| {
        process::run(Command::new(binary).args([command, "--help"]).env_clear())
    };
    let pull = help(&binaries::fetcher(), "pull");
    let variables = [
        "MODEL_NAME",
        "MODEL_VERSION",
        "MODEL_REGISTRY",
        "MODEL_URI",
        "MODEL_DIGEST",
        "MODEL_DIR",
        "MODEL_STATE_DIR",
        "FETCHER_CONNECTIONS",
        "FETCHER_INTEGRITY",
        "FETCHER_RETRY_ATTEMPTS",
        "FETCHER_DEADLINE",
        "FETCHER_STALL_TIMEOUT",
        "FETCHER_TERMINATION_LOG",
        "FETCHER_LOG_FORMAT",
        "FETCHER_LOG_LEVEL",
    ];
    for variable in variables {
        assert!(pull.contains(&format!("[env: {variable}=]")), "{variable} is not in the help of pull");
    }
    assert!(pull.contains("[default: /mnt/models]"), "{pull}");
}
