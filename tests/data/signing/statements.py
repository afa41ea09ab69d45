"""The signed payload, changed in every field and signed again by the right key: only the content is wrong."""

import base64
import copy
import hashlib
import json

import official
import signers
from bundles import MISMATCH

UNUSABLE = "the signed statement is not usable: "
SHA512 = "ab" * 64


def rooted(statement):
    """The digest over all digests, as it must be."""
    digests = b"".join(bytes.fromhex(resource["digest"]) for resource in statement["predicate"]["resources"])
    statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(digests).hexdigest()


class Changes:
    """Changes of one signature's statement."""

    def __init__(self, cases, made, name):
        self.cases, self.name, self.base = cases, name, made[name]
        self.key = made["p256"]
        bundle = json.loads(self.base["signature"].read_text())
        self.bundle = bundle
        self.good = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))

    def add(self, what, says, change, differs=None, root=False, how=None):
        """Signed again; with `root`, the digest over all is made right first."""
        statement = copy.deepcopy(self.good)
        statement = change(statement) or statement
        if root:
            rooted(statement)
        bundle = signers.by_key(self.key, statement)
        how = how or self.base["how"]
        if how == {"method": "files", "algorithm": "sha256"}:
            how = None  # This one the tool guesses, so that what the statement says of it counts.
        self.cases.add(f"{self.name}: {what}", says, bundle=bundle, key=self.base["key"], how=how, differs=differs)

    def unsigned(self, what, change):
        """Under the old signature."""
        statement = copy.deepcopy(self.good)
        change(statement)
        bundle = copy.deepcopy(self.bundle)
        bundle["dsseEnvelope"]["payload"] = signers.b64(json.dumps(statement).encode())
        self.cases.add(f"{self.name}: {what}, unsigned", MISMATCH, bundle=bundle, key=self.base["key"], how=self.base["how"])


def add(cases, made):
    changes = Changes(cases, made, "p256 files sha256")
    changes.add("signed again as it is", None, lambda s: None)
    heads(changes)
    resources(changes)
    serialization(changes)
    raw(cases, made)
    shards(Changes(cases, made, "p256 shards sha256"))
    shards_alone(Changes(cases, made, "p256 shards sha256"))
    other_hashes(cases, made)


def set_in(*path, value):
    def change(statement):
        for step in path[:-1]:
            statement = statement[step]
        statement[path[-1]] = value
    return change


def drop(*path):
    def change(statement):
        for step in path[:-1]:
            statement = statement[step]
        del statement[path[-1]]
    return change


def heads(changes):
    """Everything but the list of files."""
    add = changes.add
    add("type", UNUSABLE + "expected the type", set_in("_type", value="https://in-toto.io/Statement/v0.1"))
    add("no type", UNUSABLE + "missing field `_type`", drop("_type"))
    add("predicate type", UNUSABLE + "expected the predicate type", set_in("predicateType", value="https://slsa.dev/provenance/v1"))
    add("no predicate type", UNUSABLE + "missing field `predicateType`", drop("predicateType"))

    def before_1_0(statement):
        statement["predicateType"] = "https://model_signing/Digests/v0.1"
        statement["subject"] = [{"name": r["name"], "digest": {"sha256": r["digest"]}} for r in statement["predicate"]["resources"]]
    add("of the tool before version 1.0", UNUSABLE + "expected the predicate type", before_1_0,
        differs="an experimental form without a digest over all, which nobody makes any more")

    subject = changes.good["subject"][0]
    add("no subject", UNUSABLE + "expected one subject, got 0", set_in("subject", value=[]))
    add("two subjects", UNUSABLE + "expected one subject, got 2", set_in("subject", value=[subject, subject]))
    add("another subject's digest", "its digests hash to ", set_in("subject", 0, "digest", "sha256", value="0" * 64))
    add("subject's digest in upper case", "its digests hash to ",
        set_in("subject", 0, "digest", "sha256", value=subject["digest"]["sha256"].upper()))
    add("subject with another hash", "missing field `sha256`", set_in("subject", 0, "digest", value={"sha512": SHA512}))
    add("subject with a second hash", None, set_in("subject", 0, "digest", "sha512", value=SHA512))
    add("another name of the subject", None, set_in("subject", 0, "name", value="another"))
    add("no predicate", "missing field `predicate`", drop("predicate"))
    add("no serialization", "missing field `serialization`", drop("predicate", "serialization"))
    add("no resources", "missing field `resources`", drop("predicate", "resources"))
    add("more in the predicate", None, set_in("predicate", "card", value={"license": "MIT"}))
    changes.unsigned("another subject's digest", set_in("subject", 0, "digest", "sha256", value="0" * 64))
    changes.unsigned("predicate type", set_in("predicateType", value="x"))


