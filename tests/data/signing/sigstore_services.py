"""A Sigstore of our own: what the public one does, as far as a signer and a verifier see it.

An authority that gives out certificates (Fulcio) and the log that these stand in, a log of signatures in both of its
versions (Rekor), and an authority for time. The official tool signs with them over HTTP; tests take them one by one, to
make what they would never make.
"""

import base64
import contextlib
import datetime
import hashlib
import http.server
import json
import struct
import threading

import jwt
import rfc8785
from asn1crypto import algos, cms, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

import signers
from signers import DAY, b64, der

MINUTE = datetime.timedelta(minutes=1)
SCT_LIST = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
ISSUER_V2 = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")


def now():
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def spki(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.DER, form)


def sha256(data):
    return hashlib.sha256(data).digest()


def certify(name, key, issuer=None, start=None, end=None, extensions=(), serial=None):
    """A certificate as `cryptography` believes it: with the identifiers of its key and of its issuer's."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    certificate, issuer_key = issuer or (None, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(certificate.subject if certificate else subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(start or now() - 365 * DAY)
        .not_valid_after(end or now() + 365 * DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, signers.HASHES[issuer_key.curve.key_size]())


def usage(*flags):
    return x509.KeyUsage(**{flag: flag in flags for flag in signers.USAGES}), True


AUTHORITY = [(x509.BasicConstraints(ca=True, path_length=None), True), usage("key_cert_sign", "crl_sign")]


class CertificateLog:
    """The log that every certificate of Fulcio stands in."""

    def __init__(self):
        self.key = signers.elliptic()

    def promise(self, certificate, issuer_key):
        """A signed certificate timestamp, as the list of one that is embedded."""
        made = int(certificate.not_valid_before_utc.timestamp() * 1000)
        tbs = certificate.tbs_certificate_bytes
        entry = sha256(spki(issuer_key)) + len(tbs).to_bytes(3, "big") + tbs
        signature = self.key.sign(struct.pack("!BBQH", 0, 0, made, 1) + entry + b"\0\0", ec.ECDSA(hashes.SHA256()))
        head = struct.pack("!B32sQHBBH", 0, sha256(spki(self.key)), made, 0, 4, 3, len(signature))
        one = struct.pack("!H", len(head + signature)) + head + signature
        whole = struct.pack("!H", len(one)) + one
        return b"\x04" + bytes([0x81, len(whole)] if len(whole) > 127 else [len(whole)]) + whole


class Fulcio:
    """Gives certificates for ten minutes to whoever shows a token."""

    def __init__(self, log, name="sigstore"):
        self.log = log
        self.root_key, self.key = signers.elliptic("p384"), signers.elliptic("p384")
        self.root = certify(name, self.root_key, extensions=AUTHORITY)
        purpose = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
        self.middle = certify(f"{name}-intermediate", self.key, (self.root, self.root_key), extensions=[*AUTHORITY, purpose])

    def certificate(self, public_key, identity, issuer, start=None, purpose=ExtendedKeyUsageOID.CODE_SIGNING, log=None,
                    uses="digital_signature"):
        """`log` is another than the usual one, or `False` for none."""
        start = start or now()
        name = x509.RFC822Name(identity) if "@" in identity and "/" not in identity else x509.UniformResourceIdentifier(identity)
        extensions = [
            usage(uses),
            (x509.ExtendedKeyUsage([purpose]), False),
            (x509.SubjectAlternativeName([name]), True),
            (x509.UnrecognizedExtension(ISSUER, issuer.encode()), False),
            (x509.UnrecognizedExtension(ISSUER_V2, b"\x0c" + bytes([len(issuer)]) + issuer.encode()), False),
        ]
        serial = x509.random_serial_number()
        make = lambda extensions: certify("", public_key, (self.middle, self.key), start, start + 10 * MINUTE, extensions, serial)
        if log is False:
            return make(extensions)
        promise = (log or self.log).promise(make(extensions), self.key)
        return make([*extensions, (x509.UnrecognizedExtension(SCT_LIST, promise), False)])


class PublicKey:
    """A key of which only the public half is known, where `certify` wants both."""

    def __init__(self, public):
        self.public = public

    def public_key(self):
        return self.public


class Rekor:
    """A log of signatures: version 1 promises and says when, version 2 only proves."""

    origin = "rekor.example"

    def __init__(self, version):
        self.version = version
        self.key = signers.elliptic() if version == 1 else ed25519.Ed25519PrivateKey.generate()
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        self.id = sha256(spki(self.key))
        if version == 2:
            self.id = sha256(self.origin.encode() + b"\n\x01" + self.key.public_key().public_bytes(*raw))
        self.leaves = [sha256(b"\0" + bytes([leaf])) for leaf in range(5)]

    def sign(self, data):
        return self.key.sign(data, ec.ECDSA(hashes.SHA256())) if self.version == 1 else self.key.sign(data)

    def entry(self, body, time=None, kind=None):
        """Adds a body, and says of it what a bundle holds."""
        body = rfc8785.dumps(body) if isinstance(body, dict) else body
        index = len(self.leaves)
        self.leaves.append(sha256(b"\0" + body))
        root, size = tree(self.leaves), len(self.leaves)
        note = f"{self.origin}\n{size}\n{b64(root)}\n"
        checkpoint = f"{note}\n\u2014 {self.origin} {b64(self.id[:4] + self.sign(note.encode()))}\n"
        entry = {
            "logIndex": str(index),
            "logId": {"keyId": b64(self.id)},
            "kindVersion": kind or ({"kind": "dsse", "version": "0.0.1"}, {"kind": "hashedrekord", "version": "0.0.2"})[self.version - 1],
            "inclusionProof": {
                "logIndex": str(index),
                "rootHash": b64(root),
                "treeSize": str(size),
                "hashes": [b64(digest) for digest in path(index, self.leaves)],
                "checkpoint": {"envelope": checkpoint},
            },
            "canonicalizedBody": b64(body),
        }
        if self.version == 1:
            entry["integratedTime"] = str(int((time or now()).timestamp()))
            self.promise(entry)
        return entry

    def promise(self, entry):
        """Signs when an entry came."""
        said = {
            "body": entry["canonicalizedBody"],
            "integratedTime": int(entry["integratedTime"]),
            "logID": base64.b64decode(entry["logId"]["keyId"]).hex(),
            "logIndex": int(entry["logIndex"]),
        }
        entry["inclusionPromise"] = {"signedEntryTimestamp": b64(self.sign(rfc8785.dumps(said)))}

    def body(self, envelope, certificate):
        """What this log writes down of an envelope."""
        payload, signature = (base64.b64decode(text) for text in (envelope["payload"], envelope["signatures"][0]["sig"]))
        digest = lambda data: {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}
        if self.version == 1:
            return {"apiVersion": "0.0.1", "kind": "dsse", "spec": {
                "envelopeHash": digest(json.dumps(envelope).encode()),
                "payloadHash": digest(payload),
                "signatures": [{"signature": b64(signature), "verifier": b64(signers.pem(certificate))}],
            }}
        return {"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": {
            "data": {"algorithm": "SHA2_256", "digest": b64(sha256(signers.pae(payload)))},
            "signature": {"content": b64(signature), "verifier": {
                "keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": {"rawBytes": b64(der(certificate))}}},
        }}}


def tree(leaves):
    """The root of a tree of hashes as RFC 6962 has it."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + tree(leaves[:split]) + tree(leaves[split:]))


