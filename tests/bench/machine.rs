//! What the measurements were made on.

use std::fs;
use std::process::Command;

use plimsoll_tests::process;
use serde::{Deserialize, Serialize};

/// A machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// Whether it has instructions for SHA-256.
    pub sha: bool,
    /// Memory in GiB.
    pub memory: u64,
    /// Kernel.
    pub kernel: String,
    /// Distribution.
    pub distribution: String,
}

impl Machine {
    /// This machine.
    pub fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (processor, memory, release) =
            (read("/proc/cpuinfo"), read("/proc/meminfo"), read("/etc/os-release"));
        let field = |text: &str, name: &str, separator: char| {
            let mut lines = text.lines().filter_map(|line| line.split_once(separator));
            lines
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().trim_matches('"').to_owned())
        };
        let flags = field(&processor, "flags", ':').or_else(|| field(&processor, "Features", ':'));
        let flags = flags.unwrap_or_default();
        let memory = field(&memory, "MemTotal", ':').unwrap_or_default();
        let memory = memory.split(' ').next().and_then(|value| value.parse::<u64>().ok()).unwrap_or_default();
        Self {
            processor: field(&processor, "model name", ':')
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            sha: flags.split(' ').any(|flag| flag == "sha_ni" || flag == "sha2"),
            memory: (memory + 512 * 1024) / (1024 * 1024),
            kernel: process::run(Command::new("uname").args(["-sr"])).trim().to_owned(),
            distribution: field(&release, "PRETTY_NAME", '=').unwrap_or_default(),
        }
    }

    /// In one sentence.
    pub fn describe(&self) -> String {
        let sha = if self.sha { "with" } else { "without" };
        format!(
            "{}, {} processors {sha} SHA instructions, {} GiB, {}, {}",
            self.processor, self.processors, self.memory, self.distribution, self.kernel
        )
    }
}
