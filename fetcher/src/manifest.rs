//! What somebody vouches for beforehand: a registry, a signature, a `SHA256SUMS` beside the weights, the store.
//!
//! Each of them becomes a [`Manifest`], and the plan holds a file to all that name it. How far one is to be trusted
//! is its rung.

use std::ops::Range;

use handoff::{Integrity, ModelDigest, SafePath, Sha256Digest};

use crate::archive::Unpack;
use crate::uri::StoreUri;
use crate::verify::content_digest::ContentDigest;

/// Name of the manifest that may lie beside the weights, as coreutils write it.
pub const SHA256SUMS: &str = "SHA256SUMS";

/// Digests that somebody vouches with.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// How far they are to be trusted.
    pub rung: Integrity,
    /// The digest over the whole model, if that is vouched for as well.
    pub digest: Option<ModelDigest>,
    /// The files.
    pub files: Vec<ManifestFile>,
    /// What it says of files that it does not name.
    pub others: Others,
}

/// What a manifest says of files that it does not name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Others {
    /// There are none: the model is what the manifest names, wherever that is.
    None,
    /// Nothing.
    Unknown,
    /// They have no business in the model, but for these, which are left out of it.
    Refused {
        /// Paths of files.
        ignored: Vec<SafePath>,
    },
}

/// One file that a manifest names.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestFile {
    /// Where it goes.
    pub path: SafePath,
    /// Its size, if the manifest says so.
    pub size: Option<u64>,
    /// What its content must be.
    pub digests: Vec<PartDigest>,
    /// Where its bytes are, if they are not beside the others.
    pub uri: Option<StoreUri>,
    /// How it is unpacked, if it is an archive of the model's files.
    pub unpack: Option<Unpack>,
}

/// The digest of a file or of a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartDigest {
    /// The part; nothing for the whole file.
    pub range: Option<Range<u64>>,
    /// Its digest.
    pub digest: ContentDigest,
}

impl ManifestFile {
    /// A file of which the digest of the whole is known.
    pub fn new(path: SafePath, digest: impl Into<ContentDigest>) -> Self {
        let digests = vec![PartDigest { range: None, digest: digest.into() }];
        Self { path, size: None, digests, uri: None, unpack: None }
    }
}

impl Manifest {
    /// A manifest of some of a model's files.
    pub fn of_some(rung: Integrity, files: Vec<ManifestFile>) -> Self {
        Self { rung, digest: None, files, others: Others::Unknown }
    }
}

/// Reads a `SHA256SUMS` file as coreutils writes it: `<sha256>  <path>` or `<sha256> *<path>` per line. Paths are
/// below the folder that the file is in, which is where `at` is.
///
/// # Errors
/// Names the first line that is not one.
pub fn parse_sha256sums(text: &[u8], at: &SafePath) -> Result<Vec<ManifestFile>, String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let folder = at.ancestors().next();
    let parse = |(index, line): (usize, &str)| {
        let wrong = |reason: String| format!("line {}: {reason}", index + 1);
        let (digest, name) =
            line.split_once(' ').ok_or_else(|| wrong("expected `<sha256>  <path>`".into()))?;
        let sha256: Sha256Digest =
            digest.parse().map_err(|error: handoff::digest::DigestError| wrong(error.to_string()))?;
        let name = name.strip_prefix([' ', '*']).unwrap_or(name);
        let name = name.strip_prefix("./").unwrap_or(name);
        // Checked before it is joined, so that it cannot climb out of its folder.
        let path: SafePath =
            name.parse().map_err(|error: handoff::path::PathError| wrong(error.to_string()))?;
        let path = match folder {
            Some(folder) => format!("{folder}/{path}")
                .parse()
                .map_err(|error: handoff::path::PathError| wrong(error.to_string()))?,
            None => path,
        };
        Ok(ManifestFile::new(path, sha256))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, at: &str) -> Result<Vec<String>, String> {
        let files = parse_sha256sums(text.as_bytes(), &at.parse().unwrap())?;
        Ok(files.into_iter().map(|file| file.path.to_string()).collect())
    }

    #[test]
    fn sums_are_read_as_coreutils_writes_them() {
        let digest = Sha256Digest::of(b"x");
        let text = format!("{digest}  a b\n{digest} *./c/d\n\n");
        assert_eq!(read(&text, SHA256SUMS).unwrap(), ["a b", "c/d"]);
        assert_eq!(read(&text, "weights/part/SHA256SUMS").unwrap(), ["weights/part/a b", "weights/part/c/d"]);
        for bad in
            [format!("{digest}  ../x"), format!("{digest}"), "zz  a".to_owned(), format!("ok\n{digest}  a")]
        {
            for at in [SHA256SUMS, "weights/SHA256SUMS"] {
                assert!(read(&bad, at).unwrap_err().starts_with("line 1: "), "{bad}");
            }
        }
    }
}
