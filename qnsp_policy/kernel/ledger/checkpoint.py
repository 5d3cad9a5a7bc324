"""Checkpoints (C2SP tlog-checkpoint v1.0.0) and their signatures: the log's own, and ML-DSA-44 cosignatures.

Comes in: origin, size, root and a signer, or checkpoint bytes of a peer and the keys that must have signed.
Goes out: a signed note, or a `VerifiedCheckpoint`. A log of ours signs with Ed25519 (0x01), which public witnesses
demand, and with ML-DSA-44 (0x06), which stays true against a quantum computer; a verifier that was given both keys
requires both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.crypto import signatures
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, b64, unb64
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.crypto.signer import Signer
from qnsp_policy.kernel.ledger.note import (
    ED25519,
    ED25519_COSIGNATURE,
    MLDSA44_COSIGNATURE,
    Note,
    NoteKey,
    NoteSignature,
    check_name,
    parse_note,
)

_LABEL: Final = b"subtree/v1\n\x00"
_MAX_SIZE: Final = 2**62


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head.

    Attributes:
        origin: names the log.
        size: leaves.
        root: 32 bytes.
        note: the signed note as read or written; empty before signing.
    """

    origin: str
    size: int
    root: bytes
    note: bytes = b""

    @property
    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{b64(self.root)}\n"


@dataclass(frozen=True, slots=True)
class VerifiedCheckpoint:
    """A tree head whose signatures were verified; only `verify_checkpoint` makes one.

    Attributes:
        checkpoint: origin, size, root, note.
        keys: whose signatures were verified.
        time: of the newest cosignature, where one gives a time.
    """

    checkpoint: Checkpoint
    keys: tuple[NoteKey, ...]
    time: datetime | None


def _malformed(message: str) -> PeerError:
    return PeerError("QNSP-LDG-004", f"malformed checkpoint: {message}")


def log_keys(origin: str, keys: Sequence[PublicKey]) -> tuple[NoteKey, ...]:
    """The note keys of a log: 0x01 for each Ed25519 key, 0x06 for each ML-DSA-44 key; other keys are left out."""
    kinds = {"Ed25519": ED25519, "ML-DSA-44": MLDSA44_COSIGNATURE}
    return tuple(NoteKey(origin, kinds[key.algorithm], key) for key in keys if key.algorithm in kinds)


def parse_checkpoint(data: bytes) -> tuple[Checkpoint, Note]:
    """Reads a checkpoint, unverified.

    Raises:
        PeerError: QNSP-LDG-003, QNSP-LDG-004.
    """
    note = parse_note(data)
    lines = note.text.split("\n")[:-1]
    if len(lines) < 3 or "" in lines:
        raise _malformed("origin, size and root are three non-empty lines")
    origin, size, root = lines[:3]
    if not (size.isascii() and size.isdigit()) or len(size) > 19 or (size != "0" and size.startswith("0")):
        raise _malformed("the size is no decimal number")
    try:
        raw = unb64(root, "root")
    except CanonicalJsonError:
        raise _malformed("the root is not base64") from None
    if len(raw) != 32 or int(size) > _MAX_SIZE:
        raise _malformed("the root has 32 bytes and the size at most 2**62")
    if len(lines) > 3:
        raise _malformed("extension lines: ML-DSA-44 does not sign them, so they are refused")
    return Checkpoint(check_name(origin), int(size), raw, data), note


def cosigned_message(name: str, time: int, origin: str, start: int, end: int, root: bytes) -> bytes:
    """The bytes that an ML-DSA-44 cosignature (type 0x06) signs."""
    parts = (
        _LABEL,
        bytes([len(name.encode())]),
        name.encode(),
        time.to_bytes(8, "big"),
        bytes([len(origin.encode())]),
        origin.encode(),
        start.to_bytes(8, "big"),
        end.to_bytes(8, "big"),
        root,
    )
    return b"".join(parts)


