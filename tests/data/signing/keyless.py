"""Signatures without a key: by the official tool with a Sigstore of our own, and everything that can be wrong with one."""

import base64
import copy
import importlib.resources
import json

from asn1crypto import tsp
from cryptography.x509.oid import ExtendedKeyUsageOID

import official
import sigstore_services
import signers
from bundles import flipped, positions
from signers import DAY, b64, der
from sigstore_services import MINUTE, Rekor, Sigstore, TimeAuthority, now, trust_config

WORKFLOW = "https://github.com/example/models/.github/workflows/release.yml@refs/heads/main"
ACTIONS = "https://token.actions.githubusercontent.com"
PERSON, MAIL = "somebody@example.com", "https://accounts.google.com"
REFUSED = "the keyless signature is not acceptable: "
COPY = "the tool believes the proof, and we the checkpoint and the entry, of whose places in version 2 it holds copies"


class Keyless:
    """One statement, signed without a key in one way after the other."""

    def __init__(self, cases, payload):
        self.cases, self.payload = cases, payload
        self.sigstore = Sigstore()
        self.key = signers.elliptic()
        self.root = self.trust(self.sigstore.trusted_root())

    def trust(self, root):
        """The files of a trusted root: ours and the official tool's."""
        name = f"trusted_root {len(self.cases.list)}.json"
        content = root if isinstance(root, bytes) else json.dumps(root).encode()
        try:
            config = trust_config(json.loads(content))
        except ValueError:
            config = {}
        return self.cases.file(name, content), self.cases.file(f"config of {name}", json.dumps(config).encode())

    def certificate(self, identity=WORKFLOW, issuer=ACTIONS, fulcio=None, **options):
        return (fulcio or self.sigstore.fulcio).certificate(self.key, identity, issuer, **options)

    def bundle(self, version, certificate=None, time=None, log=None, stamp=None, payload=None, key=None):
        """A good bundle, but for what is given."""
        envelope = signers.sign(key or self.key, payload or self.payload)
        certificate = certificate or self.certificate()
        log = log or self.sigstore.logs[version]
        bundle = signers.bundle({"certificate": {"rawBytes": b64(der(certificate))}}, envelope)
        material = bundle["verificationMaterial"]
        material["tlogEntries"] = [log.entry(log.body(envelope, certificate), time)]
        if stamp is None and version == 2:
            stamp = self.stamp(bundle, time)
        material["timestampVerificationData"] = {"rfc3161Timestamps": [{"signedTimestamp": b64(stamp)}] if stamp else []}
        return bundle

    def stamp(self, bundle, time=None, by=None):
        return (by or self.sigstore.time).stamp(base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"]), time)

    def add(self, name, says, bundle=None, identity=WORKFLOW, issuer=ACTIONS, root=None, **more):
        ours, tools = root or self.root
        more |= {"trust_root": ours, "identity": identity, "issuer": issuer}
        self.cases.add(f"keyless: {name}", says, bundle=bundle, keyless=(tools, identity, issuer), **more)


def add(cases, made):
    payload = base64.b64decode(json.loads(made["p256 files sha256"]["signature"].read_text())["dsseEnvelope"]["payload"])
    keyless = Keyless(cases, payload)
    by_the_tool(keyless)
    for version in (1, 2):
        good = keyless.bundle(version)
        keyless.add(f"made here, log version {version}", None, good)
        identities(keyless, version, good)
        certificates(keyless, version)
        logs(keyless, version, good)
        envelopes(keyless, version, good)
        bits(keyless, version, good)
    times(keyless)
    sizes(keyless)
    roots(keyless)
    other_methods(keyless, made)


def by_the_tool(keyless):
    """The official tool signs, with our services in place of the public ones."""
    cases = keyless.cases
    root = keyless.root[0]
    with keyless.sigstore.serving() as address:
        for version in (1, 2):
            for identity, issuer in ((WORKFLOW, ACTIONS), (PERSON, MAIL)):
                config = cases.file("signing.json", json.dumps(trust_config(json.loads(root.read_bytes()), address, version)).encode())
                name = f"by the tool, log version {version}, {identity}"
                signature = cases.output / "signatures" / f"keyless {version} {len(cases.list)}.sig"
                official.sign_as_somebody(cases.model, signature, config, keyless.sigstore.token(identity, issuer))
                keyless.add(name, None, signature=signature, identity=identity, issuer=issuer)


def identities(keyless, version, good):
    other = "the model is signed by somebody else: expected the "
    for name, identity in (
        ("another", WORKFLOW.replace("models", "other")), ("the beginning of", WORKFLOW[:-5]), ("more than", WORKFLOW + "/x"),
        ("in upper case", WORKFLOW.upper()), ("a pattern for", "https://github.com/.*"),
    ):
        keyless.add(f"{name} an identity, {version}", other + f"identity {identity}, got {WORKFLOW}", good, identity=identity)
    for issuer in (MAIL, ACTIONS + "/", ACTIONS[:-1]):
        keyless.add(f"issuer {issuer}, {version}", other + f"issuer {issuer}, got {ACTIONS}", good, issuer=issuer)
    person = keyless.bundle(version, keyless.certificate(PERSON, MAIL))
    keyless.add(f"somebody for a workflow, {version}", other + "identity", person)
    keyless.add(f"somebody's mail, {version}", None, person, identity=PERSON, issuer=MAIL)
    keyless.add(f"the same mail by another issuer, {version}", other + "issuer", person, identity=PERSON)
    hostile = keyless.bundle(version, keyless.certificate("https://a/\n\x1b[31m", ACTIONS))
    keyless.add(f"an identity with control characters, {version}", r"got https://a/\n\u{1b}[31m", hostile)


def certificates(keyless, version):
    def add(name, says, **options):
        keyless.add(f"certificate: {name}, {version}", REFUSED + says, keyless.bundle(version, keyless.certificate(**options)))

    namesake = Sigstore()
    add("by another authority of the same name", "certificate chain is invalid", fulcio=namesake.fulcio)
    add("by another authority", "certificate chain is invalid", fulcio=Sigstore("another").fulcio)
    add("for web servers", "certificate chain is invalid", purpose=ExtendedKeyUsageOID.SERVER_AUTH)
    add("for anything but signatures", "its key usage lacks digitalSignature", uses="key_agreement")
    add("in no log of certificates", "invalid signed certificate timestamp", log=False)
    add("in another log of certificates", "invalid signed certificate timestamp", log=namesake.certificates)
    forged = copy.copy(namesake.certificates)
    forged.promise = lambda certificate, key: keyless.sigstore.certificates.promise(keyless.certificate(), key)
    add("with the promise to another certificate", "invalid signed certificate timestamp", log=forged)
    fulcio = keyless.sigstore.fulcio
    authority = keyless.bundle(version, fulcio.middle)
    keyless.add(f"certificate: an authority's own, {version}", REFUSED, authority)


def times(keyless):
    """When the certificate was used, by the log's word in version 1 and by the time authority's in version 2."""
    for version in (1, 2):
        for name, start, time, says in (
            ("a year ago", now() - 300 * DAY, now() - 300 * DAY + MINUTE, None),
            ("after the certificate", now() - DAY, now(), "certificate chain is invalid"),
            ("before the certificate", now(), now() - DAY, "certificate chain is invalid"),
            ("before there was an authority", now() - 400 * DAY, now() - 400 * DAY, ""),
            ("in the future", now() + 10 * DAY, now() + 10 * DAY + MINUTE, ""),
        ):
            bundle = keyless.bundle(version, keyless.certificate(start=start), time)
            differs = None
            if name == "in the future":
                # A time authority's clock is its own affair; that of the log is looked at.
                differs = version == 1 and "the tool believes a log that is ahead of its time" or None
                says = "invalid integrated time" if version == 1 else None
            keyless.add(f"signed {name}, {version}", says if says is None else REFUSED + says, bundle, differs=differs)
    both = keyless.bundle(1)
    both["verificationMaterial"]["timestampVerificationData"] = {
        "rfc3161Timestamps": [{"signedTimestamp": b64(keyless.stamp(both))}]}
    keyless.add("both times", None, both)
    both = copy.deepcopy(both)
    both["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"] = [
        {"signedTimestamp": b64(keyless.stamp(both, now() - DAY))}]
    keyless.add("two times that contradict each other", REFUSED + "certificate chain is invalid", both)


def logs(keyless, version, good):
    def changed(name, says, change, differs=None):
        bundle = copy.deepcopy(good)
        material = bundle["verificationMaterial"]
        change(material["tlogEntries"][0], material)
        keyless.add(f"log: {name}, {version}", says if says is None else REFUSED + says, bundle, differs=differs)

    def put(*path, value):
        def change(entry, _):
            for step in path[:-1]:
                entry = entry[step]
            entry[path[-1]] = value
        return change

    proof = good["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]
    another = keyless.bundle(version)
    entry = another["verificationMaterial"]["tlogEntries"][0]
    changed("no entry", "", lambda _, material: material.update(tlogEntries=[]))
    changed("no entries", "", lambda _, material: material.pop("tlogEntries"))
    changed("the entry of another signature", "log entry does not match the bundle", lambda _, material: material.update(tlogEntries=[entry]))
    changed("the entry of another body", "invalid inclusion proof", put("canonicalizedBody", value=entry["canonicalizedBody"]) if version == 2
            else lambda mine, _: (mine.update(canonicalizedBody=entry["canonicalizedBody"]), keyless.sigstore.logs[1].promise(mine)))
    changed("an entry of another kind", "", put("kindVersion", value={"kind": "hashedrekord", "version": "0.0.1"}))
    changed("an entry of an unknown kind", "", put("kindVersion", value={"kind": "dsse", "version": "0.0.9"}))
    changed("no proof", "", lambda entry, _: entry.pop("inclusionProof"))
    changed("a hash of the proof", "invalid inclusion proof", put("inclusionProof", "hashes", value=[b64(bytes(32)), *proof["hashes"][1:]]))
    changed("a hash too few", "invalid inclusion proof", put("inclusionProof", "hashes", value=proof["hashes"][1:]))
    changed("a hash too many", "invalid inclusion proof", put("inclusionProof", "hashes", value=[*proof["hashes"], b64(bytes(32))]))
    larger = str(int(proof["treeSize"]) * 4)
    if version == 1:
        changed("the place in the tree", "invalid inclusion proof", put("inclusionProof", "logIndex", value="0"))
        changed("the size of the tree", "invalid inclusion proof", put("inclusionProof", "treeSize", value=larger))
        changed("the root", "", put("inclusionProof", "rootHash", value=b64(bytes(32))))
    else:
        changed("the entry's place", "invalid inclusion proof", put("logIndex", value="0"), COPY)
        changed("the copy of the entry's place", None, put("inclusionProof", "logIndex", value="0"), COPY)
        changed("the copy of the tree's size", None, put("inclusionProof", "treeSize", value=larger), COPY)
        changed("the copy of the root", None, put("inclusionProof", "rootHash", value=b64(bytes(32))), COPY)
    checkpoint = entry["inclusionProof"]["checkpoint"]
    changed("the checkpoint of another tree", "", put("inclusionProof", "checkpoint", value=checkpoint))
    changed("no checkpoint", "", lambda entry, _: entry["inclusionProof"].pop("checkpoint"))
    note = proof["checkpoint"]["envelope"]
    changed("a checkpoint that nobody signed", "", put("inclusionProof", "checkpoint", "envelope", value=note.split("\n\n")[0] + "\n\n"))
    other = Rekor(version)
    keyless.add(f"log: another, {version}", REFUSED, keyless.bundle(version, log=other))
    posing = Rekor(version)
    posing.id = keyless.sigstore.logs[version].id
    keyless.add(f"log: another under the name of the trusted one, {version}", REFUSED, keyless.bundle(version, log=posing))
    if version == 1:
        promises(keyless, changed, put, good, entry)
    else:
        stamps(keyless, changed, good, another)


def promises(keyless, changed, put, good, entry):
    mine = good["verificationMaterial"]["tlogEntries"][0]
    promised = "invalid inclusion promise"
    changed("no promise", "no verified timestamp", lambda entry, _: entry.pop("inclusionPromise"))
    changed("the promise to another", promised, put("inclusionPromise", value=entry["inclusionPromise"]))
    changed("another time", promised, put("integratedTime", value=str(int(mine["integratedTime"]) + 1)))
    changed("no time", "no verified timestamp", lambda entry, _: entry.pop("integratedTime"))
    changed("another index", promised, put("logIndex", value=str(int(mine["logIndex"]) + 1)))
    other = Rekor(1)
    changed("the promise of another log", promised, lambda entry, _: entry.update(inclusionPromise=signed_by(other, entry)))


def signed_by(log, entry):
    entry = copy.deepcopy(entry)
    log.promise(entry)
    return entry["inclusionPromise"]


def stamps(keyless, changed, good, another):
    def stamped(*stamps):
        return lambda _, material: material.update(
            timestampVerificationData={"rfc3161Timestamps": [{"signedTimestamp": b64(stamp)} for stamp in stamps]})

    invalid = "invalid RFC 3161 timestamp"
    mine = keyless.stamp(good)
    changed("no timestamp", "no verified timestamp", stamped())
    changed("the timestamp of another signature", invalid, stamped(keyless.stamp(another)))
    changed("a timestamp by another authority", invalid, stamped(keyless.stamp(good, by=TimeAuthority())))
    posing = TimeAuthority()
    posing.certificate = keyless.sigstore.time.certificate
    changed("a timestamp by another key", invalid, stamped(keyless.stamp(good, by=posing)))
    changed("two timestamps, one by another authority", invalid, stamped(mine, keyless.stamp(good, by=TimeAuthority())),
            differs="the tool is content with one")
    changed("a timestamp that is none", invalid, stamped(b"noise"))


def envelopes(keyless, version, good):
    def changed(name, says, change):
        bundle = copy.deepcopy(good)
        change(bundle["dsseEnvelope"])
        keyless.add(f"envelope: {name}, {version}", says, bundle)

    other = signers.elliptic()
    payload = json.loads(keyless.payload)
    altered = copy.deepcopy(payload)
    altered["predicate"]["resources"][0]["digest"] = "0" * 64
    written = json.dumps(altered).encode()
    changed("another payload", REFUSED + "invalid signature", lambda envelope: envelope.update(payload=b64(written)))
    changed("another signature", REFUSED, lambda envelope: envelope.update(signatures=signers.sign(other, keyless.payload)["signatures"]))
    changed("another payload, signed by another", REFUSED, lambda envelope: envelope.update(signers.sign(other, written)))
    changed("another payload, signed again", REFUSED, lambda envelope: envelope.update(signers.sign(keyless.key, written)))
    changed("two signatures", "expected one signature, got 2", lambda envelope: envelope.update(signatures=envelope["signatures"] * 2))
    changed("no signature", "expected one signature, got 0", lambda envelope: envelope.update(signatures=[]))
    logged = keyless.bundle(version, payload=keyless.payload, key=other)
    keyless.add(f"envelope: signed and logged by another, {version}", REFUSED + "invalid signature", logged)
    for name, statement, says in (
        ("a digest that is not that of all", altered, "the signed statement is not usable: its digests hash to"),
        ("no subject", {**payload, "subject": []}, REFUSED + "it is about nothing"),
        ("no list", {**payload, "predicate": {}}, "the signed statement is not usable"),
        ("another predicate", {**payload, "predicateType": "https://slsa.dev/provenance/v1"}, "the signed statement is not usable: expected the predicate type"),
    ):
        bundle = keyless.bundle(version, payload=json.dumps(statement).encode())
        keyless.add(f"statement: {name}, {version}", says, bundle)
    copied = keyless.cases.copy(f"keyless {version}")
    (copied / "config.json").write_bytes(b"[]\n")
    keyless.add(f"another model, {version}", "config.json is not what was signed", good, directory=copied)


def bits(keyless, version, good):
    """Single bits of everything that is encoded."""
    def holders(bundle):
        material = bundle["verificationMaterial"]
        entry = material["tlogEntries"][0]
        yield "certificate", material["certificate"], "rawBytes", 30
        yield "body", entry, "canonicalizedBody", 12
        yield "signature", bundle["dsseEnvelope"]["signatures"][0], "sig", 6
        yield "payload", bundle["dsseEnvelope"], "payload", 8
        if version == 1:
            yield "promise", entry["inclusionPromise"], "signedEntryTimestamp", 6
            yield "log's name", entry["logId"], "keyId", 4

    names = [name for name, *_ in holders(good)]
    for which, name in enumerate(names):
        bundle = copy.deepcopy(good)
        _, holder, field, samples = list(holders(bundle))[which]
        data = base64.b64decode(holder[field])
        for position in positions(data, samples):
            holder[field] = b64(flipped(data, position))
            keyless.add(f"bit of the {name} at {position}, {version}", "", bundle)
    bundle = copy.deepcopy(good)
    checkpoint = bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["checkpoint"]
    note, rest = checkpoint["envelope"].split("\u2014")
    note, rest = note.rstrip("\n").encode(), "\n\n\u2014" + rest
    for position in positions(note, 16):
        checkpoint["envelope"] = flipped(note, position).decode() + rest
        keyless.add(f"bit of the checkpoint at {position}, {version}", "", bundle)
    head, _, signature = rest.rstrip().rpartition(" ")
    signature = base64.b64decode(signature)
    for position in positions(signature, 6):
        checkpoint["envelope"] = f"{note.decode()}{head} {b64(flipped(signature, position))}\n"
        keyless.add(f"bit of the checkpoint's signature at {position}, {version}", "", bundle)
    if version == 2:
        bits_of_time(keyless, good)


def bits_of_time(keyless, good):
    """Single bits of a timestamp: of the time and what is with it, of what is signed, and of the signature."""
    bundle = copy.deepcopy(good)
    holder = bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"][0]
    stamp = base64.b64decode(holder["signedTimestamp"])
    signed = tsp.TimeStampResp.load(stamp)["time_stamp_token"]["content"]
    signer = signed["signer_infos"][0]
    for name, region in (("time", signed["encap_content_info"]["content"].contents), ("digest", signer["signed_attrs"].contents),
                         ("signature", signer["signature"].native)):
        start = stamp.index(region)
        for position in positions(region, 12):
            holder["signedTimestamp"] = b64(flipped(stamp, start + position))
            keyless.add(f"bit of the timestamp's {name} at {position}", "", bundle)


def sizes(keyless):
    """What would take up memory before anything is checked."""
    bundle = keyless.bundle(1)
    bundle["verificationMaterial"]["tlogEntries"] *= 200
    keyless.add("many entries", REFUSED + "expected at most 262144 bytes beside the payload", bundle)
    statement = json.loads(keyless.payload)
    for name, value in (("objects", [{}] * 200_000), ("lists", [[]] * 800_000), ("numbers", [1] * 4_000_000)):
        payload = json.dumps({**statement, "more": value}, separators=(",", ":")).encode()
        keyless.add(f"many {name}", REFUSED + "its payload lists more than 100000 files may need", keyless.bundle(1, payload=payload),
                    differs="memory is no concern of the tool's")


def roots(keyless):
    """What can be trusted of a Sigstore, and what cannot."""
    good = keyless.bundle(1)
    whole = keyless.sigstore.trusted_root()
    unusable = "the trusted root of Sigstore is not usable: "
    for name, root, says in (
        ("nothing", b"", ""), ("noise", b"\xff", ""), ("a list", b"[]", ""), ("an empty object", b"{}", ""),
        ("the tool's configuration", trust_config(whole), "expected Sigstore's trusted_root.json, found one without a certificate authority"),
        ("no authority", {**whole, "certificateAuthorities": []}, "expected Sigstore's trusted_root.json, found one without a certificate authority"),
        ("no log", {**whole, "tlogs": []}, "expected Sigstore's trusted_root.json, found one without a log of signatures"),
        ("no log of certificates", {**whole, "ctlogs": []}, "expected Sigstore's trusted_root.json, found one without a log of certificates"),
        ("an authority that is none", {**whole, "certificateAuthorities": [{**whole["certificateAuthorities"][0], "certChain": {"certificates": [{"rawBytes": "AAAA"}]}}]}, ""),
        ("a log's key that is none", {**whole, "tlogs": [{**whole["tlogs"][0], "publicKey": {**whole["tlogs"][0]["publicKey"], "rawBytes": "AAAA"}}]}, ""),
    ):
        keyless.add(f"trust: {name}", unusable + says, good, root=keyless.trust(root if isinstance(root, bytes) else json.dumps(root).encode()), code=64)
    later, ended = keyless.sigstore.trusted_root(since=now() + DAY), keyless.sigstore.trusted_root(until=now() - DAY)
    keyless.add("trust: authorities and logs that came later", REFUSED, good, root=keyless.trust(later))
    keyless.add("trust: authorities and logs that had ended", REFUSED, good, root=keyless.trust(ended),
                differs="the tool takes what had ended for what was in use")
    public = importlib.resources.files("sigstore") / "_store/https%3A%2F%2Ftuf-repo-cdn.sigstore.dev/trusted_root.json"
    keyless.add("trust: the public Sigstore", REFUSED, good, root=keyless.trust(public.read_bytes()))
    keyless.add("trust: another Sigstore", REFUSED, good, root=keyless.trust(Sigstore().trusted_root()))
    second = Sigstore("another").trusted_root()
    both = {field: value + second[field] if isinstance(value, list) else value for field, value in whole.items()}
    keyless.add("trust: one of two Sigstores", None, good, root=keyless.trust(both))
    untimed = {**whole, "timestampAuthorities": []}
    keyless.add("trust: no time authority and no need of one", None, good, root=keyless.trust(untimed))
    keyless.add("trust: no time authority", REFUSED + "invalid RFC 3161 timestamp", keyless.bundle(2), root=keyless.trust(untimed))


def other_methods(keyless, made):
    """Trust in one method where another was used, and in several."""
    good = keyless.bundle(1)
    base = made["p256 files sha256"]
    cases = keyless.cases
    cases.add("keyless: where keys are trusted", "the model is signed by Sigstore without a key, but only keys are trusted", bundle=good, key=base["key"])
    certificate = made["certificate p256 files sha256"]["certificate"]
    cases.add("keyless: where authorities are trusted", "the model is signed by Sigstore without a key, but only certificate authorities are trusted",
              bundle=good, certificate=certificate)
    keyless.add("a key where an identity is trusted", "the model is signed by a key, but only identities of Sigstore are trusted", signature=base["signature"])
    keyless.add("a certificate where an identity is trusted", "the model is signed by a certificate, but only identities of Sigstore are trusted",
                signature=made["certificate p256 files sha256"]["signature"])
    # A chain that is called so is one for an authority, whoever made it.
    chained = copy.deepcopy(good)
    material = chained["verificationMaterial"]
    material["x509CertificateChain"] = {"certificates": [material.pop("certificate")]}
    keyless.add("a chain of one", "the model is signed by a certificate, but only identities of Sigstore are trusted", chained)
    for version in ("application/vnd.dev.sigstore.bundle+json;version=0.1", "application/vnd.dev.sigstore.bundle+json;version=0.2"):
        keyless.add(f"a bundle of the type {version}", "expected the media type", {**good, "mediaType": version})
    keyless.add("an unknown field", "unknown field `surprise`", {**good, "surprise": 1})
    strange = copy.deepcopy(good)
    strange["verificationMaterial"]["certificate"] = "AAAA"
    keyless.add("a certificate that is none", REFUSED, strange)
