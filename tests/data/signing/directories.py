"""A directory that is not the one that was signed."""

import os

import official
import signers


def add(cases, made):
    for base in ("p256 files sha256", "p256 shards sha256", "p256 files blake2", "p256 shards blake2", "p256 files blake3"):
        content(cases, base, made[base])
    names(cases, made)
    links(cases, made)


class Changed:
    """Copies of the model with one thing changed each."""

    def __init__(self, cases, name, base):
        self.cases, self.name, self.base = cases, name, base

    def add(self, what, says, change, differs=None):
        copy = self.cases.copy(f"{len(self.cases.list)}")
        change(copy)
        how = None if self.base["how"] == {"method": "files", "algorithm": "sha256"} else self.base["how"]
        self.cases.add(f"{self.name}: {what}", says, directory=copy, differs=differs, **{**self.base, "how": how})


def flip(name, position):
    def change(folder):
        data = bytearray((folder / name).read_bytes())
        data[position] ^= 0x80
        (folder / name).write_bytes(data)
    return change


def write(name, data):
    def change(folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return change


def content(cases, name, base):
    add = Changed(cases, name, base).add
    weights = "model.safetensors"
    wrong = f"{weights} is not what was signed: expected "
    sharded = base["how"]["method"] == "shards"
    for position in (0, 999_999, 1_000_000, 3_499_999):
        shard = position // official.SHARD_SIZE * official.SHARD_SIZE
        part = f"{weights}, bytes {shard} to {min(shard + official.SHARD_SIZE, 3_500_000)}, is not what was signed"
        add(f"byte {position}", part if sharded else wrong, flip(weights, position))
    size = "3500000 bytes, got " if sharded else ""
    add("truncated by a byte", wrong + size, lambda folder: os.truncate(folder / weights, 3_499_999))
    add("truncated at a shard", wrong + size, lambda folder: os.truncate(folder / weights, 3_000_000))
    add("truncated to nothing", wrong + size, lambda folder: os.truncate(folder / weights, 0))
    add("a byte more", wrong + size, lambda folder: os.truncate(folder / weights, 3_500_001))
    add("missing", "signed, but not there: config.json", lambda folder: (folder / "config.json").unlink())
    add("one more", "not signed, but there: deep/er/new", write("deep/er/new", b"x"))
    add("an empty one more", None if sharded else "not signed, but there: empty", write("empty", b""))


def names(cases, made):
    add = Changed(cases, "directory", made["p256 files sha256"]).add
    add("several more", "not signed, but there: a1, a2, a3 and 2 more",
        lambda folder: [write(f"a{number}", b"x")(folder) for number in range(1, 6)])
    add("renamed", "not signed, but there: config.jsom", lambda folder: (folder / "config.json").rename(folder / "config.jsom"))
    add("an empty folder", None, lambda folder: (folder / "new").mkdir())

    def folder_for_file(folder):
        (folder / "config.json").unlink()
        (folder / "config.json").mkdir()
    add("a folder for a file", "signed, but not there: config.json", folder_for_file)
    add("a pipe", "pipe is neither a file nor a folder", lambda folder: os.mkfifo(folder / "pipe"))
    add("a name that is not UTF-8", "is not UTF-8", lambda folder: open(os.fsencode(folder) + b"/\xff", "wb").close())
    add("a name with a line break", "unsafe path", write("a\nb", b"x"))
    for ignored in (".git/config", ".github/workflows/x.yml", ".gitignore", ".gitattributes", "model.sig"):
        add(f"{ignored}, which nobody signs", None, write(ignored, b"x"))
    for signed in ("code/.gitignore", "code/model.sig", ".gitmodules", ".gitx/config"):
        add(signed, f"not signed, but there: {signed}", write(signed, b"x"))
    add("the fetcher's own state", None, write(".plimsoll/anything", b"x"), differs="it is the fetcher's own, and no model")
    add("the fetcher's own state further below", "not signed, but there: code/.plimsoll/x", write("code/.plimsoll/x", b"x"))


def links(cases, made):
    base = made["p256 files sha256"]
    add = Changed(cases, "directory", base).add
    link = lambda target, name: lambda folder: os.symlink(target, folder / name)
    outside = cases.file("outside", b"{}\n")

    def for_file(target):
        def change(folder):
            (folder / "config.json").rename(folder / "code" / "moved")
            os.symlink(target, folder / "config.json")
        return change
    refused = " is a link, and the signer allowed none"
    add("a link instead of a file", "config.json" + refused, for_file("code/moved"))
    add("a link more", "new" + refused, link("config.json", "new"))
    add("a link to a folder", "new" + refused, link("code", "new"))
    add("a link below what is ignored", ".git/new" + refused, lambda folder: [(folder / ".git").mkdir(), link(outside, ".git/new")(folder)])

    # Signed with links: those that stay inside are followed as the tool does.
    linked = cases.copy("linked")
    os.symlink("config.json", linked / "alias.json")
    os.symlink("code", linked / "folder")
    private, public = cases.key("linked", signers.elliptic())
    how = {"method": "files", "algorithm": "sha256", "links": True}
    signature = linked / "model.sig"
    official.sign_with_key(linked, signature, private, **how)
    base = {"signature": signature, "key": public, "how": how}
    cases.add("links: inside", None, directory=linked, **base)

    def copied(what, says, change, differs=None):
        copy = cases.output / "models" / f"{len(cases.list)}"
        cases.shutil.copytree(linked, copy, symlinks=True)
        change(copy)
        cases.add(f"links: {what}", says, directory=copy, differs=differs, **{**base, "signature": copy / "model.sig"})

    def elsewhere(target):
        def change(folder):
            (folder / "alias.json").unlink()
            os.symlink(target, folder / "alias.json")
        return change
    out = " is a link that leads out of the directory, or nowhere"
    reason = "what is outside is another on every machine"
    copied("to the same content outside", "alias.json" + out, elsewhere(outside), differs=reason)
    copied("to a folder outside", "out" + out, link("/etc", "out"), differs=reason)
    copied("to nothing", "alias.json" + out, elsewhere("nothing"))
    copied("in a circle", "alias.json" + out, elsewhere("alias.json"))
    copied("to other content inside", "alias.json is not what was signed", elsewhere("model.safetensors"))
    copied("that nobody signed", "not signed, but there: new", link("config.json", "new"))
    copied("a file for a link", None, lambda folder: [(folder / "alias.json").unlink(), write("alias.json", b"{}\n")(folder)])