def path(index, leaves):
    """The hashes beside the way from a leaf to the root."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*path(index, leaves[:split]), tree(leaves[split:])]
    return [*path(index - split, leaves[split:]), tree(leaves[:split])]


class TimeAuthority:
    """Signs what time it is, as RFC 3161 has it."""

    def __init__(self):
        self.root_key, self.key = signers.elliptic("p384"), signers.elliptic()
        self.root = certify("time root", self.root_key, extensions=AUTHORITY)
        purpose = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), True)
        self.certificate = certify("time", self.key, (self.root, self.root_key), extensions=[usage("digital_signature"), purpose])

    def stamp(self, signature, time=None):
        return self.answer(sha256(signature), time, None)

    def answer(self, digest, time, nonce):
        sha = algos.DigestAlgorithm({"algorithm": "sha256"})
        said = {
            "version": "v1", "policy": "1.3.6.1.4.1.57264.2", "serial_number": x509.random_serial_number(),
            "message_imprint": {"hash_algorithm": sha, "hashed_message": digest}, "gen_time": time or now(),
        }
        if nonce is not None:
            said["nonce"] = nonce
        content = tsp.TSTInfo(said).dump()
        certificate = asn1_x509.Certificate.load(der(self.certificate))
        attributes = cms.CMSAttributes([
            {"type": "content_type", "values": ["tst_info"]},
            {"type": "message_digest", "values": [sha256(content)]},
            {"type": "signing_certificate_v2", "values": [{"certs": [{"cert_hash": sha256(der(self.certificate))}]}]},
        ])
        signer = cms.SignerInfo({
            "version": "v1",
            "sid": {"issuer_and_serial_number": {"issuer": certificate.issuer, "serial_number": certificate.serial_number}},
            "digest_algorithm": sha,
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "sha256_ecdsa"},
            "signature": self.key.sign(attributes.dump(), ec.ECDSA(hashes.SHA256())),
        })
        token = cms.ContentInfo({"content_type": "signed_data", "content": {
            "version": "v3",
            "digest_algorithms": [sha],
            "encap_content_info": {"content_type": "tst_info", "content": cms.ParsableOctetString(content)},
            "certificates": [certificate],
            "signer_infos": [signer],
        }})
        return tsp.TimeStampResp({"status": {"status": "granted"}, "time_stamp_token": token}).dump()


class Sigstore:
    """All of it, and what is to be trusted of it."""

    def __init__(self, name="sigstore"):
        self.certificates = CertificateLog()
        self.fulcio = Fulcio(self.certificates, name)
        self.logs = {version: Rekor(version) for version in (1, 2)}
        self.time = TimeAuthority()

    def trusted_root(self, since=None, until=None):
        valid = {"start": (since or now() - 365 * DAY).isoformat().replace("+00:00", "Z")}
        if until:
            valid["end"] = until.isoformat().replace("+00:00", "Z")
        log = lambda key, name, kind: {
            "baseUrl": f"https://{name}", "hashAlgorithm": "SHA2_256", "logId": {"keyId": b64(name_of(key))},
            "publicKey": {"rawBytes": b64(spki(key)), "keyDetails": kind, "validFor": valid},
        }
        ids = {id(rekor.key): rekor.id for rekor in self.logs.values()}
        name_of = lambda key: ids.get(id(key)) or sha256(spki(key))
        authority = lambda name, *chain: {
            "subject": {"organization": "example", "commonName": name}, "uri": f"https://{name}", "validFor": valid,
            "certChain": {"certificates": [{"rawBytes": b64(der(certificate))} for certificate in chain]},
        }
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self.logs[1].key, "rekor.example", "PKIX_ECDSA_P256_SHA_256"),
                      log(self.logs[2].key, "rekor2.example", "PKIX_ED25519")],
            "certificateAuthorities": [authority("fulcio.example", self.fulcio.middle, self.fulcio.root)],
            "ctlogs": [log(self.certificates.key, "ct.example", "PKIX_ECDSA_P256_SHA_256")],
            "timestampAuthorities": [authority("time.example", self.time.certificate, self.time.root)],
        }

    def token(self, identity, issuer):
        """Who somebody is, by a provider of identities whom this Fulcio believes without a check."""
        claims = {"iss": issuer, "sub": identity, "email": identity, "aud": "sigstore", "iat": now(), "exp": now() + 10 * MINUTE}
        return jwt.encode(claims, "x" * 32)

    @contextlib.contextmanager
    def serving(self):
        """Over HTTP; gives the address."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"sigstore": self}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()


