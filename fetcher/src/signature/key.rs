//! A public key of one of the three curves that the official tool signs with, each with the hash of its size.
//!
//! `ring` checks P-256 and P-384, as it does for TLS. It has no P-521, so that one is `p521`'s.

use std::fmt;

use p521::ecdsa::signature::Verifier as _;
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest as _, Sha256};
use webpki::ring::{ECDSA_P256_SHA256, ECDSA_P384_SHA384};
use x509_cert::der::asn1::{Any, ObjectIdentifier};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
/// The first byte of a point that is written with both its coordinates.
const UNCOMPRESSED: u8 = 4;

/// A key that signatures can be checked with.
#[derive(Clone, Debug)]
pub(super) struct PublicKey {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    point: Vec<u8>,
    hint: String,
}

impl PublicKey {
    /// Reads a DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn from_der(der: &[u8]) -> Result<Self, String> {
        let not_a_key = |error| format!("it is no public key: {error}");
        let info = SubjectPublicKeyInfoOwned::from_der(der).map_err(not_a_key)?;
        let kinds = "expected an elliptic key on P-256, P-384 or P-521";
        if info.algorithm.oid != EC_PUBLIC_KEY {
            return Err(format!("{kinds}, got a key of the kind {}", info.algorithm.oid));
        }
        let curve = info.algorithm.parameters.as_ref().map(Any::decode_as);
        let (algorithm, length): (&'static dyn SignatureVerificationAlgorithm, usize) = match curve {
            Some(Ok(P256)) => (ECDSA_P256_SHA256, 32),
            Some(Ok(P384)) => (ECDSA_P384_SHA384, 48),
            Some(Ok(P521)) => (&P521_SHA512, 66),
            Some(Ok(other)) => return Err(format!("{kinds}, got one on the curve {other}")),
            Some(Err(_)) | None => return Err(format!("{kinds}, got one on a curve without a name")),
        };
        let point = info.subject_public_key.as_bytes().unwrap_or_default();
        if point.len() != 2 * length + 1 || point.first() != Some(&UNCOMPRESSED) {
            return Err(
                "expected a point with both its coordinates; convert it with `openssl ec -conv_form \
                        uncompressed`"
                    .to_owned(),
            );
        }
        let canonical = info.to_der().map_err(not_a_key)?;
        Ok(Self { algorithm, point: point.to_owned(), hint: hint(&canonical) })
    }

    /// The name of this key in signatures.
    pub(super) fn hint(&self) -> &str {
        &self.hint
    }

    /// Whether this key made `signature`, a DER pair of numbers, over `message`.
    pub(super) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.algorithm.verify_signature(&self.point, message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key sha256:{}", self.hint)
    }
}

/// The SHA-256 of a key in PEM, as OpenSSL writes it: 64 characters per line.
fn hint(der: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update("-----BEGIN PUBLIC KEY-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        hasher.update(line);
        hasher.update("\n");
    }
    hasher.update("-----END PUBLIC KEY-----\n");
    handoff::Sha256Digest::from_bytes(hasher.finalize().into()).to_string()
}

/// ECDSA on P-521 with SHA-512, for keys and for certificates.
#[derive(Debug)]
pub(super) struct P521Sha512;

/// The one there is.
pub(super) static P521_SHA512: P521Sha512 = P521Sha512;

impl SignatureVerificationAlgorithm for P521Sha512 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = p521::ecdsa::Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA512
    }
}