def resources(changes):
    """The list of files. Names are told by their place: 0 is `a folder/…`, 1 `code/__init__.py`, which is empty."""
    add, good = changes.add, changes.good["predicate"]["resources"]
    resource = lambda index, field, value: set_in("predicate", "resources", index, field, value=value)
    listed = lambda value: set_in("predicate", "resources", value=value)
    digest = good[2]["digest"]
    other = hashlib.sha256(b"other").hexdigest()
    add("another digest", "its digests hash to ", resource(2, "digest", other))
    add("another digest, and the one over all", "config.json is not what was signed: expected sha256:" + other,
        resource(2, "digest", other), root=True)
    add("digest in upper case", "in lower case", resource(2, "digest", digest.upper()),
        differs="a digest that is written in two ways is compared in two ways")
    add("digest with spaces", "expected a digest of sha256", resource(2, "digest", " ".join([digest[:32], digest[32:]])),
        differs="as above")
    add("digest that is cut", "expected a digest of sha256", resource(2, "digest", digest[:-2]), root=True)
    add("digest of half a byte", "expected a digest of sha256", resource(2, "digest", digest[:-1]))
    add("empty digest", "expected a digest of sha256", resource(2, "digest", ""), root=True)
    add("algorithm of one", "expected the algorithm sha256, got `sha512`", resource(2, "algorithm", "sha512"))
    add("algorithm of one, of the same length", "expected the algorithm sha256, got `blake3`", resource(2, "algorithm", "blake3"))
    add("another name", "not signed, but there: config.json", resource(2, "name", "config.jsom"))
    for name in ("../config.json", "/etc/passwd", "a/../config.json", ""):
        add(f"name {name!r}", "unsafe path", resource(0, "name", name))
    for name in ("code/./__init__.py", "code//__init__.py", "./code/__init__.py", "code/__init__.py/"):
        add(f"name {name!r}", "unsafe path", resource(1, "name", name),
            differs="one file has one name")
    add("reordered, digest over all as it was", "not sorted", listed(good[::-1]))
    add("reordered", "its names are not sorted", listed(good[::-1]), root=True,
        differs="the digest over all names a model, so there is one order")
    add("sorted by the bytes of names", None, listed(sorted(good, key=lambda r: r["name"])), root=True)
    add("the same twice", "code/__init__.py is listed twice", listed(good[:2] + good[1:]), root=True,
        differs="the last one counts for the tool")
    twice = [good[0], {**good[1], "digest": other}, *good[1:]]
    add("one name with two digests", "code/__init__.py is listed twice", listed(twice), root=True, differs="as above")
    add("one missing", "not signed, but there: config.json", listed(good[:2] + good[3:]), root=True)
    add("one missing, digest over all as it was", "its digests hash to ", listed(good[:2] + good[3:]))
    more = {**good[0], "name": "zzz"}
    add("one more", "signed, but not there: zzz", listed([*good, more]), root=True)
    add("one more, digest over all as it was", "its digests hash to ", listed([*good, more]))
    add("none", "it lists no file", listed([]), root=True)
    for field in ("name", "algorithm", "digest"):
        add(f"no {field}", f"missing field `{field}`", drop("predicate", "resources", 0, field))
    changes.unsigned("another digest", resource(2, "digest", other))
    changes.unsigned("another name", resource(2, "name", "config.jsom"))
    changes.unsigned("algorithm of one", resource(2, "algorithm", "blake3"))


def serialization(changes):
    add = changes.add
    field = lambda name, value: set_in("predicate", "serialization", name, value=value)
    for value in ("blake3", "blake2b"):
        add(f"hash {value}", f"expected the algorithm {value}, got `sha256`", field("hash_type", value))
    for value in ("md5", "blake2", "SHA256", ""):
        add(f"hash {value!r}", "expected the hash sha256, blake2b or blake3", field("hash_type", value))
    add("method shards", "expected a shard size", field("method", "shards"))
    add("method chunks", "expected the method files or shards, got `chunks`", field("method", "chunks"))
    add("shard size beside files", None, field("shard_size", 1))
    add("links allowed, and none there", None, field("allow_symlinks", True))
    add("links allowed as text", "expected a boolean", field("allow_symlinks", "false"),
        differs="for the tool every text but an empty one means yes")
    for name in ("method", "hash_type", "allow_symlinks"):
        add(f"no {name}", f"missing field `{name}`", drop("predicate", "serialization", name))
    ignored = changes.good["predicate"]["serialization"]["ignore_paths"]
    add("a signed file ignored", "config.json is signed and ignored at the same time", field("ignore_paths", [*ignored, "config.json"]))
    add("a signed folder ignored", "signed and ignored at the same time", field("ignore_paths", [*ignored, "deep/er"]))
    add("the beginning of a name ignored", None, field("ignore_paths", [*ignored, "config", "deep/e"]))
    add("other directories ignored", None, field("ignore_paths", [*ignored, "/etc", "../.."]))
    add("nothing ignored", None, drop("predicate", "serialization", "ignore_paths"))
    add("ignored as text", "expected a sequence", field("ignore_paths", "config.jso"))
    changes.unsigned("hash", field("hash_type", "blake3"))
    changes.unsigned("method", field("method", "shards"))
    changes.unsigned("ignored", field("ignore_paths", ["config.json"]))


