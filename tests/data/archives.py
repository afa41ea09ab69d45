"""Packs models as Python does, and makes archives that do harm.

    archives.py pack DIRECTORY ARCHIVE stored|deflated|streamed|wide|python
    archives.py hostile KIND ARCHIVE
"""

import io
import pathlib
import struct
import sys
import tarfile
import zipfile
import zlib


def pack(directory, archive, how):
    directory = pathlib.Path(directory)
    names = sorted(path for path in directory.rglob("*"))
    if how == "python":
        with tarfile.open(archive, "w:gz") as packed:
            for path in names:
                packed.add(path, path.relative_to(directory), recursive=False)
        return
    method = zipfile.ZIP_STORED if how == "stored" else zipfile.ZIP_DEFLATED
    if how == "streamed":
        # To a stream that cannot be gone back in: sizes stand behind the contents.
        with open(archive, "wb") as target:
            target.seekable = lambda: False
            pack_zip(Unseekable(target), names, directory, method, False)
    else:
        pack_zip(archive, names, directory, method, how == "wide")


class Unseekable(io.RawIOBase):
    def __init__(self, target):
        self.target = target

    def writable(self):
        return True

    def seekable(self):
        return False

    def write(self, content):
        return self.target.write(content)


def pack_zip(target, names, directory, method, wide):
    if wide:
        # Everything is too large for 32 bits.
        zipfile.ZIP64_LIMIT = zipfile.ZIP_FILECOUNT_LIMIT = 0
    with zipfile.ZipFile(target, "w", method) as packed:
        for path in names:
            name = str(path.relative_to(directory))
            if path.is_dir():
                if not wide:
                    packed.writestr(name + "/", b"")
            else:
                with packed.open(zipfile.ZipInfo(name) if wide else name, "w", force_zip64=wide) as member:
                    member.write(path.read_bytes())


def tar(members, end=True):
    """A tar of (name, content, changes)."""
    target = io.BytesIO()
    packed = tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT)
    for name, content, changes in members:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        for key, value in changes.items():
            setattr(member, key, value)
        packed.addfile(member, io.BytesIO(content))
    if end:
        packed.close()
    return target.getvalue()


def zipped(name, content, method=zipfile.ZIP_STORED, mode=None):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as packed:
        member = zipfile.ZipInfo(name)
        member.compress_type = method
        if mode is not None:
            member.create_system, member.external_attr = 3, mode << 16
        packed.writestr(member, content)
    return target.getvalue()


def bomb(size):
    packer = zlib.compressobj(9, wbits=31)
    head = tarfile.TarInfo("zeros.bin")
    head.size = size
    chunks = [packer.compress(head.tobuf())]
    for _ in range(size >> 20):
        chunks.append(packer.compress(bytes(1 << 20)))
    chunks.append(packer.compress(bytes(1024)))
    return b"".join(chunks) + packer.flush()


def hostile(kind):
    plain = ("a.bin", b"a" * 1000, {})
    link = lambda to: ("link", b"", {"type": tarfile.SYMTYPE, "linkname": to})
    hard = lambda to: ("b.bin", b"", {"type": tarfile.LNKTYPE, "linkname": to})
    tars = {
        "climbs": [plain, ("../outside", b"x", {})],
        "absolute": [plain, ("/etc/passwd", b"x", {})],
        "reserved": [plain, (".plimsoll/receipt.json", b"x", {})],
        "twice": [plain, ("./a.bin", b"x", {})],
        "only-case": [plain, ("A.BIN", b"x", {})],
        "file-as-folder": [plain, ("a.bin/b", b"x", {})],
        "link-inside": [plain, link("a.bin")],
        "link-outside": [plain, link("../../etc/passwd")],
        "device": [plain, ("null", b"", {"type": tarfile.CHRTYPE})],
        "pipe": [plain, ("pipe", b"", {"type": tarfile.FIFOTYPE})],
        "hard-link-inside": [plain, hard("./a.bin")],
        "hard-link-outside": [plain, hard("../../etc/passwd")],
        "sparse": [plain, ("sparse.bin", b"x", {"pax_headers": {"GNU.sparse.major": "1"}})],
        "folders-only": [("folder", b"", {"type": tarfile.DIRTYPE})],
    }
    if kind in tars:
        return tar(tars[kind])
    if kind == "glued":
        return tar([plain]) + tar([("b.bin", b"x", {})])
    if kind == "no-end":
        return tar([plain], end=False)
    if kind == "gzip-bomb":
        return bomb(256 << 20)
    if kind == "gzip-large":
        return bomb(2 << 20)
    if kind == "zip-climbs":
        return zipped("../outside", b"x")
    if kind == "zip-link":
        return zipped("link", b"a.bin", mode=0o120777)
    if kind == "zip-bzip2":
        return zipped("a.bin", b"x" * 1000, zipfile.ZIP_BZIP2)
    if kind == "zip-bomb":
        return zipped("zeros.bin", bytes(1 << 28), zipfile.ZIP_DEFLATED)
    if kind == "zip-encrypted":
        content = bytearray(zipped("a.bin", b"x" * 1000))
        content[6] |= 1
        content[content.index(b"PK\x01\x02") + 8] |= 1
        return bytes(content)
    if kind == "zip-crc":
        content = bytearray(zipped("a.bin", b"x" * 1000))
        content[500] ^= 1
        return bytes(content)
    if kind == "zip-overlapping":
        # Two entries of the directory for the same bytes.
        content = zipped("a.bin", b"x" * 1000)
        at = content.index(b"PK\x01\x02")
        end = content.index(b"PK\x05\x06")
        entry = content[at:end]
        other = entry.replace(b"a.bin", b"b.bin")
        tail = bytearray(content[end:])
        struct.pack_into("<HHL", tail, 8, 2, 2, len(entry) * 2)
        return content[:at] + entry + other + bytes(tail)
    raise SystemExit(f"no archive of kind {kind}")


if __name__ == "__main__":
    if sys.argv[1] == "pack":
        pack(*sys.argv[2:])
    else:
        pathlib.Path(sys.argv[3]).write_bytes(hostile(sys.argv[2]))
