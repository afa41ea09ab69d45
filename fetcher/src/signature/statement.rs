//! The signed payload: an in-toto statement that lists a model's files with their digests.
//!
//! It is read after its signature was checked, and still held to what it says of itself: one subject, whose digest is
//! that of all digests in a row; every name once, in order, each with the algorithm that it announces; shards that
//! cover a file from its first byte on. What more a statement holds is for later versions, and ignored.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use handoff::SafePath;
use handoff::text::shown;
use serde::Deserialize;
use serde_json::Number;
use sha2::{Digest as _, Sha256};

use super::{Method, SignatureError, SignedDigest, SignedFile, SignedManifest, is_at_or_below};
use crate::limits::Limits;
use crate::verify::content_digest::{Algorithm, ContentDigest, decode_hex};

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "https://model_signing/signature/v1.0";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(rename = "_type")]
    kind: String,
    predicate_type: String,
}

#[derive(Deserialize)]
struct Statement {
    subject: Vec<Subject>,
    predicate: Predicate,
}

#[derive(Deserialize)]
struct Subject {
    digest: RootDigest,
}

#[derive(Deserialize)]
struct RootDigest {
    sha256: String,
}

#[derive(Deserialize)]
struct Predicate {
    serialization: Serialization,
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Serialization {
    method: String,
    hash_type: String,
    allow_symlinks: bool,
    #[serde(default)]
    ignore_paths: Vec<String>,
    shard_size: Option<Number>,
}

#[derive(Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}

/// Reads a payload whose signature is `signer`'s.
pub(crate) fn parse(payload: &[u8], signer: String) -> Result<SignedManifest, SignatureError> {
    let unreadable = |error: serde_json::Error| bad(shown(&error.to_string()));
    // First what decides how the rest is to be read.
    let head: Head = serde_json::from_slice(payload).map_err(unreadable)?;
    expect("type", STATEMENT_TYPE, &head.kind)?;
    expect("predicate type", PREDICATE_TYPE, &head.predicate_type)?;
    let Statement { subject, predicate } = serde_json::from_slice(payload).map_err(unreadable)?;
    let [subject] = subject.as_slice() else {
        return Err(bad(format!("expected one subject, got {}", subject.len())));
    };
    let Predicate { serialization, resources } = predicate;
    let form = Form::of(&serialization)?;
    let files = form.files(&resources, &subject.digest.sha256)?;
    // What leads out of the directory ignores nothing in it.
    let ignored: Vec<SafePath> =
        serialization.ignore_paths.iter().filter_map(|path| path.parse().ok()).collect();
    let is_ignored = |file: &&SignedFile| ignored.iter().any(|ignored| is_at_or_below(&file.path, ignored));
    if let Some(file) = files.iter().find(is_ignored) {
        return Err(bad(format!("{} is signed and ignored at the same time", file.path)));
    }
    Ok(SignedManifest {
        signer,
        files,
        ignored,
        allow_symlinks: serialization.allow_symlinks,
        method: form.method,
        algorithm: form.algorithm,
    })
}

fn bad(reason: impl Into<String>) -> SignatureError {
    SignatureError::Statement { reason: reason.into() }
}

fn expect(what: &str, expected: &str, got: &str) -> Result<(), SignatureError> {
    match expected == got {
        true => Ok(()),
        false => Err(bad(format!("expected the {what} {expected}, got {}", quoted(got)))),
    }
}

/// A text of somebody else's, fit for a message.
fn quoted(text: &str) -> String {
    let text: String = text.chars().take(120).collect();
    format!("`{}`", text.escape_debug())
}

/// How digests are made and named.
struct Form {
    method: Method,
    algorithm: Algorithm,
    /// What every resource must call its algorithm.
    label: String,
}

impl Form {
    fn of(said: &Serialization) -> Result<Self, SignatureError> {
        let algorithm = match said.hash_type.as_str() {
            "sha256" => Algorithm::Sha256,
            "blake2b" => Algorithm::Blake2b,
            "blake3" => Algorithm::Blake3,
            other => {
                return Err(bad(format!(
                    "expected the hash sha256, blake2b or blake3, got {}",
                    quoted(other)
                )));
            }
        };
        match said.method.as_str() {
            "files" => Ok(Self { method: Method::Files, algorithm, label: algorithm.name().to_owned() }),
            // The official tool never makes shards of it, since it is parallel by itself.
            "shards" if algorithm == Algorithm::Blake3 => Err(bad("expected files with blake3, got shards")),
            "shards" => {
                let size = said.shard_size.as_ref().and_then(whole).filter(|size| *size > 0);
                let size =
                    size.ok_or_else(|| bad("expected a shard size that is a whole number above zero"))?;
                let label = format!("{}-sharded-{size}", algorithm.name());
                Ok(Self { method: Method::Shards { size }, algorithm, label })
            }
            other => Err(bad(format!("expected the method files or shards, got {}", quoted(other)))),
        }
    }

