//! Fuzz targets for everything that reads what comes from outside.
//!
//! A target takes any bytes and asserts more than that nothing panics: what is accepted keeps the promises of its type,
//! and what is said of the rest is fit for a terminal. The bodies are here, by what they read; `fuzz_targets/` has
//! nothing but a thin program for each, so that their seeds run on any toolchain as a test.

pub mod addresses;
pub mod answers;
pub mod archives;
pub mod documents;
pub mod hold;
pub mod paths;
pub mod quantities;
pub mod signatures;
pub mod volume;

/// A target's body.
pub type Target = fn(&[u8]);

/// Every target by its name, which is that of its program and of its folder of seeds.
pub const TARGETS: &[(&str, Target)] = &[
    ("answer_head", answers::answer_head),
    ("archive", archives::archive),
    ("azure_files", answers::azure_files),
    ("certificates", signatures::certificates),
    ("checksums", answers::checksums),
    ("descriptor", documents::descriptor),
    ("gcs_page", answers::gcs_page),
    ("git", answers::git),
    ("hdfs", answers::hdfs),
    ("journal", volume::journal),
    ("memory_limit", volume::memory_limit),
    ("mlflow_artifacts", answers::mlflow_artifacts),
    ("mlflow_registry", answers::mlflow_registry),
    ("oci_manifest", answers::oci_manifest),
    ("paths", paths::paths),
    ("progress", volume::progress),
    ("quantities", quantities::quantities),
    ("receipt", volume::receipt),
    ("reference", addresses::reference),
    ("s3_page", answers::s3_page),
    ("secrets", addresses::secrets),
    ("sha256sums", documents::sha256sums),
    ("signature", signatures::signature),
    ("statement", signatures::statement),
    ("trust", signatures::trust),
    ("uri", addresses::uri),
];

/// The first line of an input and what follows: for targets that take more than one thing.
fn first_line(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    (&data[..end], data.get(end + 1..).unwrap_or_default())
}

/// An input of lines, each `name: value`, with what follows an empty line.
fn head_and_body(text: &str) -> (Vec<(String, String)>, &str) {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    (head.split('\n').filter_map(pair).collect(), body)
}

#[cfg(test)]
mod replay;
