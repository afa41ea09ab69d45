"""The outside of a signature, changed in every field; and keys that are not the signer's."""

import base64
import copy
import json

import signers

# Positions of a region that are changed, one at a time.
SAMPLES = 24
MISMATCH = "the signature does not match what it signs"


def flipped(data, position):
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def positions(data, samples=SAMPLES):
    step = max(1, len(data) // samples)
    return range(0, len(data), step)


def add(cases, made):
    for base in ("p256 files sha256", "p384 files blake3", "p521 files sha256", "certificate p384 files sha256"):
        regions(cases, base, made[base])
    base = made["p256 files sha256"]
    good = json.loads(base["signature"].read_text())
    trust = {"key": base["key"]}
    payload = base64.b64decode(good["dsseEnvelope"]["payload"])
    key = made["p256"]

    def changed(name, says, change, differs=None):
        bundle = copy.deepcopy(good)
        new = change(bundle)
        bundle = bundle if new is None else new
        cases.add(f"bundle: {name}", says, bundle=bundle, **trust, differs=differs)

    def put(*path, value):
        def change(bundle):
            for step in path[:-1]:
                bundle = bundle[step]
            bundle[path[-1]] = value
        return change

    def without(*path):
        def change(bundle):
            for step in path[:-1]:
                bundle = bundle[step]
            del bundle[path[-1]]
        return change

    material, envelope = "verificationMaterial", "dsseEnvelope"
    other = signers.elliptic()
    chain = {"certificates": [{"rawBytes": signers.b64(signers.der(signers.Authority().root))}]}

    # What names the key.
    changed("hint of another key", "signed by another key: expected ", put(material, "publicKey", "hint", value=signers.hint(other)))
    changed("hint in upper case", "signed by another key", put(material, "publicKey", "hint", value=signers.hint(key).upper()))
    changed("hint that is no digest", "got `\\u{1b}[31m`", put(material, "publicKey", "hint", value="\x1b[31m"))
    changed("hint that is a number", "invalid type", put(material, "publicKey", "hint", value=7))
    changed("no hint, as before version 1.0", None, without(material, "publicKey", "hint"))
    changed("the key itself, as before version 1.0", None, put(material, "publicKey", value={"rawBytes": "AAAA"}))
    changed("no material", "missing field `verificationMaterial`", without(material))
    changed("no key", "expected one of a public key", without(material, "publicKey"))
    changed("a key and a chain", "expected one of a public key", put(material, "x509CertificateChain", value=chain))
    changed("a key and a certificate", "expected one of a public key", put(material, "certificate", value=chain["certificates"][0]))
    changed("keyless", "signed by Sigstore without a key, but only keys are trusted", put(material, value={"certificate": chain["certificates"][0], "tlogEntries": []}))
    changed("a chain where a key is trusted", "signed by a certificate, but only keys are trusted",
            put(material, value={"x509CertificateChain": chain, "tlogEntries": []}))

    # Types.
    for media_type in ("application/vnd.dev.sigstore.bundle+json;version=0.2", "application/vnd.dev.sigstore.bundle+json;version=0.3",
                       "application/vnd.dev.sigstore.bundle.v0.4+json", "", "a\nb"):
        changed(f"media type {media_type!r}", "expected the media type", put("mediaType", value=media_type))
    changed("no media type", "missing field `mediaType`", without("mediaType"))
    changed("payload type", "expected the payload type", put(envelope, "payloadType", value="application/json"))
    cases.add("bundle: payload type, signed", "expected the payload type",
              bundle=signers.by_key(key, payload, payload_type="application/json"), **trust)

    # Signatures.
    one = good[envelope]["signatures"][0]
    changed("no signature", "expected one signature, got 0", put(envelope, "signatures", value=[]))
    changed("the signature twice", "expected one signature, got 2", put(envelope, "signatures", value=[one, one]),
            differs="the tool reads the first signature and believes that there is no other")
    wrong = signers.sign(other, payload)["signatures"][0]
    changed("a second signature, by another key", "expected one signature, got 2", put(envelope, "signatures", value=[one, wrong]),
            differs="as above")
    changed("another key's signature", MISMATCH, put(envelope, "signatures", value=[wrong]))
    changed("an empty signature", MISMATCH, put(envelope, "signatures", 0, "sig", value=""))
    changed("a signature with more behind it", MISMATCH,
            put(envelope, "signatures", 0, "sig", value=signers.b64(base64.b64decode(one["sig"]) + b"\0")))
    changed("a key id", None, put(envelope, "signatures", 0, "keyid", value="whoever"))
    changed("a message signature beside the envelope", "expected an envelope and no other signature",
            put("messageSignature", value={"messageDigest": {"algorithm": "SHA2_256", "digest": "AAAA"}, "signature": "AAAA"}))
    changed("no envelope", "expected an envelope", without(envelope))
    cases.add("bundle: hash of another size", MISMATCH,
              bundle=signers.by_key(key, payload, algorithm=signers.HASHES[384]()), **trust)
    cases.add("bundle: payload without its envelope", MISMATCH, bundle=unwrapped(key, payload), **trust)

    # JSON and base64.
    for place in ([], [material], [material, "publicKey"], [envelope], [envelope, "signatures", 0]):
        changed(f"an unknown field in {place}", "unknown field `surprise`", put(*place, "surprise", value=1))
    text = base["signature"].read_bytes()
    doubled = text.replace(b'"dsseEnvelope"', b'"dsseEnvelope": ' + json.dumps(signers.sign(other, payload)).encode() + b', "dsseEnvelope"', 1)
    changed("a field twice", "duplicate field `dsseEnvelope`", lambda _: doubled,
            differs="JSON readers disagree on which of two fields counts")
    for name, content in (("nothing", b""), ("half", text[: len(text) // 2]), ("more behind it", text + b"{}"), ("a list", b"[]"),
                          ("not UTF-8", b"\xff" + text), ("deep nesting", b"[" * 100_000)):
        changed(name, "not a bundle of OpenSSF Model Signing", lambda _, content=content: content)
    encoded = good[envelope]["payload"]
    changed("payload that is not base64", "the payload is not base64", put(envelope, "payload", value="%" + encoded),
            differs="Python's base64 skips what it does not know")
    changed("payload with a line break", "the payload is not base64", put(envelope, "payload", value=encoded[:76] + "\n" + encoded[76:]),
            differs="as above")
    changed("payload that is cut", MISMATCH, put(envelope, "payload", value=encoded[: len(encoded) // 8 * 4]))

    # Keys that are not the signer's.
    for curve in ("p384", "p521"):
        cases.add(f"key: {curve} for a signature by p256", "signed by another key", signature=base["signature"], key=made[f"{curve} files sha256"]["key"])
    _, public = cases.key("other", other)
    cases.add("key: another", "signed by another key", signature=base["signature"], key=public)
    forged = signers.by_key(other, payload)
    forged[material]["publicKey"]["hint"] = signers.hint(key)
    cases.add("key: another, under the name of the trusted one", MISMATCH, bundle=forged, **trust)
    several = cases.file("several.pub", signers.public_pem(other) + base["key"].read_bytes())
    cases.add("key: the second of two", None, signature=base["signature"], key=several,
              differs="the tool reads one key of a file")
    unusable = {name: signers.public_pem(key) for name, key in signers.other_keys().items()}
    unusable |= {"nothing": b"", "noise": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "private": signers.private_pem(key),
                 "certificate": signers.pem(signers.Authority().root)}
    for name, content in unusable.items():
        cases.add(f"key: unusable, {name}", "the trusted public key is not usable", signature=base["signature"],
                  key=cases.file(f"unusable {name}.pub", content), code=64)


def unwrapped(key, payload):
    """A signature over the bare payload, without the type and length that DSSE puts before it."""
    bundle = signers.by_key(key, payload)
    signature = key.sign(payload, signers.ec.ECDSA(signers.hashes.SHA256()))
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = signers.b64(signature)
    return bundle


def regions(cases, name, base):
    """Single bits of the payload and of the signature."""
    good = json.loads(base["signature"].read_text())
    trust = {name: value for name, value in base.items() if name != "signature"}
    envelope = good["dsseEnvelope"]
    signature = envelope["signatures"][0]
    for what, holder, field in (("payload", envelope, "payload"), ("signature", signature, "sig")):
        data = base64.b64decode(holder[field])
        for position in positions(data):
            kept, holder[field] = holder[field], signers.b64(flipped(data, position))
            cases.add(f"{name}: bit of the {what} at {position}", MISMATCH, bundle=good, **trust)
            holder[field] = kept