def raw(cases, made):
    """Payloads that are no statements."""
    base, key = made["p256 files sha256"], made["p256"]
    good = base64.b64decode(json.loads(base["signature"].read_text())["dsseEnvelope"]["payload"])
    doubled = good.replace(b'"predicateType"', b'"predicateType": "x", "predicateType"', 1)
    payloads = {
        "nothing": (b"", None),
        "a list": (b"[]", None),
        "half": (good[: len(good) // 2], None),
        "more behind it": (good + b"{}", None),
                "a field twice": (doubled, "JSON readers disagree on which of two fields counts"),
        "not UTF-8": (good.replace(b"config.json", b"config.jso\xff"), None),
    }
    for name, (payload, differs) in payloads.items():
        cases.add(f"payload: {name}", UNUSABLE, bundle=signers.by_key(key, payload), key=base["key"], differs=differs)
    deep = good[:-2] + b', "x": ' + b"[" * 500 + b"]" * 500 + b"}"
    cases.add("payload: depth in what is ignored", None, bundle=signers.by_key(key, deep), key=base["key"])


def shards(changes):
    """Shards that leave out, repeat or misname something."""
    add, good = changes.add, changes.good["predicate"]["resources"]
    size = official.SHARD_SIZE
    first = next(index for index, r in enumerate(good) if r["name"].endswith(f":0:{size}"))
    path = good[first]["name"].split(":")[0]
    name = lambda index, value: set_in("predicate", "resources", index, "name", value=value)
    listed = lambda value: set_in("predicate", "resources", value=value)
    cut = lambda index: listed(good[:index] + good[index + 1 :])
    add("signed again as it is", None, lambda s: None)
    gap = f"the shards of {path} do not follow each other at "
    add("first shard missing", gap, cut(first), root=True)
    add("shard in the middle missing", gap, cut(first + 1), root=True)
    add("last shard missing", f"{path} is not what was signed: expected {3 * size} bytes, got 3500000", cut(first + 3), root=True)
    add("gap", gap, name(first + 1, f"{path}:{size + 1}:{2 * size}"))
    add("overlap", gap, name(first + 1, f"{path}:{size - 1}:{2 * size}"))
    add("the same twice", "not sorted, or one is listed twice", listed(good[: first + 1] + good[first:]), root=True, differs="the last one counts for the tool")
    add("end before the start", gap, name(first + 1, f"{path}:{size}:{size}"))
    add("too long", gap, name(first + 3, f"{path}:{3 * size}:{5 * size}"))
    add("beyond the end", "expected 3500001 bytes, got 3500000", name(first + 3, f"{path}:{3 * size}:3500001"))
    for bad in (f"{path}:0", path, f"{path}:0:{size}:1", f"{path}::", f"{path}:0:-1", f"{path}:0:99999999999999999999"):
        add(f"name {bad!r}", "expected `path:start:end`", name(first, bad))
    for other in (f"{path}:00:{size}", f"{path}:+0:{size}", f"{path}: 0:{size}", f"{path}:0:1_000_000"):
        add(f"name {other!r}", "expected `path:start:end`", name(first, other), differs="one shard has one name")
    add("unsafe name", "unsafe path", name(0, f"../x:{':'.join(good[0]['name'].split(':')[1:])}"))
    add("reordered", "not sorted", listed(good[::-1]), root=True, differs="the digest over all names a model, so there is one order")
    add("digest of another shard", "is not what was signed: expected sha256:",
        set_in("predicate", "resources", first + 1, "digest", value=good[first]["digest"]), root=True)
    add("algorithm without its size", "expected the algorithm sha256-sharded-1000000, got `sha256`",
        set_in("predicate", "resources", first, "algorithm", value="sha256"))


def shards_alone(changes):
    """What the tool reads only where it guesses, which fails for every signature by shards, good ones included."""
    why = "the tool is told how content is hashed, and does not look"
    field = lambda name, value: set_in("predicate", "serialization", name, value=value)
    for value in (0, -1, 1.5, "1000000", 1e300, None):
        says = "invalid type" if isinstance(value, str) else "expected a shard size"
        changes.add(f"shard size {value!r}", says, field("shard_size", value), differs=why)
    changes.add("another shard size", "expected the algorithm sha256-sharded-999999", field("shard_size", 999_999), differs=why)
    changes.add("method files", "expected the algorithm sha256, got `sha256-sharded-1000000`", field("method", "files"))
    changes.add("hash", "expected the algorithm blake2b-sharded-1000000", field("hash_type", "blake2b"), differs=why)
    changes.add("shards of BLAKE3", "expected files with blake3, got shards", field("hash_type", "blake3"), differs=why)


def other_hashes(cases, made):
    """A wrong digest is found whatever the hash."""
    for name in ("p256 files blake2", "p256 files blake3", "p256 shards blake2"):
        changes = Changes(cases, made, name)
        good = changes.good["predicate"]["resources"]
        label = "blake3:" if "blake3" in name else "blake2b:"
        changes.add("another digest", "is not what was signed: expected " + label,
                    set_in("predicate", "resources", 0, "digest", value=good[-1]["digest"]), root=True)
        changes.add("digest that is cut", "expected a digest of " + label[:-1],
                    set_in("predicate", "resources", 0, "digest", value=good[0]["digest"][:-2]), root=True)
