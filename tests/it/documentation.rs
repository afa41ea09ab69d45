//! What the documents say is what the programs do: every test that they name is there, every file that they link
//! to, and every setting of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use plimsoll_tests::{binaries, faults, places, process};

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

/// Whether a link leads to a file, and not to another site or a place in the same document.
fn is_of_this_tree(target: &str) -> bool {
    !target.starts_with("http") && !target.starts_with('#')
}

/// Fails unless every link of a document leads somewhere, and each that names a test leads to that. Gives how many do.
fn check_named_tests(document: &str) -> usize {
    let mut functions = 0;
    let folder = places::workspace().join(document);
    for (label, target) in links(document).into_iter().filter(|(_, target)| is_of_this_tree(target)) {
        let path = folder.parent().unwrap().join(target.split('#').next().unwrap());
        assert!(path.exists(), "{document} links to {target}, which is not there");
        if let Some(name) = label.strip_prefix('`').and_then(|label| label.strip_suffix('`'))
            && !name.contains(['.', '/'])
            && target.ends_with(".rs")
        {
            let source = fs::read_to_string(&path).unwrap();
            assert!(
                source.contains(&format!("fn {name}()")),
                "{document} names {name}, which is not in {target}"
            );
            functions += 1;
        }
    }
    functions
}

#[test]
fn every_promise_names_a_test_that_is_there() {
    for (document, least) in [("README.md", 20), ("SECURITY.md", 15), ("fetcher/SOURCES.md", 30)] {
        let functions = check_named_tests(document);
        assert!(functions >= least, "only {functions} tests are named in {document}");
    }
}

#[test]
fn the_document_of_faults_is_the_table_that_is_tested() {
    const DOCUMENT: &str = "fetcher/FAULTS.md";
    const TESTS: &str = "fault_table.rs";
    check_named_tests(DOCUMENT);
    let text = read(DOCUMENT);
    let sections: BTreeMap<&str, &str> =
        text.split("\n## ").skip(1).map(|section| section.split_once('\n').unwrap()).collect();
    let rows = faults::rows();
    for (group, row) in &rows {
        let section = sections.get(group).copied().unwrap_or_default();
        assert!(section.lines().any(|line| line == row), "expected this row below `## {group}`:\n{row}");
    }
    // Rows of tests from elsewhere are written by hand; those of the table must be of the table as it is.
    let of_table = text.lines().filter(|line| line.starts_with('|') && line.contains(TESTS));
    let stale: Vec<_> = of_table.filter(|line| !rows.iter().any(|(_, row)| row == line)).collect();
    assert!(stale.is_empty(), "these rows say what no case says:\n{}", stale.join("\n"));
}

#[test]
fn every_link_leads_somewhere() {
    let documents = [
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "k8s/README.md",
        "images/README.md",
        "fetcher/KSERVE.md",
        "fetcher/MESSAGES.md",
        "tests/bench/README.md",
    ];
    for document in documents {
        let folder = places::workspace().join(document);
        for (_, target) in links(document) {
            if is_of_this_tree(&target) {
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
        helped.split("[env: ").skip(1).map(|rest| rest.split(['=', ']']).next().unwrap()).collect();
    let readme = read("README.md");
    let table = readme.split("### Settings").nth(1).unwrap().split("### Exit codes").next().unwrap();
    for variable in &variables {
        assert!(table.contains(&format!("`{variable}`")), "README.md does not say what {variable} is");
    }
    for setting in table.split('`').filter(|word| word.starts_with("FETCHER_") || word.starts_with("HEALTH_"))
    {
        // With or without a value.
        let variable = setting.split('=').next().unwrap();
        assert!(variables.contains(variable), "README.md says what {variable} is, and no help does");
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
