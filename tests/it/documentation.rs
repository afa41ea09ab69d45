//! What the documents say is what the programs do: every test that they name is there, every file that they link
//! to, and every setting of the table.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use plimsoll_tests::{binaries, places, process};

fn read(document: &str) -> String {
    fs::read_to_string(places::workspace().join(document)).unwrap()
}

/// The `[text](target)` links of a document.
fn links(document: &str) -> Vec<(String, String)> {
    let text = read(document);
    let mut links = Vec::new();
    for (index, _) in text.match_indices("](") {
        let label = text[..index].rsplit('[').next().unwrap().to_owned();
        let target = text[index + 2..].split(')').next().unwrap().to_owned();
        links.push((label, target));
    }
    links
}

#[test]
fn every_promise_names_a_test_that_is_there() {
    let mut functions = 0;
    for (label, target) in links("README.md").into_iter().filter(|(_, target)| !target.starts_with('#')) {
        let path = places::workspace().join(&target);
        assert!(path.exists(), "README.md links to {target}, which is not there");
        if let Some(name) = label.strip_prefix('`').and_then(|label| label.strip_suffix('`'))
            && !name.contains(['.', '/'])
            && target.ends_with(".rs")
        {
            let source = fs::read_to_string(&path).unwrap();
            assert!(
                source.contains(&format!("fn {name}()")),
                "README.md names {name}, which is not in {target}"
            );
            functions += 1;
        }
    }
    assert!(functions >= 20, "only {functions} tests are named");
}

#[test]
fn every_link_leads_somewhere() {
    let documents =
        ["ARCHITECTURE.md", "CONTRIBUTING.md", "k8s/README.md", "images/README.md", "tests/bench/README.md"];
    for document in documents {
        let folder = places::workspace().join(document);
        for (_, target) in links(document) {
            if !target.starts_with("http") && !target.starts_with('#') {
                assert!(folder.parent().unwrap().join(&target).exists(), "{document} links to {target}");
            }
        }
    }
}

#[test]
fn the_table_of_settings_is_that_of_the_help() {
    let help = |binary: &std::path::Path, command: &str| {
        process::run(Command::new(binary).args([command, "--help"]).env_clear())
    };
    let helped = help(&binaries::fetcher(), "pull") + &help(&binaries::health_sidecar(), "serve");
    // The help breaks its lines where the terminal ends.
    let helped = helped.split_whitespace().collect::<Vec<_>>().join(" ");
    let variables: BTreeSet<&str> =
        helped.split("[env: ").skip(1).map(|rest| rest.split('=').next().unwrap()).collect();
    let readme = read("README.md");
    let table = readme.split("### Settings").nth(1).unwrap().split("### Exit codes").next().unwrap();
    for variable in &variables {
        assert!(table.contains(&format!("`{variable}`")), "README.md does not say what {variable} is");
    }
    for setting in table.split('`').filter(|word| word.starts_with("FETCHER_") || word.starts_with("HEALTH_"))
    {
        assert!(variables.contains(setting), "README.md says what {setting} is, and no help does");
    }
}

#[test]
fn the_exit_codes_are_those_of_the_contract() {
    use handoff::ExitCode::{
        Config, Denied, Integrity, Internal, Interrupted, LocalIo, NoSpace, NotFound, Success, Unavailable,
    };
    let readme = read("README.md");
    let table = readme.split("### Exit codes").nth(1).unwrap().split("### Endpoints").next().unwrap();
    let documented: Vec<u8> =
        table.lines().filter_map(|line| line.split('|').nth(1)?.trim().parse().ok()).collect();
    let all =
        [Success, Config, Integrity, NotFound, Unavailable, Internal, NoSpace, LocalIo, Interrupted, Denied];
    assert_eq!(documented, all.map(handoff::ExitCode::code));
}
