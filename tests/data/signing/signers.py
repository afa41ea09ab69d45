"""Keys, certificates and signatures of every kind, good and bad, for the tests of signatures.

Signatures over payloads that the official tool would never write are made here, with the same library.
"""

import base64
import datetime
import hashlib
import json

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CURVES = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}
HASHES = {256: hashes.SHA256, 384: hashes.SHA384, 521: hashes.SHA512}
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"

NOW = datetime.datetime(2025, 6, 1, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
YEAR = 365 * DAY


def b64(data):
    return base64.b64encode(data).decode()


def public_pem(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


def private_pem(key):
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def hint(key):
    return hashlib.sha256(public_pem(key)).hexdigest()


def pae(payload, payload_type=PAYLOAD_TYPE):
    return f"DSSEv1 {len(payload_type)} {payload_type} {len(payload)} ".encode() + payload


def sign(key, payload, payload_type=PAYLOAD_TYPE, algorithm=None):
    """A DSSE envelope over any bytes."""
    algorithm = algorithm or HASHES[key.curve.key_size]()
    signature = key.sign(pae(payload, payload_type), ec.ECDSA(algorithm))
    return {
        "payload": b64(payload),
        "payloadType": payload_type,
        "signatures": [{"sig": b64(signature), "keyid": ""}],
    }


def bundle(material, envelope):
    return {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {**material, "tlogEntries": []},
        "dsseEnvelope": envelope,
    }


def by_key(key, payload, **options):
    if isinstance(payload, dict):
        payload = json.dumps(payload).encode()
    return bundle({"publicKey": {"hint": hint(key)}}, sign(key, payload, **options))


def by_chain(key, chain, payload):
    if isinstance(payload, dict):
        payload = json.dumps(payload).encode()
    certificates = [{"rawBytes": b64(der(certificate))} for certificate in chain]
    return bundle({"x509CertificateChain": {"certificates": certificates}}, sign(key, payload))


def der(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def pem(*certificates):
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def elliptic(curve="p256"):
    return ec.generate_private_key(CURVES[curve]())


def other_keys():
    """Keys that no model can be signed with."""
    return {
        "rsa": rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    }


USAGES = (
    "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
    "encipher_only decipher_only"
).split()


def certify(
    name, key, issuer=None, start=NOW - YEAR, end=NOW + 10 * YEAR, ca=None, length=None, usage=(), purposes=(), extra=()
):
    """A certificate for `name`, by `issuer` (a certificate and its key) or by itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    issuer_certificate, issuer_key = issuer or (None, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_certificate.subject if issuer_certificate else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=length), critical=True)
    if usage:
        flags = {flag: flag in usage for flag in USAGES}
        builder = builder.add_extension(x509.KeyUsage(**flags), critical=True)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(purposes)), critical=False)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical)
    signs_with = None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    if isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        signs_with = HASHES[issuer_key.curve.key_size]()
    return builder.sign(issuer_key, signs_with)


class Authority:
    """A root, an authority below it, and signers below that; any of it can be made wrong."""

    def __init__(self, name="Example", curve="p256", root=None, middle=None, root_key=None):
        root, middle = root or {}, middle or {}
        self.root_key = root_key or elliptic(curve)
        self.middle_key = elliptic(curve)
        ca = {"ca": True, "usage": ("key_cert_sign", "crl_sign")}
        self.root = certify(f"{name} root", self.root_key, **{**ca, "start": NOW - 10 * YEAR, **root})
        self.middle = certify(
            f"{name} signing authority",
            self.middle_key,
            issuer=(self.root, self.root_key),
            **{**ca, "start": NOW - 5 * YEAR, **middle},
        )

    def signer(self, key, name="release team", **options):
        usual = {"usage": ("digital_signature",), "purposes": (ExtendedKeyUsageOID.CODE_SIGNING,), "ca": False}
        return certify(name, key, issuer=(self.middle, self.middle_key), **{**usual, **options})