    /// The files that resources are of, checked against the digest over all of them.
    fn files(&self, resources: &[Resource], root: &str) -> Result<Vec<SignedFile>, SignatureError> {
        let mut all = Sha256::new();
        let mut files: BTreeMap<SafePath, Vec<SignedDigest>> = BTreeMap::new();
        let (mut by_component, mut by_name) = (true, true);
        let mut before: Option<(Place<'_>, &str)> = None;
        for resource in resources {
            expect("algorithm", &self.label, &resource.algorithm)?;
            let digest = lower_hex(&resource.digest)
                .and_then(|value| ContentDigest::new(self.algorithm, &value))
                .ok_or_else(|| {
                    let (name, hash) = (quoted(&resource.name), self.algorithm.name());
                    bad(format!(
                        "{name}: expected a digest of {hash} in lower case, got {}",
                        quoted(&resource.digest)
                    ))
                })?;
            all.update(digest.as_bytes());
            let place = self.place(&resource.name)?;
            let path: SafePath = place.path.parse().map_err(|error| bad(format!("{error}")))?;
            if let Some((earlier, name)) = before {
                by_component &= earlier.is_before(&place);
                by_name &= name < resource.name.as_str();
            }
            let (repeated, count) = (place.range.is_none(), files.len());
            before = Some((place.clone(), &resource.name));
            let digest = SignedDigest { range: place.range, digest };
            match files.entry(path) {
                Entry::Occupied(entry) if repeated => {
                    return Err(bad(format!("{} is listed twice", entry.key())));
                }
                Entry::Occupied(mut entry) => entry.get_mut().push(digest),
                Entry::Vacant(_) if count >= Limits::DEFAULT.files => {
                    return Err(bad(format!("it lists more than {} files", Limits::DEFAULT.files)));
                }
                Entry::Vacant(entry) => {
                    entry.insert(vec![digest]);
                }
            }
        }
        // The official tool sorts by component, others by the bytes of the name; the digest over all is over
        // something definite either way.
        if !by_component && !by_name {
            return Err(bad("its names are not sorted, or one is listed twice"));
        }
        let got = handoff::Sha256Digest::from_bytes(all.finalize().into()).to_string();
        if got != root {
            return Err(bad(format!("its digests hash to {got}, but it says {}", quoted(root))));
        }
        if files.is_empty() {
            return Err(bad("it lists no file"));
        }
        files.into_iter().map(|(path, digests)| self.file(path, digests)).collect()
    }

    fn place<'a>(&self, name: &'a str) -> Result<Place<'a>, SignatureError> {
        if self.method == Method::Files {
            return Ok(Place { path: name, range: None });
        }
        let mut parts = name.split(':');
        let (path, start, end) = (parts.next(), parts.next(), parts.next());
        match (path, start.and_then(decimal), end.and_then(decimal), parts.next()) {
            (Some(path), Some(start), Some(end), None) => Ok(Place { path, range: Some(start..end) }),
            _ => Err(bad(format!("expected `path:start:end` as the name of a shard, got {}", quoted(name)))),
        }
    }

    /// Shards must be full but for the last, and leave out and repeat nothing.
    fn file(&self, path: SafePath, mut digests: Vec<SignedDigest>) -> Result<SignedFile, SignatureError> {
        let Method::Shards { size } = self.method else { return Ok(SignedFile { path, digests }) };
        digests.sort_by_key(|digest| digest.range.as_ref().map(|range| range.start));
        let mut at = 0_u64;
        let mut full = true;
        for range in digests.iter().filter_map(|digest| digest.range.as_ref()) {
            let length = range.end.saturating_sub(range.start);
            if range.start != at || !full || length == 0 || length > size {
                let Range { start, end } = range;
                return Err(bad(format!("the shards of {path} do not follow each other at {start}:{end}")));
            }
            full = length == size;
            at = range.end;
        }
        Ok(SignedFile { path, digests })
    }
}

/// Where the bytes of a resource are.
#[derive(Clone)]
struct Place<'a> {
    path: &'a str,
    range: Option<Range<u64>>,
}

impl Place<'_> {
    /// Whether this comes first by the components of its path, then by its offset.
    fn is_before(&self, other: &Self) -> bool {
        let start = |place: &Self| place.range.as_ref().map(|range| (range.start, range.end));
        let paths = self.path.split('/').cmp(other.path.split('/'));
        paths.then_with(|| start(self).cmp(&start(other))).is_lt()
    }
}

/// The statement is written by a library that has numbers of one kind only, so 4 comes as 4.0.
fn whole(number: &Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
        format!("{float:.0}").parse().ok()
    })
}

/// A number as the official tool writes it: digits, and no zero before them.
fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok())?
}

/// The tool compares digests as text, so each has one form.
fn lower_hex(text: &str) -> Option<Vec<u8>> {
    text.bytes().all(|byte| !byte.is_ascii_uppercase()).then(|| decode_hex(text))?
}
