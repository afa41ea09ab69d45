//! What is transferred: files of random bytes, published by our own tool, with the checksums that others
//! need.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use plimsoll_tests::process;

use crate::options::Set;
use crate::problem::{Outcome, Problem};
use crate::work_folder::WorkFolder;

/// The bucket, the first part of every path.
pub const BUCKET: &str = "models";
/// The model's name in the catalog.
pub const MODEL: &str = "bench";
/// The model's version.
pub const VERSION: &str = "v1";
/// When every file was last changed, in seconds: 2026-01-01.
pub const MODIFIED: u64 = 1_767_225_600;

const MIB: u64 = 1024 * 1024;
const SMALL_FILE: u64 = 64 * 1024;
const SHARDS: u64 = 4;
const SIDE_FILES: u64 = 8;
const SIDE_FILE: u64 = 4096;

/// One file, by name: no file is in a folder, because some peers cannot keep those.
#[derive(Clone, Debug)]
pub struct DataFile {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

/// A published data set.
#[derive(Debug)]
pub struct DataSet {
    /// Its files, without the descriptor.
    pub files: Vec<DataFile>,
    /// The root of what a server is to serve.
    pub root: PathBuf,
    /// `SHA256SUMS`, which is not served: a user gets it from elsewhere.
    pub sums: PathBuf,
}

impl DataSet {
    /// Makes the files, publishes them with the given fetcher into a catalog, and keeps only the catalog.
    pub fn publish(set: Set, size: Option<u64>, fetcher: &Path, work: &WorkFolder) -> Outcome<Self> {
        let source = work.subfolder("source")?;
        let root = work.subfolder("www")?;
        for (name, size) in layout(set, size) {
            fill(&source.join(name), size)?;
        }
        let mut publish = Command::new(fetcher);
        publish.args(["publish", "--model-name", MODEL, "--model-version", VERSION, "--registry"]);
        publish.arg(format!("catalog+file://{}", root.join(BUCKET).display()));
        process::run(publish.arg(&source).env("FETCHER_LOG_LEVEL", "warn"));
        let sums_text = process::run(Command::new(fetcher).arg("digest").arg(&source));
        let sums = work.path().join("SHA256SUMS");
        fs::write(&sums, &sums_text).map_err(Problem::at("write", &sums))?;
        fs::remove_dir_all(&source).map_err(Problem::at("remove", &source))?;
        let mut data = Self { files: Vec::new(), root, sums };
        for line in sums_text.lines() {
            let (sha256, name) = line.split_once("  ").ok_or_else(|| {
                Problem::new(format!("expected `fetcher digest` to print SHA256SUMS, got `{line}`"))
            })?;
            let path = data.folder().join(name);
            let file = File::options().append(true).open(&path).map_err(Problem::at("open", &path))?;
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(MODIFIED))
                .map_err(Problem::at("set the time of", &path))?;
            let size = file.metadata().map_err(Problem::at("look at", &path))?.len();
            data.files.push(DataFile { name: name.to_owned(), size, sha256: sha256.to_owned() });
        }
        Ok(data)
    }

    /// Where the files are on this machine.
    pub fn folder(&self) -> PathBuf {
        self.root.join(BUCKET).join(MODEL).join(VERSION)
    }

    /// Where the files are in the bucket, with a slash at the end.
    pub fn prefix() -> String {
        format!("{MODEL}/{VERSION}/")
    }

    /// The size of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Compares a folder with the files, byte for byte. Other files in it do not matter.
    pub fn compare_with(&self, folder: &Path) -> Outcome<()> {
        self.files.iter().try_for_each(|file| self.compare_file(file, &folder.join(&file.name)))
    }

    /// Compares a delivered file with one of ours.
    pub fn compare_file(&self, file: &DataFile, delivered: &Path) -> Outcome<()> {
        match same(&self.folder().join(&file.name), delivered).map_err(Problem::at("compare", delivered))? {
            true => Ok(()),
            false => Err(Problem::new(format!("{} is not what was published", delivered.display()))),
        }
    }
}

fn layout(set: Set, size: Option<u64>) -> Vec<(String, u64)> {
    let numbered = |count: u64, size: u64, name: &str| -> Vec<_> {
        (1..=count).map(|number| (format!("{name}-{number:05}-of-{count:05}.safetensors"), size)).collect()
    };
    match set {
        Set::Shards => {
            let mut files = numbered(SHARDS, size.unwrap_or(2048) * MIB / SHARDS, "model");
            files.extend((1..=SIDE_FILES).map(|number| (format!("config-{number}.bin"), SIDE_FILE)));
            files
        }
        Set::Single => numbered(1, size.unwrap_or(2048) * MIB, "model"),
        Set::Small => numbered(size.unwrap_or(125) * MIB / SMALL_FILE, SMALL_FILE, "part"),
    }
}

fn fill(path: &Path, size: u64) -> Outcome<()> {
    let random = Path::new("/dev/urandom");
    let mut random = File::open(random).map_err(Problem::at("open", random))?.take(size);
    let mut file = File::create_new(path).map_err(Problem::at("create", path))?;
    io::copy(&mut io::BufReader::with_capacity(1 << 20, &mut random), &mut file).map_err(|error| {
        Problem::new(format!("cannot write {}: {error}", path.display()))
            .hint("the data is kept in memory up to twice; choose a smaller --size")
    })?;
    Ok(())
}

fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let count = one.read(&mut left)?;
        if count == 0 {
            return Ok(true);
        }
        other.read_exact(&mut right[..count])?;
        if left[..count] != right[..count] {
            return Ok(false);
        }
    }
}
