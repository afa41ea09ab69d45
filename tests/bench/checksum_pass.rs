//! The pass over the files that a user has to add to a transfer that verifies nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use plimsoll_tests::tools;

use crate::data_set::DataSet;
use crate::problem::{Outcome, Problem};
use crate::process_tree::{Usage, measure};

/// Processes that share the files: `openssl` uses one processor.
const PROCESSES: usize = 2;

/// With what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `openssl dgst` in two processes: as fast as the hardware.
    Openssl,
    /// `sha256sum --check`: what documentation tells people to run.
    Sha256sum,
}

impl Tool {
    /// How it is called in the tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Openssl => "openssl ×2",
            Self::Sha256sum => "sha256sum -c",
        }
    }
}

/// Checks the files in a folder; digests that differ are an error.
pub fn run(tool: Tool, data: &DataSet, folder: &Path, log: &Path) -> Outcome<Usage> {
    match tool {
        Tool::Openssl => openssl(data, folder, log),
        Tool::Sha256sum => {
            let mut check = Command::new("/usr/bin/sha256sum");
            check.args(["--check", "--strict", "--quiet"]).arg(&data.sums).current_dir(folder);
            measure(vec![check], log)
        }
    }
}

fn openssl(data: &DataSet, folder: &Path, log: &Path) -> Outcome<Usage> {
    let program = tools::debian_package("openssl", "/usr/bin/openssl");
    let mut shares: Vec<(u64, Vec<&str>)> = vec![(0, Vec::new()); PROCESSES];
    let mut files: Vec<_> = data.files.iter().collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.size));
    for file in files {
        if let Some((bytes, names)) = shares.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            *bytes += file.size;
            names.push(&file.name);
        }
    }
    let commands = shares.iter().filter(|(_, names)| !names.is_empty()).map(|(_, names)| {
        let mut command = Command::new(&program);
        command.args(["dgst", "-sha256", "-r"]).args(names).current_dir(folder);
        command
    });
    let usage = measure(commands.collect(), log)?;
    let printed = fs::read_to_string(log).map_err(Problem::at("read", log))?;
    let digests: BTreeMap<&str, &str> = printed
        .lines()
        .filter_map(|line| line.split_once(" *"))
        .map(|(digest, name)| (name, digest))
        .collect();
    for file in &data.files {
        if digests.get(file.name.as_str()) != Some(&file.sha256.as_str()) {
            return Err(Problem::new(format!("openssl does not find the digest of {}", file.name)));
        }
    }
    Ok(usage)
}