def sign_checkpoint(origin: str, size: int, root: bytes, signer: Signer, now: datetime) -> Checkpoint:
    """A checkpoint signed by every Ed25519 and ML-DSA-44 key of the signer.

    Raises:
        OperatorError: QNSP-LDG-011, the signer has no Ed25519 key.
    """
    keys = log_keys(origin, signer.public_keys)
    if not any(key.kind == ED25519 for key in keys):
        raise OperatorError(
            "QNSP-LDG-011",
            f"the log {origin} needs an Ed25519 key (witnesses read no other) and should have an ML-DSA-44 key",
            subject=origin,
        )
    bare = Checkpoint(origin, size, root)
    lines = []
    for key in keys:
        if key.kind == ED25519:
            value = signer.sign_with(key.key, bare.text.encode())
        else:
            time = int(now.timestamp())
            message = cosigned_message(key.name, time, origin, 0, size, root)
            value = time.to_bytes(8, "big") + signer.sign_with(key.key, message)
        lines.append(NoteSignature(key.name, key.key_id, value))
    return Checkpoint(origin, size, root, Note(bare.text, tuple(lines)).to_bytes())


def _verify_line(key: NoteKey, value: bytes, checkpoint: Checkpoint) -> int:
    """Verifies one signature; returns its time, 0 where the type has none."""
    if key.kind == ED25519:
        signatures.verify(key.key, value, checkpoint.text.encode())
        return 0
    if len(value) < 9:
        raise _malformed("a cosignature without time")
    time = int.from_bytes(value[:8], "big")
    if key.kind == ED25519_COSIGNATURE:
        message = f"cosignature/v1\ntime {time}\n{checkpoint.text}".encode()
    else:
        message = cosigned_message(key.name, time, checkpoint.origin, 0, checkpoint.size, checkpoint.root)
    signatures.verify(key.key, value[8:], message)
    return time


def verify_checkpoint(
    data: bytes,
    origin: str,
    keys: Sequence[NoteKey],
    *,
    witnesses: Sequence[NoteKey] = (),
    quorum: int = 0,
) -> VerifiedCheckpoint:
    """Verifies a checkpoint of the log `origin`.

    Args:
        data: the signed note.
        origin: which log it must be of.
        keys: every one of them must have signed.
        witnesses: known cosigners; `quorum` of them must have signed.
        quorum: how many.

    Raises:
        PeerError: QNSP-LDG-003, -004 malformed; QNSP-LDG-005 another log; QNSP-LDG-006 a required key or the quorum is
            missing; QNSP-LDG-007 a known key's signature does not verify.
        ValueError: no keys were given.
    """
    if not keys:
        raise ValueError("verification needs at least one key of the log")
    checkpoint, note = parse_checkpoint(data)
    if checkpoint.origin != origin:
        raise PeerError("QNSP-LDG-005", "a checkpoint of another log", expected=origin, got=checkpoint.origin[:120])
    known = {(key.name, key.key_id): key for key in (*witnesses, *keys)}
    good: dict[NoteKey, int] = {}
    for entry in note.signatures:
        key = known.get((entry.name, entry.key_id))
        if key is None:
            continue
        try:
            good[key] = max(_verify_line(key, entry.signature, checkpoint), good.get(key, 0))
        except PeerError as error:
            raise PeerError(
                "QNSP-LDG-007",
                f"the checkpoint's {key.key.algorithm} signature by {key.name} does not verify",
                subject=key.name,
            ) from error
    for key in keys:
        if key not in good:
            raise PeerError(
                "QNSP-LDG-006", f"no signature by the log's {key.key.algorithm} key {key.key_id.hex()}", subject=origin
            )
    seen = sum(witness in good for witness in dict.fromkeys(witnesses))
    if seen < quorum:
        raise PeerError(
            "QNSP-LDG-006", "too few witnesses", subject=origin, expected=f"at least {quorum}", got=str(seen)
        )
    newest = max(good.values())
    try:
        moment = datetime.fromtimestamp(newest, UTC) if newest else None
    except (ValueError, OverflowError, OSError):
        raise _malformed("a cosignature at an impossible time") from None
    return VerifiedCheckpoint(checkpoint, tuple(good), moment)


__all__ = [
    "Checkpoint",
    "VerifiedCheckpoint",
    "cosigned_message",
    "log_keys",
    "parse_checkpoint",
    "sign_checkpoint",
    "verify_checkpoint",
]
