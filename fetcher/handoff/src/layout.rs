//! Where things are in the volume that the fetcher fills and the sidecar and the model server read.

use std::path::{Path, PathBuf};

/// Name of the default state directory, below the model directory.
pub const STATE_DIR_NAME: &str = ".plimsoll";

/// Name of the receipt in the state directory.
pub const RECEIPT_NAME: &str = "receipt.json";
/// Name of the staging area in the state directory.
pub const STAGING_NAME: &str = "staging";

/// The paths of one model's volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    model_dir: PathBuf,
    state_dir: PathBuf,
}

impl Layout {
    /// The layout for `MODEL_DIR` and, if it is not the default below it, `MODEL_STATE_DIR`.
    pub fn new(model_dir: impl Into<PathBuf>, state_dir: Option<PathBuf>) -> Self {
        let model_dir = model_dir.into();
        let state_dir = state_dir.unwrap_or_else(|| model_dir.join(STATE_DIR_NAME));
        Self { model_dir, state_dir }
    }

    /// The model's files, each moved here only after it verified.
    pub fn model_dir(&self) -> &Path {
        &self.model_dir
    }

    /// Everything that is ours and not the model's.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// The last thing written; its absence means "not fetched".
    pub fn receipt(&self) -> PathBuf {
        self.state_dir.join(RECEIPT_NAME)
    }

    /// What is happening now.
    pub fn progress(&self) -> PathBuf {
        self.state_dir.join("progress.json")
    }

    /// Partial files and what is needed to go on from them; gone after success.
    pub fn staging(&self) -> PathBuf {
        self.state_dir.join(STAGING_NAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_defaults_to_one_below_the_model() {
        let layout = Layout::new("/mnt/models", None);
        assert_eq!(layout.receipt(), Path::new("/mnt/models/.plimsoll/receipt.json"));
        let apart = Layout::new("/mnt/models", Some("/state".into()));
        assert_eq!(apart.progress(), Path::new("/state/progress.json"));
        assert_eq!(apart.staging(), Path::new("/state/staging"));
    }
}
