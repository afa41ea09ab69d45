"""Makes everything that the tests of signatures check, and asks the official tool what it thinks of each.

    make_vectors.py MODEL OUTPUT

`cases.json` lists the cases: what to trust, the directory, the signature, what our verifier must say (nothing: it
accepts), what the official tool said, and, where the two differ, why.
"""

import json
import logging
import pathlib
import shutil
import sys

import bundles
import directories
import chains
import keyless
import official
import signers
import statements


class Cases:
    """What was made so far."""

    shutil = shutil

    def __init__(self, model, output):
        self.model, self.output = model, output
        self.list = []
        for folder in ("keys", "signatures", "models"):
            (output / folder).mkdir()

    def file(self, name, content):
        path = self.output / "keys" / name
        path.write_bytes(content)
        return path

    def key(self, name, key):
        """The files of a key: private, public."""
        return self.file(f"{name}.key", signers.private_pem(key)), self.file(f"{name}.pub", signers.public_pem(key))

    def add(self, name, says, *, bundle=None, signature=None, directory=None, key=None, certificate=None, how=None,
            keyless=None, trust_root=None, identity=None, issuer=None, code=65, differs=None):
        """A case. `says` is what our refusal must hold, or None where the signature is good."""
        if bundle is not None:
            signature = self.output / "signatures" / f"{len(self.list)}.sig"
            signature.write_bytes(bundle if isinstance(bundle, bytes) else json.dumps(bundle).encode())
        directory = directory or self.model
        self.list.append({
            "name": name,
            "directory": str(directory),
            "signature": str(signature),
            "trust_key": key and str(key),
            "trust_cert": certificate and str(certificate),
            "trust_root": trust_root and str(trust_root),
            "trust_identity": identity,
            "trust_issuer": issuer,
            "says": says,
            "code": 0 if says is None else code,
            "official": official.verdict(directory, signature, key, certificate, how, keyless),
            "differs": differs,
        })

    def copy(self, name):
        """A copy of the model to be changed."""
        return shutil.copytree(self.model, self.output / "models" / name, symlinks=True)


def signed_by_the_tool(cases):
    """Every signer, method and hash that the tool has. Gives what the other cases begin from."""
    made = {}
    for curve in signers.CURVES:
        key = signers.elliptic(curve)
        private, public = cases.key(curve, key)
        for method, algorithm in official.FORMS:
            how = {"method": method, "algorithm": algorithm}
            name = f"{curve} {method} {algorithm}"
            signature = cases.output / "signatures" / f"{name}.sig"
            official.sign_with_key(cases.model, signature, private, **how)
            made[name] = {"signature": signature, "key": public, "how": how}
            cases.add(name, None, **made[name])
        made[curve] = key
    signature = cases.output / "signatures" / "command line.sig"
    official.sign_as_a_person(cases.model, signature, cases.output / "keys/p256.key")
    cases.add("by the command line", None, signature=signature, key=cases.output / "keys/p256.pub")

    authority = signers.Authority()
    root = cases.file("root.pem", signers.pem(authority.root))
    middle = cases.file("middle.pem", signers.pem(authority.middle))
    for curve in signers.CURVES:
        key = signers.elliptic(curve)
        private, _ = cases.key(f"signer {curve}", key)
        certificate = cases.file(f"signer {curve}.pem", signers.pem(authority.signer(key)))
        for method, algorithm in official.FORMS:
            how = {"method": method, "algorithm": algorithm}
            name = f"certificate {curve} {method} {algorithm}"
            signature = cases.output / "signatures" / f"{name}.sig"
            official.sign_with_certificate(cases.model, signature, private, certificate, [middle], **how)
            made[name] = {"signature": signature, "certificate": root, "how": how}
            cases.add(name, None, **made[name])
    return made


def main():
    model, output = (pathlib.Path(path).resolve() for path in sys.argv[1:])
    logging.disable()
    cases = Cases(model, output)
    made = signed_by_the_tool(cases)
    bundles.add(cases, made)
    statements.add(cases, made)
    directories.add(cases, made)
    chains.add(cases, made)
    keyless.add(cases, made)
    (output / "cases.json").write_text(json.dumps(cases.list, indent=1))


if __name__ == "__main__":
    main()
