//! What a deployment trusts: public keys, certificate authorities, or both.
//!
//! They come as PEM, from files that the Pod mounts. A file that holds nothing usable is refused at the start: a
//! deployment that means to trust somebody must not find out later that it trusted nobody.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

use super::certificate::Authorities;
use super::key::PublicKey;

/// The most keys or certificates in one file.
const MAX_ENTRIES: usize = 1000;

/// Whose signatures count.
#[derive(Clone, Debug)]
pub struct Trust {
    keys: Vec<PublicKey>,
    authorities: Option<Authorities>,
}

/// Why trust cannot be put into something.
#[derive(Debug, thiserror::Error)]
#[error("{what} is not usable: {reason}")]
pub struct TrustError {
    what: &'static str,
    reason: String,
}

impl Trust {
    /// Trust in the keys and the certificate authorities of two PEM texts; one of them may be left out.
    ///
    /// # Errors
    /// When one holds nothing to trust, or something that cannot be.
    pub fn new(keys: Option<&[u8]>, authorities: Option<&[u8]>) -> Result<Self, TrustError> {
        let bad_keys = |reason| TrustError { what: "the trusted public key", reason };
        let bad_authorities = |reason| TrustError { what: "the trusted certificate authority", reason };
        if keys.is_none() && authorities.is_none() {
            return Err(bad_keys("expected a key or a certificate authority, got neither".to_owned()));
        }
        Ok(Self {
            keys: keys.map(read_keys).transpose().map_err(bad_keys)?.unwrap_or_default(),
            authorities: authorities.map(read_authorities).transpose().map_err(bad_authorities)?,
        })
    }

    pub(super) fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    pub(super) fn authorities(&self) -> Option<&Authorities> {
        self.authorities.as_ref()
    }
}

fn read_keys(pem: &[u8]) -> Result<Vec<PublicKey>, String> {
    let entries = entries::<SubjectPublicKeyInfoDer<'_>>(pem, "`BEGIN PUBLIC KEY`")?;
    entries.iter().map(|der| PublicKey::from_der(der.as_ref())).collect()
}

fn read_authorities(pem: &[u8]) -> Result<Authorities, String> {
    Authorities::new(entries::<CertificateDer<'_>>(pem, "`BEGIN CERTIFICATE`")?)
}

/// The entries of one kind, at least one.
fn entries<T: PemObject>(pem: &[u8], kind: &str) -> Result<Vec<T>, String> {
    if pem.windows(11).any(|window| window == b"PRIVATE KEY") {
        return Err("it holds a private key, which belongs to nobody but the signer".to_owned());
    }
    let read = T::pem_slice_iter(pem).take(MAX_ENTRIES + 1).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|error| format!("it is not PEM: {error}"))?;
    match read.len() {
        0 => Err(format!("expected {kind} in PEM, found none")),
        1..=MAX_ENTRIES => Ok(read),
        _ => Err(format!("expected at most {MAX_ENTRIES} entries, got more")),
    }
}
