//! A model that is far larger than the memory that its init container may use.
//!
//! The model is one file of random bytes that the descriptor lists again and again under different names, so
//! that the server needs no more memory than that; the client cannot know, and fetches and checks each. It
//! goes to a disk, because files in memory would count.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use handoff::{ModelDigest, SafePath, Sha256Digest};

use crate::client::Protocol;
use crate::clients::ours;
use crate::comparison::empty;
use crate::data_set::{BUCKET, DataSet, MODEL, VERSION};
use crate::memory_group::MemoryGroup;
use crate::options::{Options, Set};
use crate::problem::{Outcome, Problem};
use crate::process_tree::measure;
use crate::stage::Stage;
use crate::statistics::mebibytes;
use crate::work_folder::WorkFolder;

const MIB: u64 = 1024 * 1024;
/// Size of the file.
const PIECE: u64 = 512;
/// What is transferred under the limit, in MiB, unless `--size` says otherwise.
const LIMITED: u64 = 8 * 1024;
/// The limit.
const LIMIT: u64 = 128 * MIB;
/// Sizes that are transferred without a limit, in MiB.
const FREE: [u64; 2] = [2 * 1024, 16 * 1024];

/// Runs the scenario.
pub fn run(options: &Options, fetcher: &Path) -> Outcome<()> {
    let mut options = options.clone();
    options.dest.get_or_insert_with(|| PathBuf::from("/var/tmp"));
    options.set = Set::Single;
    let limited = options.size.unwrap_or(LIMITED);
    let work = WorkFolder::in_memory()?;
    println!("making the data …");
    let data = DataSet::publish(options.set, Some(PIECE), fetcher, &work)?;
    let stage = Stage::around(&options, work, data, false)?;
    let group = MemoryGroup::with_limit(LIMIT)?;
    describe(&stage, limited)?;
    empty(&stage.destination)?;
    let pull = ours::pull(fetcher, &stage.job, Protocol::Http, &stage.destination);
    let outcome = measure(vec![group.enclose(&pull)], &stage.log);
    let peak =
        group.peak().map_or_else(|| "unknown".to_owned(), |bytes| format!("{:.0} MiB", mebibytes(bytes)));
    println!("limit {:.0} MiB, model {limited} MiB:", mebibytes(LIMIT));
    println!("  peak of the group with page cache {peak}; killed for want of memory: {}", group.kills());
    let usage = outcome?;
    check(&stage, limited)?;
    println!(
        "  complete and right in {:.1} s; the process's own memory {:.1} MiB",
        usage.wall,
        mebibytes(usage.memory)
    );
    for size in FREE.into_iter().filter(|_| options.size.is_none()) {
        describe(&stage, size)?;
        empty(&stage.destination)?;
        let pull = ours::pull(fetcher, &stage.job, Protocol::Http, &stage.destination);
        let usage = measure(vec![pull], &stage.log)?;
        println!(
            "no limit, model {size} MiB: memory {:.1} MiB, {:.1} s",
            mebibytes(usage.memory),
            usage.wall
        );
    }
    empty(&stage.destination)
}

/// Writes a descriptor that lists the file so often that the model has `size` MiB.
fn describe(stage: &Stage, size: u64) -> Outcome<()> {
    let Some(file) = stage.data.files.first() else { return Err(Problem::new("expected a file")) };
    let url = stage.job.urls().remove(0);
    let wrong = |error: &dyn std::fmt::Display| Problem::new(format!("cannot describe the model: {error}"));
    let digest: Sha256Digest = file.sha256.parse().map_err(|error| wrong(&error))?;
    let mut listed = String::new();
    let mut paths = Vec::new();
    for number in 1..=size / PIECE {
        let path: SafePath = format!("part-{number:05}").parse().map_err(|error| wrong(&error))?;
        let _ =
            writeln!(listed, "  - {{path: {path}, size: {}, sha256: {digest}, uri: \"{url}\"}}", file.size);
        paths.push(path);
    }
    let model = ModelDigest::of(paths.iter().map(|path| (path, digest)));
    let text = format!(
        "apiVersion: plimsoll.dev/v1\nkind: Model\nname: {MODEL}\nversion: {VERSION}\n\
         createdAt: 2026-01-01T00:00:00Z\ndigest: {model}\nfiles:\n{listed}"
    );
    // Put in place at once: the server keeps files open that it knows.
    let path = stage.data.folder().join("model.yaml");
    let new = stage.data.root.join(BUCKET).join("model.yaml.new");
    fs::write(&new, text).map_err(Problem::at("write", &new))?;
    fs::rename(&new, &path).map_err(Problem::at("replace", &path))
}

fn check(stage: &Stage, size: u64) -> Outcome<()> {
    let Some(file) = stage.data.files.first() else { return Ok(()) };
    for number in 1..=size / PIECE {
        let delivered = stage.destination.join(format!("part-{number:05}"));
        stage.data.compare_file(file, &delivered)?;
    }
    Ok(())
}
