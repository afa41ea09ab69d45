//! The command line.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::data_set::DataSet;

/// Compares `fetcher` with what an engineer would use in its place: the same bytes from the same server to
/// the same place, in turn, every result compared with the original.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench")]
pub struct Options {
    /// What to measure.
    #[arg(long, value_enum, default_value_t = Scenario::Compare)]
    pub scenario: Scenario,
    /// What is transferred.
    #[arg(long, value_enum, default_value_t = Set::Shards)]
    pub set: Set,
    /// Size of the whole set in MiB [default: 2048; of `small` 125].
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=65536))]
    pub size: Option<u64>,
    /// Rounds; in each, every client runs once.
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Clients to compare with, separated by commas; `none` for none.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "PEERS",
        default_value = "kserve,s5cmd,rclone,curl,aria2,aws,mlflow"
    )]
    pub peers: Vec<Peer>,
    /// How the server is reached.
    #[arg(long, value_enum, default_value_t = Network::Loopback)]
    pub network: Network,
    /// Encrypt all transfers, with an authority of the benchmark's own.
    #[arg(long)]
    pub tls: bool,
    /// Folder to transfer into; a subfolder is made and removed [default: one in memory].
    #[arg(long, value_name = "DIR")]
    pub dest: Option<PathBuf>,
    /// Program to measure instead of the static release build of this workspace.
    #[arg(long, value_name = "PATH")]
    pub fetcher: Option<PathBuf>,
    /// Leave out the separate checksum passes after the transfers of peers.
    #[arg(long)]
    pub no_checksums: bool,
    /// One more run under strace of ours, curl and s5cmd: system calls and copies per byte.
    #[arg(long)]
    pub syscalls: bool,
    /// One more measurement of what cannot be saved: curl's CPU time, and SHA-256's.
    #[arg(long)]
    pub floor: bool,
    /// Write the table and the plot into tests/bench.
    #[arg(long)]
    pub write_docs: bool,
    /// Worker processes of the server [default: one per four processors;
    /// with TLS, one per processor].
    #[arg(long, value_name = "N")]
    pub server_workers: Option<u16>,
}

impl Options {
    /// Which peers run.
    pub fn peers(&self) -> BTreeSet<Peer> {
        self.peers.iter().copied().filter(|peer| *peer != Peer::None).collect()
    }
}

impl Options {
    /// A name for what is compared, for files.
    pub fn key(&self) -> String {
        let mut key = self.set.name().to_owned();
        for (asked, part) in
            [(self.network == Network::Slow, "-slow"), (self.tls, "-tls"), (self.dest.is_some(), "-disk")]
        {
            if asked {
                key.push_str(part);
            }
        }
        key
    }

    /// What is compared, in words.
    pub fn title(&self, data: &DataSet) -> String {
        let bytes = data.bytes() / (1024 * 1024);
        let (count, tls) = (data.files.len(), if self.tls { " with TLS" } else { "" });
        let network = match self.network {
            Network::Loopback => "loopback",
            Network::Slow => "20 ms of latency and 40 MB/s per connection",
        };
        let place = if self.dest.is_some() { "a disk" } else { "memory" };
        format!("{bytes} MiB in {count} files over {network}{tls} into {place}")
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Ours beside its peers.
    Compare,
    /// How much is sent again after an interruption.
    Resume,
    /// Whether a model far larger than the memory limit arrives, and what memory is used.
    Memory,
    /// How long it takes from the start of the process to the first byte asked for.
    Start,
    /// Memory and processor time of the health sidecar, and its answers beside nginx's.
    Sidecar,
}

/// What is transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Set {
    /// Four large files and eight small ones.
    Shards,
    /// One large file.
    Single,
    /// Files of 64 KiB.
    Small,
}

impl Set {
    /// Its name on the command line and in file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shards => "shards",
            Self::Single => "single",
            Self::Small => "small",
        }
    }
}

/// How the server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// Over the loopback device, as fast as that is.
    Loopback,
    /// With the latency and the limit per connection of an object store.
    Slow,
}

/// A client to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Peer {
    /// KServe's storage initializer.
    Kserve,
    /// s5cmd.
    S5cmd,
    /// rclone.
    Rclone,
    /// curl.
    Curl,
    /// aria2.
    Aria2,
    /// The AWS command line.
    Aws,
    /// MLflow's own client.
    Mlflow,
    /// No peer at all.
    None,
}
