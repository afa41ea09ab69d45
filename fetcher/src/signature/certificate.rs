//! From the signer's certificate to an authority that the deployment trusts.
//!
//! `webpki`, which checks TLS servers for rustls, builds the path: signatures, names, constraints, path lengths. What it
//! leaves to its caller is done here: an authority's own validity, key usage and path length, and what the signer's
//! certificate is for. Time is the moment from which that certificate is valid, as the official tool takes it: a model
//! outlives the certificate that signed it, and nothing in a bundle that is not logged says when it was signed.
//!
//! Of the certificates that a deployment names, those that are signed by themselves are trusted; the others help to
//! get there.

use std::cell::RefCell;
use std::time::Duration;

use handoff::text;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use sha2::{Digest as _, Sha256};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix;

use super::key::{P521_SHA512, PublicKey};

/// The most certificates that a signature may bring.
const MAX_CHAIN: usize = 10;
/// id-kp-codeSigning.
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
/// The same as the content of its DER form.
const CODE_SIGNING_DER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
/// Characters of a name that are shown.
const SHOWN_NAME: usize = 200;

/// Why a certificate does not speak for a signer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CertificateError {
    /// There are none, or too many.
    #[error("expected 1 to {MAX_CHAIN} certificates, got {got}")]
    Count {
        /// How many there are.
        got: usize,
    },
    /// One is not a certificate.
    #[error("certificate {number} of the signature cannot be read: {reason}")]
    Unreadable {
        /// Which, from 1 on.
        number: usize,
        /// Why.
        reason: String,
    },
    /// No path leads to a trusted authority.
    #[error("{subject} is not vouched for by a trusted authority: {reason}")]
    Path {
        /// Whose certificate it is.
        subject: String,
        /// Why.
        reason: String,
    },
    /// It is not one to sign models with.
    #[error("{subject} must not sign: {reason}")]
    Usage {
        /// Whose certificate it is.
        subject: String,
        /// Why.
        reason: &'static str,
    },
    /// Its key is not of a kind that signs models.
    #[error("the key of {subject} is not usable: {reason}")]
    Key {
        /// Whose certificate it is.
        subject: String,
        /// Why.
        reason: String,
    },
}

/// Certificate authorities, at least one of them trusted.
#[derive(Clone, Debug)]
pub(super) struct Authorities {
    roots: Vec<Root>,
    anchors: Vec<TrustAnchor<'static>>,
    helping: Vec<CertificateDer<'static>>,
}

#[derive(Clone, Debug)]
struct Root {
    certificate: Certificate,
    subject: Vec<u8>,
    key: Vec<u8>,
}

