//! What a comparison found, as it is kept in `target/bench/*.json`.

use std::fs;
use std::path::PathBuf;

use plimsoll_tests::places;
use serde::{Deserialize, Serialize};

use crate::checksum_pass::Tool;
use crate::client::Protocol;
use crate::floor::Floor;
use crate::machine::Machine;
use crate::problem::{Outcome, Problem};
use crate::process_tree::Usage;
use crate::slow_network::LIMIT;
use crate::statistics::{Spread, float, paired_ratio, spread};
use crate::system_calls::Calls;

/// A whole comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// A name for files and markers, such as `shards-slow`.
    pub key: String,
    /// What was transferred and how, in words.
    pub title: String,
    /// Bytes that each run transferred.
    pub bytes: u64,
    /// Rounds.
    pub rounds: u32,
    /// On what.
    pub machine: Machine,
    /// The programs with their versions.
    pub versions: Vec<String>,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// A line per client.
    pub rows: Vec<Row>,
    /// What clients asked of the kernel, if that was wanted.
    pub system_calls: Vec<Calls>,
    /// What cannot be saved, if that was wanted.
    pub floor: Option<Floor>,
}

/// One line: a client, maybe with a checksum pass behind it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The client's name.
    pub name: String,
    /// How it asked.
    pub protocol: Protocol,
    /// Whether it is ours.
    pub ours: bool,
    /// Whether its bytes are verified in the end.
    pub verified: bool,
    /// One per round.
    pub runs: Vec<Usage>,
    /// Peak of connections at the same time, one per round, where that is counted.
    pub connections: Vec<usize>,
    #[serde(skip)]
    checked_with: Option<Tool>,
}

impl Row {
    /// A line without runs.
    pub fn new(
        name: &str,
        protocol: Protocol,
        ours: bool,
        verified: bool,
        checked_with: Option<Tool>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            protocol,
            ours,
            verified,
            runs: Vec::new(),
            connections: Vec::new(),
            checked_with,
        }
    }

    /// The checksum pass that belongs to it.
    pub fn checked_with(&self) -> Option<Tool> {
        self.checked_with
    }

    /// Wall seconds.
    pub fn wall(&self) -> Spread {
        spread(self.runs.iter().map(|run| run.wall))
    }

    /// CPU seconds.
    pub fn cpu(&self) -> Spread {
        spread(self.runs.iter().map(|run| run.cpu))
    }

    /// Bytes of memory.
    pub fn memory(&self) -> f64 {
        spread(self.runs.iter().map(|run| float(run.memory))).median
    }

    /// Connections, and which part of what they allow was used.
    pub fn connections(&self, bytes: u64) -> Option<(f64, f64)> {
        let used = self.runs.iter().zip(&self.connections).map(|(run, connections)| {
            let connections = float(u64::try_from(*connections).unwrap_or(u64::MAX));
            float(bytes) / run.wall / (connections * f64::from(LIMIT))
        });
        let count = self.connections.iter().filter_map(|count| u64::try_from(*count).ok()).map(float);
        (!self.connections.is_empty()).then(|| (spread(count).median, spread(used).median))
    }
}

impl Report {
    /// Ours, in the protocol of a line.
    pub fn ours_for(&self, row: &Row) -> Option<&Row> {
        let mut ours = self.rows.iter().filter(|other| other.ours);
        ours.clone().find(|other| other.protocol == row.protocol).or_else(|| ours.next())
    }

    /// A line's quantity divided by ours, round by round, and the median of that.
    pub fn ratio(&self, row: &Row, quantity: impl Fn(&Usage) -> f64) -> Option<f64> {
        let ours = self.ours_for(row)?;
        let of = |row: &Row| row.runs.iter().map(&quantity).collect::<Vec<_>>();
        Some(paired_ratio(&of(row), &of(ours)))
    }

    /// The lines, the fastest first.
    pub fn sorted(&self) -> Vec<&Row> {
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by(|a, b| a.wall().median.total_cmp(&b.wall().median));
        rows
    }

    /// Writes `target/bench/<key>.json`.
    pub fn save(&self) -> Outcome<PathBuf> {
        let folder = places::target().join("bench");
        fs::create_dir_all(&folder).map_err(Problem::at("create", &folder))?;
        let path = folder.join(format!("{}.json", self.key));
        let text = serde_json::to_string_pretty(self).map_err(|error| Problem::new(error.to_string()))?;
        fs::write(&path, text + "\n").map_err(Problem::at("write", &path))?;
        Ok(path)
    }
}
