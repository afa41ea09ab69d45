//! Who vouches for a model: OpenSSF Model Signing, checked offline against what the deployment trusts.
//!
//! A signature is one file, by habit `model.sig`: a Sigstore bundle that holds a signed list of all files with their
//! digests. [`verify`] goes through it from the outside in: the `bundle` names a key or brings certificates, which
//! lead to something that is in [`Trust`]; that `key` signed the payload; the payload is a `statement` that does
//! not contradict itself. What comes out is the list of digests that content must have, and nothing of the bundle
//! is believed before its signature is checked. Nothing here reads a file but [`directory`], which compares a local
//! directory with the list.
//!
//! The yardstick is the official tool (`model-signing` on PyPI). What it refuses is refused here. Stricter than it are
//! names and digests that are written in more than one way, resources twice or in no order, shards with gaps, and
//! certificates that may sign, but not code.

use std::fmt;
use std::ops::Range;

use handoff::SafePath;
use handoff::layout::STATE_DIR_NAME;

use crate::limits::Limits;
use crate::verify::content_digest::{Algorithm, ContentDigest};

pub(crate) mod bundle;
mod certificate;
pub mod directory;
mod key;
pub(crate) mod statement;
#[cfg(test)]
mod tests;
mod trust;

use bundle::{Bundle, Envelope, Material};
pub use certificate::CertificateError;
use key::PublicKey;
pub use trust::{Trust, TrustError};

/// Name of the signature's file beside the model's.
pub const SIGNATURE_NAME: &str = "model.sig";
/// What no signature covers at the top of a directory, unless it lists it.
const NEVER_SIGNED: [&str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];

/// Why a signature does not vouch for a model.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// It is larger than any that is read.
    #[error("the signature is larger than {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
    /// It is not a bundle, or not one of this kind.
    #[error("the signature is not a bundle of OpenSSF Model Signing: {reason}")]
    Bundle {
        /// What is wrong.
        reason: String,
    },
    /// It was made with Sigstore's short-lived certificates.
    #[error("the signature is a keyless one of Sigstore, expected one by a key or by a certificate chain")]
    Keyless,
    /// It was made in a way for which nothing is trusted.
    #[error("the model is signed by {by}, but only {trusted} are trusted")]
    OtherMethod {
        /// How it was signed.
        by: &'static str,
        /// What is trusted.
        trusted: &'static str,
    },
    /// It names a key that is not trusted.
    #[error("the model is signed by another key: expected {expected}, got `{}`", got.escape_debug())]
    OtherKey {
        /// The trusted keys.
        expected: String,
        /// The key that the signature names.
        got: String,
    },
    /// The certificate does not lead to a trusted authority, or is not for signing.
    #[error("the signing certificate is not acceptable")]
    Certificate(#[from] CertificateError),
    /// The signature is not over this payload, or not by this key.
    #[error("the signature does not match what it signs, or was made by another key than {signer}")]
    Mismatch {
        /// Who was expected to have signed.
        signer: String,
    },
    /// What was signed is not a list of files, or contradicts itself.
    #[error("the signed statement is not usable: {reason}")]
    Statement {
        /// What is wrong.
        reason: String,
    },
}

impl SignatureError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Keyless => Some("sign with `model_signing sign key` or `model_signing sign certificate`"),
            Self::OtherMethod { .. } => {
                Some("FETCHER_TRUST_KEY names public keys, FETCHER_TRUST_CERT certificate authorities")
            }
            Self::OtherKey { .. } => Some("FETCHER_TRUST_KEY must be the public half of the signer's key"),
            _ => None,
        }
    }
}

/// How the content of files is divided into digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// One digest per file.
    Files,
    /// One digest per so many bytes of a file; an empty file has none, so it is not listed.
    Shards {
        /// Bytes per digest; the last of a file may be over fewer.
        size: u64,
    },
}

/// A digest of a file, or of a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedDigest {
    /// The bytes that it is over; the whole file, if there is no range.
    pub range: Option<Range<u64>>,
    /// The digest.
    pub digest: ContentDigest,
}

/// A file that a signature vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedFile {
    /// Where it is.
    pub path: SafePath,
    /// One digest of the whole, or those of its shards, from the first byte on without a gap.
    pub digests: Vec<SignedDigest>,
}

