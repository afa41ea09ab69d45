"""Certificate chains that must not be believed, and a few unusual ones that must."""

import base64
import json

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

import signers
from bundles import MISMATCH, flipped, positions
from signers import DAY, NOW, YEAR, Authority

PURPOSES = ExtendedKeyUsageOID
NOT_VOUCHED = "is not vouched for by a trusted authority: "


class Chains:
    """One signer's statement under chain after chain."""

    def __init__(self, cases, made):
        self.cases = cases
        bundle = json.loads(made["p256 files sha256"]["signature"].read_text())
        self.payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
        self.key = signers.elliptic()

    def add(self, case, says, authority, chain=None, trusted=None, key=None, differs=None, code=65, **leaf):
        """Signed by a leaf of `authority`; `trusted` and `chain` are the usual ones if not given."""
        key = key or self.key
        if chain is None:
            chain = [authority.signer(key, **leaf), authority.middle]
        trusted = trusted or [authority.root]
        certificate = self.cases.file(f"trusted {len(self.cases.list)}.pem", signers.pem(*trusted))
        bundle = signers.by_chain(key, chain, self.payload)
        self.cases.add(f"chain: {case}", says, bundle=bundle, certificate=certificate, differs=differs, code=code)


def add(cases, made):
    chains = Chains(cases, made)
    good = Authority()
    chains.add("usual", None, good)
    paths(chains, good)
    times(chains)
    uses(chains, good)
    authorities(chains)
    other_algorithms(chains)
    altered(cases, chains, good)
    trust(cases, chains, good, made)


def paths(chains, good):
    add, leaf = chains.add, good.signer(chains.key)
    other = Authority("Another")
    add("another authority is trusted", NOT_VOUCHED + "no certificate of its issuer", good, trusted=[other.root])
    namesake = Authority()
    add("another authority of the same name is trusted", NOT_VOUCHED + "a certificate's signature is not its issuer's", good,
        trusted=[namesake.root])
    add("one of two authorities is trusted", None, good, trusted=[other.root, good.root])
    add("two authorities of the same name are trusted", None, good, trusted=[namesake.root, good.root],
        differs="the tool tries one of several authorities of a name")
    add("no authority between", NOT_VOUCHED + "no certificate of its issuer", good, chain=[leaf])
    add("the authority between is with the trusted ones", None, good, chain=[leaf], trusted=[good.root, good.middle])
    add("the root is in the chain", None, good, chain=[leaf, good.middle, good.root])
    add("the root is in the chain and not trusted", NOT_VOUCHED, good, chain=[leaf, good.middle, good.root], trusted=[other.root])
    add("out of order behind the first", None, good, chain=[leaf, good.root, good.middle])
    add("the signer's is not the first", NOT_VOUCHED + "it is a certificate authority itself", good, chain=[good.middle, leaf])
    add("no certificates", "expected 1 to 10 certificates, got 0", good, chain=[])
    add("ten certificates", None, good, chain=[leaf, good.middle] + [other.root] * 8)
    add("eleven certificates", "expected 1 to 10 certificates, got 11", good, chain=[leaf, good.middle] + [other.root] * 9,
        differs="a chain has an end")
    itself = signers.certify("itself", chains.key, ca=False, usage=("digital_signature",))
    add("signed by itself, nobody's", NOT_VOUCHED, good, chain=[itself])
    stranger = signers.elliptic()
    certificate = good.signer(chains.key)
    bundle = signers.by_chain(stranger, [certificate, good.middle], chains.payload)
    trusted = chains.cases.file("stranger.pem", signers.pem(good.root))
    chains.cases.add("chain: another key than the certificate's", MISMATCH, bundle=bundle, certificate=trusted)
    add("a signer without a name", None, good, name="")


def times(chains):
    """The clock stands where the signer's certificate begins."""
    add = chains.add
    begin = NOW - YEAR
    early, late = {"end": begin - DAY}, {"start": begin + DAY}
    expired = NOT_VOUCHED + "a certificate had expired"
    not_yet = NOT_VOUCHED + "a certificate was not valid yet"
    add("the authority between had expired", expired, Authority(middle=early))
    add("the authority between was not valid yet", not_yet, Authority(middle=late))
    add("the root had expired", NOT_VOUCHED + "CN=Example root had expired", Authority(root=early))
    add("the root was not valid yet", NOT_VOUCHED + "CN=Example root was not valid yet", Authority(root=late))
    add("authorities that expired after signing", None, Authority(root={"end": NOW - DAY}, middle={"end": NOW - DAY}))
    add("a signer that expired after signing", None, Authority(), end=begin + DAY)
    add("a signer of the future", None, Authority(), start=NOW + YEAR)
    add("a signer beyond the authorities", expired, Authority(), start=NOW + 20 * YEAR, end=NOW + 21 * YEAR)
    key = signers.elliptic()
    old, new = Authority(root=early, root_key=key), Authority(root_key=key)
    add("a root that was renewed", None, new, trusted=[old.root, new.root])
    add("a root that was not renewed", NOT_VOUCHED + "CN=Example root had expired", new, trusted=[old.root])


