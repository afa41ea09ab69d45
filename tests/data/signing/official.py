"""The official tool: signs a model in every form that it has, and judges signatures of others."""

import pathlib

from model_signing import hashing, signing, verifying
from model_signing._cli import main as command_line

FORMS = [(method, algorithm) for method in ("files", "shards") for algorithm in ("sha256", "blake2", "blake3")]
SHARD_SIZE = 1_000_000


def form(method, algorithm, links=False):
    """How content is hashed. The tool makes whole files of shards with BLAKE3."""
    config = hashing.Config()
    if method == "files":
        config.use_file_serialization(hashing_algorithm=algorithm, allow_symlinks=links)
    else:
        config.use_shard_serialization(
            hashing_algorithm=algorithm, shard_size=SHARD_SIZE, allow_symlinks=links
        )
    return config.set_ignored_paths(paths=["model.sig"]).set_allow_symlinks(links)


def sign_with_key(model, signature, key, **how):
    config = signing.Config().use_elliptic_key_signer(private_key=key)
    config.set_hashing_config(form(**how)).sign(model, signature)


def sign_with_certificate(model, signature, key, certificate, chain, **how):
    config = signing.Config().use_certificate_signer(
        private_key=key, signing_certificate=certificate, certificate_chain=chain
    )
    config.set_hashing_config(form(**how)).sign(model, signature)


def sign_as_a_person(model, signature, key):
    arguments = ["sign", "key", str(model), "--signature", str(signature), "--private_key", str(key)]
    command_line(arguments, standalone_mode=False)


def sign_as_somebody(model, signature, trust_config, token):
    arguments = ["sign", "sigstore", str(model), "--signature", str(signature), "--trust_config", str(trust_config)]
    command_line([*arguments, "--identity_token", token], standalone_mode=False)


def verdict(directory, signature, key=None, certificate=None, how=None, keyless=None):
    """None, if the tool accepts; otherwise why not.

    It cannot read its own shards and BLAKE2 signatures without being told what they are, so `how` says it then.
    """
    try:
        config = verifying.Config()
        if keyless:
            trust_config, identity, issuer = keyless
            config.use_sigstore_verifier(identity=identity, oidc_issuer=issuer, trust_config=pathlib.Path(trust_config))
        elif key:
            config.use_elliptic_key_verifier(public_key=key)
        else:
            config.use_certificate_verifier(certificate_chain=[certificate])
        if how:
            config.set_hashing_config(form(**how))
        config.verify(pathlib.Path(directory), pathlib.Path(signature))
    except Exception as problem:  # Every way to fail is a refusal.
        return f"{type(problem).__name__}: {problem}"[:300]
    return None