impl Authorities {
    /// Sorts what a deployment names.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn new(given: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let mut new = Self { roots: Vec::new(), anchors: Vec::new(), helping: Vec::new() };
        for (index, der) in given.into_iter().enumerate() {
            let unreadable = |error: String| format!("certificate {} cannot be read: {error}", index + 1);
            let certificate = Certificate::from_der(&der).map_err(|error| unreadable(error.to_string()))?;
            let parts = certificate.tbs_certificate();
            refuse_issuer(&certificate).map_err(|reason| format!("{} {reason}", name(&certificate)))?;
            if parts.subject() != parts.issuer() {
                new.helping.push(der);
                continue;
            }
            let anchor = webpki::anchor_from_trusted_cert(&der)
                .map_err(|error| unreadable(error.to_string()))?
                .to_owned();
            let (subject, key) = (anchor.subject.to_vec(), anchor.subject_public_key_info.to_vec());
            new.anchors.push(anchor);
            new.roots.push(Root { certificate, subject, key });
        }
        match new.roots.len() {
            0 => {
                Err("expected a root, which is signed by itself, found intermediate authorities only"
                    .to_owned())
            }
            _ => Ok(new),
        }
    }

    /// Goes from the signer's certificate, the first, to a trusted root, and gives the signer and its key.
    pub(super) fn verify(&self, chain: &[Vec<u8>]) -> Result<(String, PublicKey), CertificateError> {
        let [leaf, others @ ..] = chain else { return Err(CertificateError::Count { got: 0 }) };
        if chain.len() > MAX_CHAIN {
            return Err(CertificateError::Count { got: chain.len() });
        }
        let parse = |(index, der): (usize, &Vec<u8>)| {
            Certificate::from_der(der).map_err(|error| unreadable(index, error.to_string()))
        };
        let certificates = chain.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()?;
        let Some(signer) = certificates.first() else { return Err(CertificateError::Count { got: 0 }) };
        let subject = name(signer);
        let time = signer.tbs_certificate().validity().not_before.to_unix_duration();
        let others: Vec<_> = others.iter().map(|der| CertificateDer::from_slice(der)).collect();
        let helping = [others, self.helping.clone()].concat();
        let leaf = CertificateDer::from_slice(leaf);
        let leaf = EndEntityCert::try_from(&leaf).map_err(|error| unreadable(0, in_words(&error)))?;

        let objection = RefCell::new(None);
        let check = |path: &VerifiedPath<'_>| {
            self.check_path(path, time).map_err(|reason| {
                *objection.borrow_mut() = Some(reason);
                webpki::Error::UnknownIssuer
            })
        };
        let mut algorithms: Vec<&dyn SignatureVerificationAlgorithm> = webpki::ALL_VERIFICATION_ALGS.to_vec();
        algorithms.push(&P521_SHA512);
        let outcome = leaf.verify_for_usage(
            &algorithms,
            &self.anchors,
            &helping,
            UnixTime::since_unix_epoch(time),
            KeyUsage::required_if_present(CODE_SIGNING_DER),
            None,
            Some(&check),
        );
        if let Err(error) = outcome {
            let reason = objection.borrow_mut().take().unwrap_or_else(|| in_words(&error));
            return Err(CertificateError::Path { subject, reason });
        }
        if let Some(reason) = refuse_signer(signer) {
            return Err(CertificateError::Usage { subject, reason });
        }
        let key = signer.tbs_certificate().subject_public_key_info().to_der();
        let key = key.map_err(|error| error.to_string()).and_then(|der| PublicKey::from_der(&der));
        match key {
            Ok(key) => Ok((format!("certificate {subject}"), key)),
            Err(reason) => Err(CertificateError::Key { subject, reason }),
        }
    }

    /// What the path's builder does not look at: key usage, and everything about the root.
    fn check_path(&self, path: &VerifiedPath<'_>, time: Duration) -> Result<(), String> {
        let mut below = 0_usize;
        for intermediate in path.intermediate_certificates() {
            let certificate =
                Certificate::from_der(&intermediate.der()).map_err(|error| error.to_string())?;
            refuse_issuer(&certificate).map_err(|reason| format!("{} {reason}", name(&certificate)))?;
            below += 1;
        }
        let anchor = path.anchor();
        let same = |root: &&Root| {
            root.subject == anchor.subject.as_ref() && root.key == anchor.subject_public_key_info.as_ref()
        };
        let mut reason = "its root is not among the trusted ones".to_owned();
        // A root that was renewed with the same key is there twice.
        for root in self.roots.iter().filter(same) {
            match refuse_root(&root.certificate, time, below) {
                None => return Ok(()),
                Some(problem) => reason = format!("{} {problem}", name(&root.certificate)),
            }
        }
        Err(reason)
    }
}

fn unreadable(index: usize, reason: String) -> CertificateError {
    CertificateError::Unreadable { number: index + 1, reason }
}

