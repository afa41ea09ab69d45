//! The one type through which every file name from outside passes.
//!
//! A name comes from a bucket listing, a descriptor, a registry or a receipt, and ends in a `rename`. A name
//! that this type admits cannot leave the directory it is joined to, and means the same to every file system
//! and terminal it meets.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::is_harmful;

#[cfg(test)]
mod property;

/// Longest path, in bytes. Leaves room for a destination below Linux's `PATH_MAX` of 4096.
pub const MAX_PATH_BYTES: usize = 1024;
/// Longest component, in bytes: `NAME_MAX` on every file system a volume is likely to have.
pub const MAX_COMPONENT_BYTES: usize = 255;
/// Deepest nesting.
pub const MAX_COMPONENTS: usize = 32;

/// A relative, `/`-separated path without `.`, `..`, empty components, backslashes or control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SafePath(String);

/// Why a path was refused. The path is printed escaped and cut, so that it can be shown on a terminal.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unsafe path `{}`: {reason}", path.escape_debug())]
pub struct PathError {
    path: String,
    reason: &'static str,
}

impl SafePath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path below `directory`.
    pub fn below(&self, directory: &Path) -> PathBuf {
        directory.join(&self.0)
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The first component.
    pub fn first_component(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// The folders above this path, nearest first; none for a path of one component.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.rmatch_indices('/').filter_map(|(index, _)| self.0.get(..index))
    }
}

impl FromStr for SafePath {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        match refuse(path) {
            None => Ok(Self(path.to_owned())),
            Some(reason) => Err(PathError { path: path.chars().take(120).collect(), reason }),
        }
    }
}

fn refuse(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.len() > MAX_PATH_BYTES {
        return Some("it is longer than 1024 bytes");
    }
    if path.starts_with('/') {
        return Some("it is absolute");
    }
    if path.chars().any(char::is_control) {
        return Some("it holds a control character");
    }
    if path.chars().any(is_harmful) {
        return Some("it holds a character that changes how text is shown");
    }
    if path.contains('\\') {
        return Some("it holds a backslash");
    }
    if path.split('/').count() > MAX_COMPONENTS {
        return Some("it is nested deeper than 32 levels");
    }
    path.split('/').find_map(|component| match component {
        "" => Some("it has an empty component"),
        "." | ".." => Some("it has a `.` or `..` component"),
        long if long.len() > MAX_COMPONENT_BYTES => Some("it has a component longer than 255 bytes"),
        device if is_device(device) => Some("it has a component that names a device on some file systems"),
        _ => None,
    })
}

/// What Windows takes for a device, whatever follows a dot. A volume may be a share of such a server.
/// <https://learn.microsoft.com/windows/win32/fileio/naming-a-file>
fn is_device(component: &str) -> bool {
    let stem = component.split('.').next().unwrap_or(component).trim_end_matches(' ');
    let mut letters = stem.chars();
    let numbered = letters.next_back().is_some_and(|last| matches!(last, '0'..='9' | '¹' | '²' | '³'));
    ["con", "prn", "aux", "nul"].iter().any(|name| stem.eq_ignore_ascii_case(name))
        || numbered && ["com", "lpt"].iter().any(|name| letters.as_str().eq_ignore_ascii_case(name))
}

impl TryFrom<String> for SafePath {
    type Error = PathError;
    fn try_from(path: String) -> Result<Self, PathError> {
        path.parse()
    }
}

impl From<SafePath> for String {
    fn from(path: SafePath) -> String {
        path.0
    }
}

impl fmt::Display for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_ordinary_names() {
        for path in [
            "a",
            "a/b.bin",
            "with space/ü 模型.safetensors",
            ".hidden",
            "..a",
            "a/...",
            "-rf",
            "auxiliary",
            "com",
            "com10",
            "console.log",
            "lpt.bin",
            "nul_",
        ] {
            assert_eq!(path.parse::<SafePath>().unwrap().as_str(), path);
        }
    }

    #[test]
    fn refuses_what_could_leave_the_directory_or_confuse() {
        let long = "x".repeat(256);
        let deep = "d/".repeat(40) + "f";
        let longer = "abc/".repeat(300) + "f";
        for path in
            ["", "/", "/etc/passwd", "..", "a/../b", "a//b", "a/", "./a", "a\\b", "a\0b", "a\nb", "\u{1b}[2J"]
                .into_iter()
                .chain([
                    "NUL",
                    "a/con.txt",
                    "Aux .bin",
                    "com1",
                    "LPT9.x/y",
                    "com¹.bin",
                    "a\u{202e}gpj.exe",
                    "a\u{2028}b",
                ])
                .chain([long.as_str(), deep.as_str(), longer.as_str()])
        {
            assert!(path.parse::<SafePath>().is_err(), "{path:?} was admitted");
        }
    }

    #[test]
    fn an_error_prints_the_name_harmlessly() {
        let error = "a\u{1b}[31m".parse::<SafePath>().unwrap_err().to_string();
        assert_eq!(error, r"unsafe path `a\u{1b}[31m`: it holds a control character");
    }

    #[test]
    fn ancestors_come_nearest_first() {
        let path: SafePath = "a/b/c".parse().unwrap();
        assert_eq!(path.ancestors().collect::<Vec<_>>(), ["a/b", "a"]);
    }
}
