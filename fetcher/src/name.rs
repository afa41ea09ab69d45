//! What a model is asked for by: a name, and a version or an alias.
//!
//! Both end up in URLs, in search filters and in the paths of a catalog, so both are checked once, here.

use std::fmt;
use std::str::FromStr;

use handoff::SafePath;

/// The name of a model: a path of one or more ordinary components, such as `fraud` or `team/fraud`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelName(SafePath);

/// The name of a version or of an alias: one path component that does not begin with `@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionName(SafePath);

/// Which version is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionRef {
    /// The version of this name, e.g. `v2.3`.
    Named(VersionName),
    /// Whichever version the alias points at now, e.g. `@champion`.
    Alias(VersionName),
    /// Whichever version is the newest now: of all by the word `latest`, in MLflow of a stage by its name.
    Newest(VersionName),
}

/// Why a name was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected {expected}, got `{}`", got.escape_debug())]
pub struct NameError {
    expected: &'static str,
    got: String,
}

impl ModelName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The name as a path, as a catalog has it.
    pub fn as_path(&self) -> &SafePath {
        &self.0
    }
}

impl FromStr for ModelName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const EXPECTED: &str =
            "a model name without `:`, `@`, control characters or empty or dotted components";
        text.parse::<SafePath>()
            .ok()
            .filter(|_| !text.contains([':', '@']))
            .map(Self)
            .ok_or_else(|| NameError { expected: EXPECTED, got: text.chars().take(120).collect() })
    }
}

impl VersionName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for VersionName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        const EXPECTED: &str = "a version or alias without `/`, `@` at the start or control characters";
        text.parse::<SafePath>()
            .ok()
            .filter(|path| !text.starts_with('@') && path.file_name() == text)
            .map(Self)
            .ok_or_else(|| NameError { expected: EXPECTED, got: text.chars().take(120).collect() })
    }
}

impl FromStr for VersionRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix('@') {
            Some(alias) => alias.parse().map(Self::Alias),
            None => text.parse().map(Self::Named),
        }
    }
}

impl VersionRef {
    /// Whether the same reference may mean another version tomorrow.
    pub fn is_floating(&self) -> bool {
        !matches!(self, Self::Named(_))
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for VersionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(version) | Self::Newest(version) => version.fmt(f),
            Self::Alias(alias) => write!(f, "@{alias}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_aliases_are_told_apart() {
        assert_eq!("v2.3".parse(), Ok(VersionRef::Named("v2.3".parse().unwrap())));
        assert_eq!("@champion".parse(), Ok(VersionRef::Alias("champion".parse().unwrap())));
        assert_eq!("@champion".parse::<VersionRef>().unwrap().to_string(), "@champion");
    }

    #[test]
    fn names_that_would_break_a_path_or_a_url_are_refused() {
        for bad in ["", "..", "a/../b", "/a", "a//b", "models:/a", "a@b", "a\n"] {
            assert!(bad.parse::<ModelName>().is_err(), "{bad:?}");
        }
        for bad in ["", "@", "@@a", "a/b", "..", "a\0"] {
            assert!(bad.parse::<VersionRef>().is_err(), "{bad:?}");
        }
        assert_eq!("team/fraud detection".parse::<ModelName>().unwrap().as_str(), "team/fraud detection");
    }
}
