//! What a deployment trusts: public keys, certificate authorities, somebody who is known to a Sigstore, or several of these.
//!
//! They come from files that the Pod mounts, keys and certificates as PEM. A file that holds nothing usable is refused at the start: a
//! deployment that means to trust somebody must not find out later that it trusted nobody.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

use super::certificate::Authorities;
use super::key::PublicKey;
use super::keyless::Identity;

/// The most keys or certificates in one file.
const MAX_ENTRIES: usize = 1000;

/// Whose signatures count.
#[derive(Clone, Debug)]
pub struct Trust {
    keys: Vec<PublicKey>,
    authorities: Option<Authorities>,
    identity: Option<Identity>,
}

/// Somebody who signs without a key, and the Sigstore that vouches for him.
#[derive(Clone, Copy, Debug)]
pub struct Sigstore<'a> {
    /// Its `trusted_root.json`: its authorities and logs.
    pub root: &'a [u8],
    /// An address of mail or the URI of a workload, as it stands in the certificate.
    pub identity: &'a str,
    /// Who said so to Sigstore: the address of a provider of identities.
    pub issuer: &'a str,
}

/// Why trust cannot be put into something.
#[derive(Debug, thiserror::Error)]
#[error("{what} is not usable: {reason}")]
pub struct TrustError {
    what: &'static str,
    reason: String,
}

impl Trust {
    /// Trust in the keys and the certificate authorities of two PEM texts and in an identity; any of them will do, and
    /// what is not given is not trusted.
    ///
    /// # Errors
    /// When one holds nothing to trust, or something that cannot be.
    pub fn new(
        keys: Option<&[u8]>,
        authorities: Option<&[u8]>,
        sigstore: Option<Sigstore<'_>>,
    ) -> Result<Self, TrustError> {
        let bad_keys = |reason| TrustError { what: "the trusted public key", reason };
        let bad_authorities = |reason| TrustError { what: "the trusted certificate authority", reason };
        let bad_root = |reason| TrustError { what: "the trusted root of Sigstore", reason };
        if keys.is_none() && authorities.is_none() && sigstore.is_none() {
            return Err(bad_keys(
                "expected a key, a certificate authority or an identity, got none".to_owned(),
            ));
        }
        Ok(Self {
            keys: keys.map(read_keys).transpose().map_err(bad_keys)?.unwrap_or_default(),
            authorities: authorities.map(read_authorities).transpose().map_err(bad_authorities)?,
            identity: sigstore.as_ref().map(Identity::new).transpose().map_err(bad_root)?,
        })
    }

    pub(super) fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    pub(super) fn authorities(&self) -> Option<&Authorities> {
        self.authorities.as_ref()
    }

    pub(super) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// What signatures are trusted by, in words.
    pub(super) fn methods(&self) -> String {
        let methods = [
            ("keys", !self.keys.is_empty()),
            ("certificate authorities", self.authorities.is_some()),
            ("identities of Sigstore", self.identity.is_some()),
        ];
        let given = methods.iter().filter(|(_, given)| *given).map(|(name, _)| *name);
        given.collect::<Vec<_>>().join(" and ")
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