/// Why a certificate cannot vouch for another one.
fn refuse_issuer(certificate: &Certificate) -> Result<(), &'static str> {
    let parts = certificate.tbs_certificate();
    match parts.get_extension::<pkix::BasicConstraints>() {
        Ok(Some((_, constraints))) if constraints.ca => {}
        Ok(_) => return Err("is no certificate authority"),
        Err(_) => return Err("has basic constraints that cannot be read"),
    }
    match parts.get_extension::<pkix::KeyUsage>() {
        Ok(None) => Ok(()),
        Ok(Some((_, usage))) if usage.key_cert_sign() => Ok(()),
        Ok(Some(_)) => Err("may not sign certificates: its key usage lacks keyCertSign"),
        Err(_) => Err("has a key usage that cannot be read"),
    }
}

fn refuse_root(root: &Certificate, time: Duration, below: usize) -> Option<&'static str> {
    let parts = root.tbs_certificate();
    let validity = parts.validity();
    if time < validity.not_before.to_unix_duration() {
        return Some("was not valid yet when the signer's certificate was made");
    }
    if time > validity.not_after.to_unix_duration() {
        return Some("had expired when the signer's certificate was made");
    }
    let length = match parts.get_extension::<pkix::BasicConstraints>() {
        Ok(Some((_, constraints))) => constraints.path_len_constraint,
        _ => None,
    };
    length
        .is_some_and(|most| usize::from(most) < below)
        .then_some("allows fewer intermediate authorities than there are")
}

/// Why the signer's certificate is not one to sign models with. The official tool is content with either usage; where
/// a certificate says both, both must fit, so that a web server's is not enough.
pub(super) fn refuse_signer(certificate: &Certificate) -> Option<&'static str> {
    let parts = certificate.tbs_certificate();
    let usage = parts.get_extension::<pkix::KeyUsage>();
    let purposes = parts.get_extension::<pkix::ExtendedKeyUsage>();
    let (Ok(usage), Ok(purposes)) = (usage, purposes) else {
        return Some("its key usage cannot be read");
    };
    match (usage, purposes) {
        (Some((_, usage)), _) if !usage.digital_signature() => Some("its key usage lacks digitalSignature"),
        (_, Some((_, purposes))) if !purposes.0.contains(&CODE_SIGNING) => {
            Some("its extended key usage lacks codeSigning")
        }
        (None, None) => Some("it has neither a key usage nor an extended one"),
        _ => None,
    }
}

fn in_words(error: &webpki::Error) -> String {
    use webpki::Error as E;
    let words = match error {
        E::UnknownIssuer => {
            "no certificate of its issuer is among those of the signature and the trusted ones"
        }
        E::InvalidSignatureForPublicKey => "a certificate's signature is not its issuer's",
        E::CertExpired { .. } => "a certificate had expired when the signer's was made",
        E::CertNotValidYet { .. } => "a certificate was not valid yet when the signer's was made",
        E::InvalidCertValidity => "a certificate expires before it becomes valid",
        E::CaUsedAsEndEntity => "it is a certificate authority itself",
        E::EndEntityUsedAsCa => "a certificate between is no certificate authority",
        E::PathLenConstraintViolated => "there are more intermediate authorities than one of them allows",
        E::UnsupportedCriticalExtension => "it has a critical extension that is not known",
        E::SignatureAlgorithmMismatch => "it says of two algorithms that it is signed with them",
        E::RequiredEkuNotFoundContext(_) => "a certificate's extended key usage lacks codeSigning",
        other => return format!("{other:?}").chars().take(SHOWN_NAME).collect(),
    };
    words.to_owned()
}

/// A certificate's subject for people; its fingerprint, where it has none.
fn name(certificate: &Certificate) -> String {
    let subject = certificate.tbs_certificate().subject();
    if subject.is_empty() {
        let der = certificate.to_der().unwrap_or_default();
        let fingerprint = handoff::Sha256Digest::from_bytes(Sha256::digest(der).into());
        return format!("sha256:{fingerprint}");
    }
    text::cut(&subject.to_string(), SHOWN_NAME)
}
