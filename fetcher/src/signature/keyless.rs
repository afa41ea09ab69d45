//! Keyless signatures: a certificate that Sigstore gave somebody for ten minutes, and a public log that says that it was
//! used within them.
//!
//! `sigstore-verify` goes through Sigstore's part offline, against one file of authorities and logs: the certificate leads
//! to an authority of the file and stands in a log of certificates; a log of signatures, or an authority for time, says
//! when it was used; the log holds this very signature; and the certificate is that of whom the deployment names. What
//! was signed is not its business: [`statement`](super::statement) judges that, as with any other signer.
//!
//! It reads JSON into trees that can be a hundred times as large as their text, before any signature is checked. So what
//! it may read is bounded here.

use serde::Deserialize;
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{Bundle, Sha256Hash, SignatureContent};
use sigstore_verify::{Error, VerificationPolicy, Verifier};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::certificate::refuse_signer;
use super::{SignatureError, Sigstore};
use crate::limits::Limits;

mod provider;

/// Bytes of a bundle beside what was signed: a certificate, log entries and timestamps take some ten thousand.
const MAX_MATERIAL: usize = 256 * 1024;
/// Characters of somebody else's text that are shown.
const SHOWN: usize = 300;

/// Who is trusted, and the Sigstore that vouches for him.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    root: TrustedRoot,
    identity: String,
    issuer: String,
}

#[derive(Deserialize)]
struct Statement {
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    digest: SubjectDigest,
}

#[derive(Deserialize)]
struct SubjectDigest {
    sha256: String,
}

impl Identity {
    /// Takes whom a deployment names.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn new(trusted: &Sigstore<'_>) -> Result<Self, String> {
        provider::install();
        let json = str::from_utf8(trusted.root).map_err(|error| error.to_string())?;
        let root = TrustedRoot::from_json(json).map_err(|error| shown(&error))?;
        for (what, none) in [
            ("certificate authority", root.certificate_authorities.is_empty()),
            ("log of certificates", root.ctlogs.is_empty()),
            ("log of signatures", root.tlogs.is_empty()),
        ] {
            if none {
                return Err(format!("expected Sigstore's trusted_root.json, found one without a {what}"));
            }
        }
        Verifier::new(&root).map_err(|error| shown(&error))?;
        Ok(Self { root, identity: trusted.identity.to_owned(), issuer: trusted.issuer.to_owned() })
    }

    /// Checks that whom the deployment names signed `payload`, which is that of `bundle`, and gives his name.
    pub(super) fn verify(&self, bundle: &[u8], payload: &[u8]) -> Result<String, SignatureError> {
        bound(bundle, payload)?;
        let json = str::from_utf8(bundle).map_err(|error| refused(&error))?;
        let bundle = Bundle::from_json(json).map_err(|error| refused(&error))?;
        match &bundle.content {
            SignatureContent::DsseEnvelope(envelope) if envelope.payload.as_bytes() == payload => {}
            _ => return Err(refused(&"its payload is read in two ways")),
        }
        // That the statement is about something is asked for; what that must be, its reader knows.
        let Statement { subject } = serde_json::from_slice(payload).map_err(|error| refused(&error))?;
        let digest = subject.first().map(|subject| Sha256Hash::from_hex(&subject.digest.sha256));
        let digest =
            digest.ok_or_else(|| refused(&"it is about nothing"))?.map_err(|error| refused(&error))?;
        let policy = VerificationPolicy::new(self.identity.as_str(), self.issuer.as_str());
        let verifier = Verifier::new(&self.root).map_err(|error| refused(&error))?;
        match verifier.verify(digest, &bundle, &policy) {
            Ok(_) => {
                certified_to_sign(&bundle)?;
                Ok(format!("{} (issuer {})", self.identity, self.issuer))
            }
            Err(Error::IdentityMismatch { actual, .. }) => Err(self.other("identity", actual)),
            Err(Error::IssuerMismatch { actual, .. }) => Err(self.other("issuer", actual)),
            Err(error) => {
                let by_root =
                    matches!(error, Error::Certificate(_) | Error::TransparencyLog(_) | Error::Timestamp(_));
                Err(SignatureError::Keyless { reason: shown(&error), by_root })
            }
        }
    }

    fn other(&self, what: &'static str, got: Option<impl ToString>) -> SignatureError {
        let expected = if what == "issuer" { &self.issuer } else { &self.identity }.clone();
        let got = got.map_or_else(|| "none".to_owned(), |got| shown(&got));
        SignatureError::OtherIdentity { what, expected, got }
    }
}

/// Checks the usage of the key, which `sigstore-verify` leaves to the authority.
fn certified_to_sign(bundle: &Bundle) -> Result<(), SignatureError> {
    let certificate = bundle.signing_certificate().ok_or_else(|| refused(&"it has no certificate"))?;
    let certificate = Certificate::from_der(certificate.as_bytes()).map_err(|error| refused(&error))?;
    refuse_signer(&certificate).map_or(Ok(()), |reason| Err(refused(&reason)))
}

/// Refuses what would take up much more memory than a list of as many files as a model may have.
fn bound(bundle: &[u8], payload: &[u8]) -> Result<(), SignatureError> {
    // In base64 every three bytes are four.
    let material = bundle.len().saturating_sub(payload.len().div_ceil(3).saturating_mul(4));
    if material > MAX_MATERIAL {
        return Err(refused(&format!(
            "expected at most {MAX_MATERIAL} bytes beside the payload, got {material}"
        )));
    }
    // Bytes that an object, a list and an item take up at most. A file is an object of three items.
    let cost = |byte: &u8| match byte {
        b'{' => 640,
        b'[' => 128,
        b',' => 32,
        _ => 0_usize,
    };
    let most = Limits::DEFAULT.files.saturating_mul(1000);
    match payload.iter().map(cost).fold(0, usize::saturating_add) > most {
        true => {
            Err(refused(&format!("its payload lists more than {} files may need", Limits::DEFAULT.files)))
        }
        false => Ok(()),
    }
}

fn refused(reason: &impl ToString) -> SignatureError {
    SignatureError::Keyless { reason: shown(reason), by_root: false }
}

/// A text that may hold somebody else's words, fit for a message.
fn shown(text: &impl ToString) -> String {
    let text: String = text.to_string().chars().take(SHOWN).collect();
    text.escape_debug().to_string()
}
