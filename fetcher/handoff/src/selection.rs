//! Which files of a model were asked for.

use serde::{Deserialize, Serialize};

/// Patterns of the files that are wanted. Two that are equal ask for the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// A file must match one of these, if there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// And none of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

impl Selection {
    /// In whatever order, and however often, the patterns are given.
    pub fn new(mut include: Vec<String>, mut exclude: Vec<String>) -> Self {
        for patterns in [&mut include, &mut exclude] {
            patterns.sort_unstable();
            patterns.dedup();
        }
        Self { include, exclude }
    }

    /// Whether the whole model is wanted.
    pub fn is_everything(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }
}