impl SignedFile {
    /// Its size, where shards tell it.
    pub fn size(&self) -> Option<u64> {
        self.digests.last().and_then(|last| last.range.as_ref()).map(|range| range.end)
    }
}

/// What a trusted signer says of a model. Only [`verify`] makes one.
#[derive(Clone, Debug)]
pub struct SignedManifest {
    signer: String,
    files: Vec<SignedFile>,
    ignored: Vec<SafePath>,
    allow_symlinks: bool,
    method: Method,
    algorithm: Algorithm,
}

impl SignedManifest {
    /// Who signed, for people and the receipt.
    pub fn signer(&self) -> &str {
        &self.signer
    }

    /// Every file, sorted by path.
    pub fn files(&self) -> &[SignedFile] {
        &self.files
    }

    /// The file of that name.
    pub fn file(&self, path: &SafePath) -> Option<&SignedFile> {
        self.files.binary_search_by(|file| file.path.cmp(path)).ok().and_then(|index| self.files.get(index))
    }

    /// Files and folders that the signer left out on purpose.
    pub fn ignored(&self) -> &[SafePath] {
        &self.ignored
    }

    /// Whether the signer followed links.
    pub fn allow_symlinks(&self) -> bool {
        self.allow_symlinks
    }

    /// How content is divided into digests.
    pub fn method(&self) -> Method {
        self.method
    }

    /// How all digests are computed.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether a file that is not listed is left out on purpose: by the signer, by every signer, or because it is ours.
    pub fn leaves_out(&self, path: &SafePath) -> bool {
        let first = path.first_component();
        first == STATE_DIR_NAME || NEVER_SIGNED.contains(&first) || self.is_ignored(path)
    }

    fn is_ignored(&self, path: &SafePath) -> bool {
        self.ignored.iter().any(|ignored| is_at_or_below(path, ignored))
    }
}

/// Whether `path` is `top` or below it.
fn is_at_or_below(path: &SafePath, top: &SafePath) -> bool {
    path.as_str().strip_prefix(top.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Checks that a signature was made by somebody who is trusted, and gives what it vouches for.
///
/// # Errors
/// See [`SignatureError`].
pub fn verify(bundle: &[u8], trust: &Trust) -> Result<SignedManifest, SignatureError> {
    let limit = Limits::DEFAULT.document_bytes;
    if bundle.len() > limit {
        return Err(SignatureError::TooLarge { limit });
    }
    let Bundle { material, envelope } = bundle::parse(bundle)?;
    let (signer, key) = match material {
        Material::Key { hint } => {
            let key = match trust.keys() {
                [] => return Err(other_method("a key", "certificate authorities")),
                keys => choose(keys, hint.as_deref(), &envelope)?,
            };
            (key.to_string(), key.clone())
        }
        Material::Chain(certificates) => match trust.authorities() {
            None => return Err(other_method("a certificate", "keys")),
            Some(authorities) => authorities.verify(&certificates)?,
        },
    };
    if !envelope.is_signed_by(&key) {
        return Err(SignatureError::Mismatch { signer });
    }
    statement::parse(&envelope.payload, signer)
}

fn other_method(by: &'static str, trusted: &'static str) -> SignatureError {
    SignatureError::OtherMethod { by, trusted }
}

/// The key that a signature names. One that names none, as old signers wrote it, may be by any of them.
fn choose<'a>(
    keys: &'a [PublicKey],
    hint: Option<&str>,
    envelope: &Envelope,
) -> Result<&'a PublicKey, SignatureError> {
    let found = match hint {
        Some(hint) => keys.iter().find(|key| key.hint() == hint),
        None => keys.iter().find(|key| envelope.is_signed_by(key)).or(keys.first()),
    };
    found.ok_or_else(|| SignatureError::OtherKey {
        expected: keys.iter().map(PublicKey::hint).collect::<Vec<_>>().join(" or "),
        got: hint.unwrap_or_default().chars().take(80).collect(),
    })
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files => f.write_str("files"),
            Self::Shards { size } => write!(f, "shards of {size} bytes"),
        }
    }
}
