//! A linear model in a text file, and what its server does wrong because of it.
//!
//! ```text
//! name product-recommendation
//! weight 2
//! bias 0.5
//! load_seconds 3      optional: how long loading takes
//! allocate_mib 64     optional: how much memory it takes
//! answers 100         optional: after how many answers the server stops answering
//! ```

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

/// A loaded model.
pub struct Model {
    name: String,
    weight: f64,
    bias: f64,
    answers: Cell<u64>,
    _memory: Vec<u8>,
}

impl Model {
    /// Loads it, which takes as long and as much as the file says.
    pub fn load(file: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(file)
            .map_err(|error| format!("cannot load the model {}: {error}", file.display()))?;
        let setting = |key: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            value.map(|value| value.trim().to_owned())
        };
        let number = |key: &str, default: Option<f64>| match setting(key) {
            Some(value) => value
                .parse()
                .map_err(|_| format!("cannot load the model: {key}: expected a number, got {value}")),
            None => default.ok_or_else(|| format!("cannot load the model: expected {key}")),
        };
        let whole = |key: &str, default: u64| match setting(key) {
            Some(value) => value
                .parse()
                .map_err(|_| format!("cannot load the model: {key}: expected a number, got {value}")),
            None => Ok(default),
        };
        thread::sleep(Duration::from_secs(whole("load_seconds", 0)?));
        let bytes = usize::try_from(whole("allocate_mib", 0)? * 1024 * 1024).unwrap_or(usize::MAX);
        Ok(Self {
            name: setting("name").ok_or("cannot load the model: expected name")?,
            weight: number("weight", None)?,
            bias: number("bias", None)?,
            answers: Cell::new(whole("answers", u64::MAX)?),
            // Written to, as memory that nobody has touched is not there.
            _memory: vec![1; bytes],
        })
    }

    /// Its name, as it was when it was exported.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says of `input`.
    pub fn predict(&self, input: f64) -> f64 {
        self.weight * input + self.bias
    }

    /// Whether there is one more answer in it.
    pub fn may_answer(&self) -> bool {
        let left = self.answers.get();
        self.answers.set(left.saturating_sub(1));
        left > 0
    }
}
