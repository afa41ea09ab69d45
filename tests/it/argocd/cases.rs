//! Finds the health checks below `k8s/argocd/resource_customizations` and their cases, laid out as Argo CD does:
//! `<group>/<Kind>/{health.lua,health_test.yaml,testdata/*.yaml}`, without a group for the core kinds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use plimsoll_tests::places;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::sandbox::Health;

/// A health check and what it must say.
pub struct Check {
    /// `Pod`, or `serving.kserve.io_InferenceService`: what `argocd-cm` calls it.
    pub key: String,
    pub script: String,
    pub cases: Vec<Case>,
}

/// One object and what is said of it.
pub struct Case {
    pub name: String,
    pub object: Value,
    pub expected: Health,
}

#[derive(Deserialize)]
struct CaseFile {
    tests: Vec<CaseEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CaseEntry {
    health_status: Health,
    input_path: String,
}

/// Every check, by key.
pub fn checks() -> Vec<Check> {
    let root = places::workspace().join("k8s/argocd/resource_customizations");
    let mut folders = Vec::new();
    find_folders(&root, &mut folders);
    let mut checks: Vec<_> = folders.iter().map(|folder| read_check(&root, folder)).collect();
    checks.sort_by(|a, b| a.key.cmp(&b.key));
    assert!(!checks.is_empty(), "expected health checks below {}", root.display());
    checks
}

/// The check for one kind.
pub fn check(key: &str) -> Check {
    checks()
        .into_iter()
        .find(|check| check.key == key)
        .unwrap_or_else(|| panic!("expected a check for {key}"))
}

/// A file, as text.
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// A file's text, as YAML.
pub fn from_yaml<T: DeserializeOwned>(path: &Path, text: &str) -> T {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{} is malformed: {error}", path.display()))
}

/// Either file alone marks a folder, so that a check without its cases is noticed.
fn find_folders(folder: &Path, found: &mut Vec<PathBuf>) {
    if folder.join("health_test.yaml").exists() || folder.join("health.lua").exists() {
        found.push(folder.to_owned());
        return;
    }
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find_folders(&path, found);
        }
    }
}

fn read_check(root: &Path, folder: &Path) -> Check {
    let parts: Vec<_> =
        folder.strip_prefix(root).unwrap().iter().map(|part| part.to_str().unwrap()).collect();
    let key = parts.join("_");
    let list = folder.join("health_test.yaml");
    let entries = from_yaml::<CaseFile>(&list, &read(&list)).tests;
    assert!(!entries.is_empty(), "expected cases in {}", list.display());
    let used: BTreeSet<_> = entries.iter().map(|entry| folder.join(&entry.input_path)).collect();
    let there: BTreeSet<_> =
        fs::read_dir(folder.join("testdata")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(used, there, "expected every object of {key} to be a case, and once");
    assert_eq!(used.len(), entries.len(), "expected every object of {key} to be a case, and once");
    let cases = entries.into_iter().map(|entry| read_case(&key, folder, entry)).collect();
    Check { key, script: read(&folder.join("health.lua")), cases }
}

fn read_case(key: &str, folder: &Path, entry: CaseEntry) -> Case {
    let path = folder.join(&entry.input_path);
    let text = read(&path);
    // Argo CD's YAML reader makes something else of a bare timestamp.
    let bare = text.lines().find(|line| line.contains(": 20"));
    assert_eq!(bare, None, "expected quoted timestamps in {}", path.display());
    Case {
        name: format!("{key}/{}", entry.input_path),
        object: from_yaml(&path, &text),
        expected: entry.health_status,
    }
}
