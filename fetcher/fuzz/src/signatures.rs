//! Signatures of models, and the keys and certificates that are trusted.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fetcher::fuzzing;
use fetcher::limits::Limits;
use fetcher::signature::{self, Method, SignedManifest, Sigstore, Trust};
use serde_json::json;

use crate::hold;

/// A key and an authority that are trusted; the private halves are thrown away.
const KEY: &[u8] = include_bytes!("../seeds/trust/key.pem");
const AUTHORITY: &[u8] = include_bytes!("../seeds/trust/authority.pem");
/// What the key and the authority's signer did sign.
const SIGNED: &[u8] = include_bytes!("../seeds/statement/signed.json");

static TRUSTED: LazyLock<Trust> =
    LazyLock::new(|| Trust::new(Some(KEY), Some(AUTHORITY), None).expect("both are usable"));

/// A bundle. Nobody can make one that counts but by what was really signed.
pub fn signature(data: &[u8]) {
    match fuzzing::bundle(data) {
        Ok((payload, certificates)) => {
            assert!(payload.len() + certificates.iter().map(Vec::len).sum::<usize>() <= data.len());
        }
        Err(error) => hold::error(&error),
    }
    match signature::verify(data, &TRUSTED) {
        Ok(manifest) => {
            manifest_holds(&manifest);
            let signed = fuzzing::statement(SIGNED).expect("what was signed");
            assert_eq!(manifest.files(), signed.files(), "nothing else was ever signed");
            hold::message(manifest.signer());
        }
        Err(error) => hold::error(&error),
    }
}

/// What was signed.
pub fn statement(data: &[u8]) {
    match fuzzing::statement(data) {
        Ok(manifest) => manifest_holds(&manifest),
        Err(error) => hold::error(&error),
    }
}

fn manifest_holds(manifest: &SignedManifest) {
    let files = manifest.files();
    assert!((1..=Limits::DEFAULT.files).contains(&files.len()));
    assert!(files.is_sorted_by(|one, other| one.path < other.path), "each once, in order");
    manifest.ignored().iter().for_each(hold::path);
    for file in files {
        hold::path(&file.path);
        assert!(manifest.file(&file.path).is_some());
        let ignored = manifest.ignored().iter().any(|ignored| {
            let above = file.path.ancestors().any(|folder| folder == ignored.as_str());
            above || file.path == *ignored
        });
        assert!(!ignored, "{} is signed and ignored", file.path);
        assert!(file.digests.iter().all(|part| part.digest.algorithm() == manifest.algorithm()));
        match manifest.method() {
            Method::Files => {
                assert!(file.digests.iter().all(|part| part.range.is_none()) && file.digests.len() == 1)
            }
            Method::Shards { size } => {
                let mut at = 0;
                for part in &file.digests {
                    let range = part.range.clone().expect("a shard's range");
                    assert_eq!((range.start, at % size), (at, 0), "no gap, and full but for the last");
                    assert!(range.start < range.end && range.end - range.start <= size);
                    at = range.end;
                }
                assert_eq!(file.size(), Some(at));
            }
        }
    }
}

/// A file of what is to be trusted: keys or authorities in PEM, or the root of a Sigstore.
pub fn trust(data: &[u8]) {
    let sigstore = Sigstore { root: data, identity: "somebody@example.com", issuer: "https://example.com" };
    if let Err(error) = Trust::new(None, None, Some(sigstore)) {
        hold::error(&error);
    }
    for trust in [Trust::new(Some(data), None, None), Trust::new(None, Some(data), None)] {
        match trust {
            // A file that is trusted has something in it, and no private key.
            Ok(_) => {
                let text = String::from_utf8_lossy(data);
                assert!(text.contains("BEGIN PUBLIC KEY") || text.contains("BEGIN CERTIFICATE"));
                assert!(!text.contains("PRIVATE KEY"));
            }
            Err(error) => hold::error(&error),
        }
    }
}

/// DER certificates, each after its length in two bytes, as a bundle brings them.
pub fn certificates(data: &[u8]) {
    let (mut rest, mut chain) = (data, Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        let (certificate, after) = after.split_at(length);
        chain.push(json!({"rawBytes": BASE64_STANDARD.encode(certificate)}));
        rest = after;
    }
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"x509CertificateChain": {"certificates": chain}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": "e30=",
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": "MAYCAQECAQE=", "keyid": ""}],
        },
    });
    match signature::verify(bundle.to_string().as_bytes(), &TRUSTED) {
        Ok(_) => panic!("nobody signed that"),
        Err(error) => hold::error(&error),
    }
}