def uses(chains, good):
    """What the signer's certificate is for."""
    add = chains.add
    both = "a certificate that says both must be for both, so that no web server's signs models"
    web = (PURPOSES.SERVER_AUTH,)
    add("for signatures alone", None, good, purposes=())
    add("for code alone", None, good, usage=())
    add("for code among others", None, good, purposes=(PURPOSES.SERVER_AUTH, PURPOSES.CODE_SIGNING))
    add("a web server's", "a certificate's extended key usage lacks codeSigning", good, purposes=web, differs=both)
    add("a web server's without key usage", "extended key usage lacks codeSigning", good, usage=(), purposes=web)
    add("for any purpose", "extended key usage lacks codeSigning", good, purposes=(PURPOSES.ANY_EXTENDED_KEY_USAGE,), differs=both)
    add("for encryption", "CN=release team must not sign: its key usage lacks digitalSignature", good, usage=("key_encipherment",),
        purposes=())
    add("for code, but not for signatures", "its key usage lacks digitalSignature", good, usage=("key_encipherment",), differs=both)
    add("for nothing", "it has neither a key usage nor an extended one", good, usage=(), purposes=())
    add("an authority's", NOT_VOUCHED + "it is a certificate authority itself", good, ca=True,
        differs="an authority signs certificates")
    unknown = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00")
    add("an unknown extension", None, good, extra=((unknown, False),))
    add("an unknown extension that is critical", "it has a critical extension that is not known", good, extra=((unknown, True),))


def authorities(chains):
    """What is above the signer."""
    add = chains.add
    ca = {"ca": True, "usage": ("key_cert_sign",)}
    add("not an authority between", NOT_VOUCHED + "a certificate between is no certificate authority", Authority(middle={"ca": False}))
    add("nothing said about being an authority", NOT_VOUCHED, Authority(middle={"ca": None}))
    add("an authority that may not certify", "CN=Example signing authority may not sign certificates",
        Authority(middle={"usage": ("digital_signature",)}))
    add("an authority for web servers", NOT_VOUCHED + "a certificate's extended key usage lacks codeSigning",
        Authority(middle={"purposes": (PURPOSES.SERVER_AUTH,)}), differs="what an authority is for holds for all below it")
    add("an authority for code", None, Authority(middle={"purposes": (PURPOSES.CODE_SIGNING,)}))
    add("a root that allows none between", NOT_VOUCHED + "CN=Example root allows fewer intermediate authorities", Authority(root={"length": 0}))
    add("a root that allows one between", None, Authority(root={"length": 1}))

    for length, says in ((0, NOT_VOUCHED + "there are more intermediate authorities"), (1, None)):
        authority = Authority(middle={"length": length})
        key = signers.elliptic()
        below = signers.certify("below", key, issuer=(authority.middle, authority.middle_key), **ca)
        leaf = signers.certify("release team", chains.key, issuer=(below, key), usage=("digital_signature",))
        add(f"two between where {length} more may be", says, authority, chain=[leaf, below, authority.middle])


def other_algorithms(chains):
    """Authorities with keys of their own kind."""
    add = chains.add
    for curve in signers.CURVES:
        add(f"authorities on {curve}", None, Authority(curve=curve))
    keys = signers.other_keys()
    add("a root with RSA", None, Authority(root_key=keys["rsa"]))
    add("a root with Ed25519", None, Authority(root_key=keys["ed25519"]))
    good = Authority()
    for name in ("rsa", "ed25519", "secp256k1"):
        leaf = good.signer(keys[name])
        bundle = signers.by_chain(chains.key, [leaf, good.middle], chains.payload)
        trusted = chains.cases.file(f"for {name}.pem", signers.pem(good.root))
        chains.cases.add(f"chain: a signer with {name}", "the key of CN=release team is not usable", bundle=bundle, certificate=trusted)


def altered(cases, chains, good):
    """Single bits of each certificate."""
    trusted = cases.file("altered.pem", signers.pem(good.root))
    bundle = signers.by_chain(chains.key, [good.signer(chains.key), good.middle], chains.payload)
    certificates = bundle["verificationMaterial"]["x509CertificateChain"]["certificates"]
    for which, holder in enumerate(certificates):
        data = base64.b64decode(holder["rawBytes"])
        for position in positions(data, 40):
            holder["rawBytes"] = signers.b64(flipped(data, position))
            cases.add(f"chain: bit of certificate {which} at {position}", "the signing certificate is not acceptable: ", bundle=bundle, certificate=trusted)
        holder["rawBytes"] = signers.b64(data)
    for name, content in (("nothing", b""), ("noise", b"noise"), ("cut", data[:-1]), ("more behind it", data + b"\0")):
        certificates[0]["rawBytes"] = signers.b64(content)
        cases.add(f"chain: {name} for a certificate", "certificate 1 of the signature cannot be read", bundle=bundle, certificate=trusted)


def trust(cases, chains, good, made):
    """What cannot be trusted, and trust in the other method."""
    unusable = "the trusted certificate authority is not usable: "
    leaf = good.signer(chains.key)
    itself = signers.certify("itself", chains.key, ca=False, usage=("digital_signature",))
    add = lambda name, says, **more: chains.add(f"trust in {name}", unusable + says, good, code=64, **more)
    add("an intermediate authority alone", "expected a root", trusted=[good.middle])
    add("a signer", "CN=release team is no certificate authority", trusted=[leaf])
    add("a signer that certified itself", "CN=itself is no certificate authority", trusted=[itself], chain=[itself],
        differs="such a key is named as a key")
    add("a root and a signer", "CN=release team is no certificate authority", trusted=[good.root, leaf],
        differs="who names a signer as an authority means something else")
    bundle = signers.by_chain(chains.key, [leaf, good.middle], chains.payload)
    for name, content in (("nothing", b""), ("noise", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
                          ("a key", signers.public_pem(chains.key))):
        file = cases.file(f"trust {name}.pem", content)
        cases.add(f"chain: trust in {name}", unusable, bundle=bundle, certificate=file, code=64)
    base = made["p256 files sha256"]
    root = cases.file("for keys.pem", signers.pem(good.root))
    cases.add("chain: trust for a signature by a key", "signed by a key, but only certificate authorities are trusted",
              signature=base["signature"], certificate=root)
