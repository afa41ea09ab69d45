//! The cryptography that `sigstore-verify` asks for, from what checks TLS as well: `ring`, and `sha2` for hashes.
//!
//! ML-DSA is refused, since `ring` has none, and so are signatures over a digest, which envelopes are not.

use rustls::pki_types::SignatureVerificationAlgorithm;
use sha2::{Digest, Sha256, Sha384, Sha512};
use sigstore_verify::crypto::{CryptoProvider, Error, HashContext, SigningScheme, install_default_provider};
use sigstore_verify::types::HashAlgorithm;
use webpki::ring;

#[derive(Debug)]
struct Ring;

/// Has it used by the whole process.
pub(super) fn install() {
    // It fails when it was done before, by the same function.
    let _ = install_default_provider(&Ring);
}

struct Hasher<D>(D);

impl<D: Digest + Send> HashContext for Hasher<D> {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        self.0.finalize().to_vec()
    }
}

impl CryptoProvider for Ring {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>, Error> {
        match algorithm {
            HashAlgorithm::Sha2256 => Ok(Box::new(Hasher(Sha256::new()))),
            HashAlgorithm::Sha2384 => Ok(Box::new(Hasher(Sha384::new()))),
            HashAlgorithm::Sha2512 => Ok(Box::new(Hasher(Sha512::new()))),
            other => Err(Error::UnsupportedAlgorithm(format!("the hash {other}"))),
        }
    }

    fn verify_raw(
        &self,
        scheme: SigningScheme,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        let algorithm: &dyn SignatureVerificationAlgorithm = match scheme {
            SigningScheme::EcdsaP256Sha256 => ring::ECDSA_P256_SHA256,
            SigningScheme::EcdsaP256Sha384 => ring::ECDSA_P256_SHA384,
            SigningScheme::EcdsaP384Sha256 => ring::ECDSA_P384_SHA256,
            SigningScheme::EcdsaP384Sha384 => ring::ECDSA_P384_SHA384,
            SigningScheme::Ed25519 => ring::ED25519,
            SigningScheme::RsaPssSha256 => ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
            SigningScheme::RsaPssSha384 => ring::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
            SigningScheme::RsaPssSha512 => ring::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
            SigningScheme::RsaPkcs1Sha256 => ring::RSA_PKCS1_2048_8192_SHA256,
            SigningScheme::RsaPkcs1Sha384 => ring::RSA_PKCS1_2048_8192_SHA384,
            SigningScheme::RsaPkcs1Sha512 => ring::RSA_PKCS1_2048_8192_SHA512,
            other => return Err(Error::UnsupportedAlgorithm(other.name().to_owned())),
        };
        let outcome = algorithm.verify_signature(public_key, message, signature);
        outcome.map_err(|_| Error::Verification(format!("{} signature invalid", scheme.name())))
    }

    fn verify_prehashed(
        &self,
        scheme: SigningScheme,
        _public_key: &[u8],
        _digest: &[u8],
        _signature: &[u8],
    ) -> Result<(), Error> {
        Err(Error::UnsupportedAlgorithm(format!("{} over a digest", scheme.name())))
    }
}
