"""Offline proofs: the C2SP `.tlog-proof` text (c2sp.org/tlog-proof@v1), written and verified.

Comes in: proof bytes, the entry, the log's keys. Goes out: a `VerifiedInclusion`. The `extra` line is not
authenticated: it is kept for the reader and nothing here believes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, b64, unb64
from qnsp_policy.kernel.ledger.checkpoint import VerifiedCheckpoint, parse_checkpoint, verify_checkpoint
from qnsp_policy.kernel.ledger.note import NoteKey
from qnsp_policy.kernel.ledger.tree import HASH_SIZE, MAX_PROOF, leaf_hash, verify_inclusion

HEADER: Final = "c2sp.org/tlog-proof@v1"
_MAX: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """An inclusion proof, unverified.

    Attributes:
        index: of the entry, from 0.
        path: sibling hashes from the leaf up.
        checkpoint: the signed note.
        extra: opaque, unauthenticated.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""

    def to_bytes(self) -> bytes:
        """The `.tlog-proof` text."""
        lines = [HEADER]
        if self.extra:
            lines.append("extra " + b64(self.extra))
        lines.append(f"index {self.index}")
        lines += [b64(value) for value in self.path]
        return ("\n".join(lines) + "\n\n").encode() + self.checkpoint

    @property
    def size(self) -> int:
        """Size of the tree that the checkpoint speaks of."""
        return parse_checkpoint(self.checkpoint)[0].size


@dataclass(frozen=True, slots=True)
class VerifiedInclusion:
    """An entry that was shown to stand in a log; only `verify_proof` makes one."""

    index: int
    entry: bytes
    checkpoint: VerifiedCheckpoint


def _malformed(message: str) -> PeerError:
    return PeerError("QNSP-LDG-009", f"malformed inclusion proof: {message}")


def parse_proof(data: bytes) -> InclusionProof:
    """Reads a `.tlog-proof`.

    Raises:
        PeerError: QNSP-LDG-009, and the codes of `parse_checkpoint`.
    """
    head, blank, note = data.partition(b"\n\n")
    if not blank or len(data) > _MAX:
        raise _malformed("no blank line before the checkpoint")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise _malformed("it is not ASCII before the checkpoint") from None
    if lines.pop(0) != HEADER:
        raise _malformed(f"it does not begin with {HEADER}")
    extra = b""
    try:
        if lines and lines[0].startswith("extra "):
            extra = unb64(lines.pop(0)[6:], "extra")
        if not lines or not lines[0].startswith("index "):
            raise _malformed("no index line")
        number = lines.pop(0)[6:]
        if not number.isdigit() or len(number) > 19 or (number != "0" and number.startswith("0")):
            raise _malformed("the index is no decimal number")
        path = tuple(unb64(line, "hash") for line in lines)
    except CanonicalJsonError as error:
        raise _malformed(error.message) from None
    if len(path) > MAX_PROOF or any(len(value) != HASH_SIZE for value in path):
        raise _malformed("a hash has 32 bytes, and a path at most 63 of them")
    parse_checkpoint(note)
    return InclusionProof(int(number), path, note, extra)


def verify_proof(
    proof: InclusionProof,
    entry: bytes,
    origin: str,
    keys: Sequence[NoteKey],
    *,
    witnesses: Sequence[NoteKey] = (),
    quorum: int = 0,
) -> VerifiedInclusion:
    """Verifies that `entry` is entry number `proof.index` of the log `origin`.

    Raises:
        PeerError: QNSP-LDG-001 the path does not lead to the root, and the codes of `verify_checkpoint`.
    """
    verified = verify_checkpoint(proof.checkpoint, origin, keys, witnesses=witnesses, quorum=quorum)
    head = verified.checkpoint
    verify_inclusion(leaf_hash(entry), proof.index, head.size, proof.path, head.root)
    return VerifiedInclusion(proof.index, entry, verified)


__all__ = ["HEADER", "InclusionProof", "VerifiedInclusion", "parse_proof", "verify_proof"]
