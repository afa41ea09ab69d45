//! The outermost layer: Sigstore's bundle as JSON, and in it the envelope of a signed payload.
//!
//! A bundle may hold many things. Taken is what the official tool makes, version 0.3 with an envelope; a field that
//! nobody knows is refused, since it might be one that must be checked. What a transparency log says is looked at only
//! for keyless signatures: else trust comes from the key or the authority that the deployment names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handoff::text::shown;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::SignatureError;
use super::key::PublicKey;

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A bundle of the kind that is read here.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) material: Material,
    pub(crate) envelope: Envelope,
}

/// What the bundle says of the signer's key. None of it is believed.
#[derive(Debug)]
pub(crate) enum Material {
    /// A key that the verifier has; the hint is the SHA-256 of its PEM form.
    Key { hint: Option<String> },
    /// DER certificates, the signer's first.
    Chain(Vec<Vec<u8>>),
    /// A short-lived certificate, which means something only with all that is around it.
    Keyless,
}

/// A payload and the signature over it.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) payload: Vec<u8>,
    signature: Vec<u8>,
}

impl Envelope {
    /// Whether that key made the signature.
    pub(super) fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.signed(&self.signed_bytes(), &self.signature)
    }

    /// The bytes that DSSE has a signer sign: type and length before the payload, so that neither can be taken
    /// for the other.
    fn signed_bytes(&self) -> Vec<u8> {
        let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), self.payload.len());
        [head.as_bytes(), &self.payload].concat()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BundleJson {
    media_type: String,
    verification_material: MaterialJson,
    dsse_envelope: Option<EnvelopeJson>,
    message_signature: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MaterialJson {
    public_key: Option<KeyJson>,
    x509_certificate_chain: Option<ChainJson>,
    certificate: Option<IgnoredAny>,
    #[serde(rename = "tlogEntries")]
    _log_entries: Option<IgnoredAny>,
    #[serde(rename = "timestampVerificationData")]
    _timestamps: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyJson {
    hint: Option<String>,
    /// Before version 1.0 of the tool the key itself stood here.
    #[serde(rename = "rawBytes")]
    _raw_bytes: Option<IgnoredAny>,
    #[serde(rename = "keyDetails")]
    _key_details: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainJson {
    certificates: Vec<CertificateJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CertificateJson {
    raw_bytes: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EnvelopeJson {
    payload: String,
    payload_type: String,
    signatures: Vec<SignatureJson>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureJson {
    sig: String,
    #[serde(rename = "keyid")]
    _key_id: Option<String>,
}

/// Reads a bundle.
pub(crate) fn parse(bytes: &[u8]) -> Result<Bundle, SignatureError> {
    let json: BundleJson = serde_json::from_slice(bytes).map_err(|error| bad(shown(&error.to_string())))?;
    expect("media type", MEDIA_TYPE, &json.media_type)?;
    let envelope = match (json.dsse_envelope, json.message_signature) {
        (Some(envelope), None) => envelope,
        _ => return Err(bad("expected an envelope and no other signature")),
    };
    expect("payload type", PAYLOAD_TYPE, &envelope.payload_type)?;
    let [signature] = envelope.signatures.as_slice() else {
        return Err(bad(format!("expected one signature, got {}", envelope.signatures.len())));
    };
    let envelope = Envelope {
        signature: decode("signature", &signature.sig)?,
        payload: decode("payload", &envelope.payload)?,
    };
    let MaterialJson { public_key, x509_certificate_chain, certificate, .. } = json.verification_material;
    let material = match (public_key, x509_certificate_chain, certificate) {
        (Some(key), None, None) => Material::Key { hint: key.hint.filter(|hint| !hint.is_empty()) },
        (None, Some(chain), None) => {
            let certificates = chain.certificates.iter();
            let certificates = certificates.map(|certificate| decode("certificate", &certificate.raw_bytes));
            Material::Chain(certificates.collect::<Result<_, _>>()?)
        }
        (None, None, Some(_)) => Material::Keyless,
        _ => return Err(bad("expected one of a public key, a certificate chain and a certificate")),
    };
    Ok(Bundle { material, envelope })
}

fn bad(reason: impl Into<String>) -> SignatureError {
    SignatureError::Bundle { reason: reason.into() }
}

fn expect(what: &str, expected: &str, got: &str) -> Result<(), SignatureError> {
    if expected == got {
        return Ok(());
    }
    let got: String = got.chars().take(80).collect();
    Err(bad(format!("expected the {what} {expected}, got `{}`", got.escape_debug())))
}

fn decode(what: &str, text: &str) -> Result<Vec<u8>, SignatureError> {
    STANDARD.decode(text).map_err(|error| bad(format!("the {what} is not base64: {error}")))
}
