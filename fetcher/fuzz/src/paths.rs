//! Names of files, models and versions.

use std::collections::BTreeSet;

use fetcher::name::{ModelName, VersionName, VersionRef};
use fetcher::plan::paths;
use handoff::SafePath;

use crate::hold;

/// Reads each line as each kind of name, and all lines as the files of one model.
pub fn paths(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut files = Vec::new();
    for line in text.split('\n') {
        match line.parse::<SafePath>() {
            Ok(path) => {
                hold::path(&path);
                hold::again(&path);
                files.push(path);
            }
            Err(error) => hold::error(&error),
        }
        match line.parse::<ModelName>() {
            Ok(name) => {
                hold::path(name.as_path());
                hold::again(&name);
            }
            Err(error) => hold::error(&error),
        }
        match line.parse::<VersionName>() {
            Ok(version) => assert!(!version.as_str().contains('/') && !version.as_str().starts_with('@')),
            Err(error) => hold::error(&error),
        }
        match line.parse::<VersionRef>() {
            Ok(version) => {
                hold::again(&version);
                assert_eq!(version.is_floating(), line.starts_with('@'));
            }
            Err(error) => hold::error(&error),
        }
    }
    match paths::check(files.iter()) {
        Ok(()) => {
            let all: BTreeSet<&str> = files.iter().map(SafePath::as_str).collect();
            assert_eq!(all.len(), files.len());
            assert!(files.iter().all(|path| path.ancestors().all(|folder| !all.contains(folder))));
            assert!(files.iter().all(|path| path.first_component() != ".plimsoll"));
        }
        Err(error) => hold::error(&error),
    }
}
