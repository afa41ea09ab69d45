//! SHA-256 digests of files, and the one digest that names a whole model.
//!
//! The model digest is the SHA-256 of the text that `sha256sum` prints for the files, sorted by path bytes:
//! anyone can recompute it with coreutils, without us.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::path::SafePath;

/// The SHA-256 of one file. Reads and prints as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// Wraps the 32 bytes that a hasher gave.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest of bytes already in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

/// Why a text is not a digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected {expected}, got `{}`", got.escape_debug())]
pub struct DigestError {
    expected: &'static str,
    got: String,
}

impl FromStr for Sha256Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        decode_hex(text)
            .map(Self)
            .ok_or_else(|| DigestError { expected: "64 hexadecimal digits", got: clip(text) })
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = DigestError;
    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> String {
        digest.to_string()
    }
}

/// The digest of a whole model. Reads and prints as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelDigest([u8; 32]);

impl ModelDigest {
    /// Computes the digest over `(path, sha256)` pairs; their order does not matter.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a SafePath, Sha256Digest)>) -> Self {
        Self(Sha256::digest(sha256sums(files)).into())
    }
}

/// The text of a `SHA256SUMS` file: one `<sha256>  <path>` line per file, sorted by path bytes.
///
/// Paths are written as they are. GNU `sha256sum` escapes a backslash or newline in a name; [`SafePath`]
/// admits neither, so the two agree on every path that can get here.
pub fn sha256sums<'a>(files: impl IntoIterator<Item = (&'a SafePath, Sha256Digest)>) -> String {
    let mut files: Vec<_> = files.into_iter().collect();
    files.sort_by_key(|(path, _)| *path);
    files.iter().fold(String::new(), |mut text, (path, digest)| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{digest}  {path}");
        text
    })
}

impl fmt::Display for ModelDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", Sha256Digest(self.0))
    }
}

impl fmt::Debug for ModelDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ModelDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.strip_prefix("sha256:")
            .and_then(decode_hex)
            .map(Self)
            .ok_or_else(|| DigestError { expected: "`sha256:` and 64 hexadecimal digits", got: clip(text) })
    }
}

impl TryFrom<String> for ModelDigest {
    type Error = DigestError;
    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<ModelDigest> for String {
    fn from(digest: ModelDigest) -> String {
        digest.to_string()
    }
}

fn decode_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0_u8; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// A hostile text must not fill an error message.
fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_cases_and_prints_lower() {
        let upper = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
        assert_eq!(upper.parse::<Sha256Digest>().unwrap(), Sha256Digest::of(b""));
        assert_eq!(Sha256Digest::of(b"").to_string(), upper.to_lowercase());
    }

    #[test]
    fn refuses_what_is_not_a_digest() {
        for text in ["", "ab", &"g".repeat(64), &"é".repeat(32), &"0".repeat(65)] {
            assert!(text.parse::<Sha256Digest>().is_err(), "{text}");
            assert!(format!("sha256:{text}").parse::<ModelDigest>().is_err(), "{text}");
        }
        let bare = "0".repeat(64).parse::<ModelDigest>().unwrap_err().to_string();
        assert!(bare.starts_with("expected `sha256:` and 64 hexadecimal digits, got `0000"), "{bare}");
    }

    #[test]
    fn the_model_digest_ignores_the_order_files_come_in() {
        let a: SafePath = "a".parse().unwrap();
        let b: SafePath = "B".parse().unwrap();
        let (x, y) = (Sha256Digest::of(b"x"), Sha256Digest::of(b"y"));
        assert_eq!(ModelDigest::of([(&a, x), (&b, y)]), ModelDigest::of([(&b, y), (&a, x)]));
        assert_eq!(sha256sums([(&a, x), (&b, y)]), format!("{y}  B\n{x}  a\n"));
    }
}
