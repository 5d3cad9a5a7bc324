"""`key new|list|show`: software signing keys of this workspace. Insecure by name: they lie in plain files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.crypto.keyfile_edge import KeyFile, read_key_file, write_key_file
from qnsp_policy.kernel.crypto.keys import SOFTWARE, generate
from qnsp_policy.kernel.crypto.signer import SoftwareSigner
from qnsp_policy.pipeline.documents.problems import did_you_mean

SIGNER_ALGORITHMS = ("ML-DSA-65", "Ed25519")
KEYS = Path(".qnsp/keys")


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One key file as `key list` shows it."""

    name: str
    file: str
    keys: tuple[dict[str, str], ...]
    key_ids: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        return {"name": self.name, "file": self.file, "keyIds": list(self.key_ids), "keys": list(self.keys)}


def file_name(name: str) -> str:
    """The file of an identity or service: what stands before the at-sign, letters, digits, dots and dashes only."""
    stem = name.partition("@")[0]
    if not stem or not all(character.isascii() and (character.isalnum() or character in "-._") for character in stem):
        raise OperatorError(
            "QNSP-KEY-010",
            f"{name!r} cannot name a key file",
            subject=name,
            next_step="use letters, digits, dots and dashes, e.g. alice@clinic.example",
        )
    return f"{stem}.json"


def new_key(root: Path, name: str, algorithms: Sequence[str] = SIGNER_ALGORITHMS) -> KeyEntry:
    """Make a key of each algorithm for `name` and write them as one file.

    Raises:
        OperatorError: the name is not one, the file exists, or there is no such algorithm.
    """
    for algorithm in algorithms:
        if algorithm not in SOFTWARE:
            raise OperatorError(
                "QNSP-KEY-016",
                f"no key of algorithm {algorithm!r} can be made here",
                subject=algorithm,
                next_step=did_you_mean(algorithm, SOFTWARE),
            )
    path = root / KEYS / file_name(name)
    made = write_key_file(path, name, tuple(generate(algorithm) for algorithm in algorithms))
    return _entry(root, path, made)


def list_keys(root: Path) -> tuple[KeyEntry, ...]:
    """Every key file of the workspace, by file name."""
    folder = root / KEYS
    return tuple(_entry(root, path, read_key_file(path)) for path in sorted(folder.glob("*.json")))


def find_keys(root: Path, name: str) -> KeyFile:
    """The key file of an identity, by its full name or by the part before the at-sign.

    Raises:
        OperatorError: there is none; names those that exist.
    """
    path = root / KEYS / file_name(name)
    if path.exists():
        found = read_key_file(path)
        if name in {found.name, path.stem}:
            return found
    known = [entry.name for entry in list_keys(root)]
    raise OperatorError(
        "QNSP-KEY-011",
        f"no keys of {name} in {KEYS.as_posix()}",
        subject=name,
        got=", ".join(known) or "no key files",
        next_step=did_you_mean(
            name,
            [*known, *(one.partition("@")[0] for one in known)],
            f"make them with `qnsp-policy key new {name}`, or name another identity with --as",
        ),
    )


def show_key(root: Path, name: str) -> KeyEntry:
    """The public keys of one file: of an identity's key file, or of an OpenSSH `.pub` file; or the key behind a KMS's URI."""
    if name.startswith("awskms:"):
        from qnsp_policy.kernel.crypto.kms_edge import read_kms_key

        remote = read_kms_key(name)
        return KeyEntry(name, name, (remote.to_jwk(),), (remote.key_id,))
    if name.endswith(".pub"):
        from qnsp_policy.kernel.crypto.ssh_edge import read_public_key

        key = read_public_key(Path(name))
        return KeyEntry(Path(name).stem, name, (key.to_jwk(),), (key.key_id,))
    return _entry(root, root / KEYS / file_name(name), find_keys(root, name))


def signer_of(root: Path, name: str) -> SoftwareSigner:
    """The software signer of an identity."""
    found = find_keys(root, name)
    return SoftwareSigner(found.name, found.keys)


def _entry(root: Path, path: Path, found: KeyFile) -> KeyEntry:
    return KeyEntry(
        found.name,
        path.relative_to(root).as_posix(),
        tuple(key.to_jwk() for key in found.public_keys),
        tuple(key.key_id for key in found.public_keys),
    )


__all__ = [
    "KEYS",
    "SIGNER_ALGORITHMS",
    "KeyEntry",
    "file_name",
    "find_keys",
    "list_keys",
    "new_key",
    "show_key",
    "signer_of",
]
