"""`artefact seal`: a file becomes ciphertext, its data key is wrapped to the broker and then forgotten."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.files_edge import scratch_beside, sweep, sync_folder, write_whole
from qnsp_policy.kernel.sealed.header import seal_key
from qnsp_policy.kernel.sealed.stream import new_data_key, new_header, seal


@dataclass(frozen=True, slots=True)
class Sealed:
    """What `artefact seal` made.

    Attributes:
        sealed_file, key_file: what was written.
        digest: of the sealed file.
        plaintext_digest: of what was sealed.
        size: bytes of plaintext.
        resource, version: what the key is called.
    """

    sealed_file: str
    key_file: str
    digest: str
    plaintext_digest: str
    size: int
    resource: str
    version: int

    def to_json(self) -> dict[str, object]:
        return {
            "sealedFile": self.sealed_file,
            "keyFile": self.key_file,
            "digest": self.digest,
            "plaintextDigest": self.plaintext_digest,
            "plaintextSize": self.size,
            "resource": self.resource,
            "version": self.version,
        }


def digest_of(path: Path) -> str:
    """`sha256:<hex>` of a file."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def seal_file(
    plaintext: Path, target: Path, key_target: Path, *, broker: PublicKey, resource: str, version: int, tier: str
) -> Sealed:
    """Seal a file for a tenant; nothing of the data key is written but its wrapped form.

    Args:
        plaintext: what to seal.
        target: the sealed file; replaced in one step.
        key_target: the wrapped data key.
        broker: the broker's unwrap key.
        resource: `<tenant>/<type>/<tag>`.
        version: of the key, from 1.
        tier: address of the tenant's tier, bound into the envelope.
    """
    data_key = new_data_key()
    plaintext_digest, size = digest_of(plaintext), plaintext.stat().st_size
    header = new_header(resource=resource, version=version, plaintext_digest=plaintext_digest, plaintext_size=size)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = scratch_beside(target)
    hashed = hashlib.sha256()
    try:
        with plaintext.open("rb") as source, scratch.open("wb") as sink:
            for piece in seal(source, data_key, header):
                hashed.update(piece)
                sink.write(piece)
            sink.flush()
            os.fsync(sink.fileno())
        digest = "sha256:" + hashed.hexdigest()
        wrapped = seal_key(data_key, broker, resource=resource, version=version, tier=tier, artefact_digest=digest)
        write_whole(key_target, wrapped.to_bytes() + b"\n", mode=0o644)
        scratch.replace(target)
        sync_folder(target.parent)
    finally:
        scratch.unlink(missing_ok=True)
    sweep(target.parent)
    return Sealed(str(target), str(key_target), digest, plaintext_digest, size, resource, version)


def seal_sample(
    text: str, directory: Path, name: str, *, broker: PublicKey, resource: str, tier: str
) -> dict[str, str]:
    """Seal a text as `artefacts/<name>.sealed` and `.key.json` of a new workspace, in the place of a real artefact.

    Returns:
        `<name>.digest` and `<name>.plaintextDigest`, as templates ask for them.
    """
    folder = directory / "artefacts"
    with tempfile.TemporaryDirectory(dir=directory / ".qnsp") as scratch:
        plain = Path(scratch) / f"{name}.txt"
        plain.write_text(text, encoding="utf-8")
        sealed = seal_file(
            plain,
            folder / f"{name}.sealed",
            folder / f"{name}.key.json",
            broker=broker,
            resource=resource,
            version=1,
            tier=tier,
        )
    return {f"{name}.digest": sealed.digest, f"{name}.plaintextDigest": sealed.plaintext_digest}


__all__ = ["Sealed", "digest_of", "seal_file", "seal_sample"]