def trust_config(trusted_root, address="http://127.0.0.1:9", version=1):
    """What the official tool reads: whom to trust, and where to sign."""
    service = lambda path="", api=1: [{
        "url": address + path, "majorApiVersion": api, "operator": "example", "validFor": {"start": "2020-01-01T00:00:00Z"}}]
    one = {"selector": "ANY"}
    return {
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": trusted_root,
        "signingConfig": {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": service(), "oidcUrls": service(), "rekorTlogUrls": service(api=version), "rekorTlogConfig": one,
            "tsaUrls": service("/time") if version == 2 else [], "tsaConfig": one,
        },
    }


class Handler(http.server.BaseHTTPRequestHandler):
    """The services' addresses, as the official tool knows them."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send({"authorization_endpoint": "http://127.0.0.1:9", "token_endpoint": "http://127.0.0.1:9"})

    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        self.send({
            "/api/v2/signingCert": self.certificate, "/api/v1/log/entries": self.entry,
            "/api/v2/log/entries": self.entry_v2, "/time": self.time,
        }[self.path](asked))

    def send(self, answer):
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def certificate(self, asked):
        request = x509.load_pem_x509_csr(base64.b64decode(json.loads(asked)["certificateSigningRequest"]))
        claims = jwt.decode(self.headers["Authorization"].split()[1], options={"verify_signature": False})
        fulcio = self.sigstore.fulcio
        made = fulcio.certificate(PublicKey(request.public_key()), claims["sub"], claims["iss"])
        chain = [signers.pem(certificate).decode() for certificate in (made, fulcio.middle, fulcio.root)]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": chain}}}

    def entry(self, asked):
        proposed = json.loads(asked)["spec"]["proposedContent"]
        certificate = x509.load_pem_x509_certificate(base64.b64decode(proposed["verifiers"][0]))
        rekor = self.sigstore.logs[1]
        made = rekor.entry(rekor.body(json.loads(proposed["envelope"]), certificate))
        proof = made["inclusionProof"]
        hexed = lambda text: base64.b64decode(text).hex()
        return {"0": {
            "body": made["canonicalizedBody"], "integratedTime": int(made["integratedTime"]),
            "logID": rekor.id.hex(), "logIndex": int(made["logIndex"]),
            "verification": {
                "signedEntryTimestamp": made["inclusionPromise"]["signedEntryTimestamp"],
                "inclusionProof": {
                    "logIndex": int(proof["logIndex"]), "treeSize": int(proof["treeSize"]), "rootHash": hexed(proof["rootHash"]),
                    "hashes": [hexed(digest) for digest in proof["hashes"]], "checkpoint": proof["checkpoint"]["envelope"],
                },
            },
        }}

    def entry_v2(self, asked):
        proposed = json.loads(asked)["hashedRekordRequestV002"]
        data = {"algorithm": "SHA2_256", "digest": proposed["digest"]}
        body = {"hashedRekordV002": {"data": data, "signature": proposed["signature"]}}
        return self.sigstore.logs[2].entry({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": body})

    def time(self, asked):
        request = tsp.TimeStampReq.load(asked)
        return self.sigstore.time.answer(request["message_imprint"]["hashed_message"].native, None, request["nonce"].native)
