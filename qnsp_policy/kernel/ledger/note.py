"""Signed notes (C2SP signed-note v1.0.0): text with signature lines, key ids, verifier keys.

Comes in: note bytes of a peer and the keys that are known. Goes out: the text and which keys signed it.
Types: 0x01 Ed25519 over the text, 0x04 Ed25519 cosignature, 0x06 ML-DSA-44 cosignature (C2SP tlog-cosignature).
Unknown keys are ignored; a known key whose signature fails refuses the note.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import b64
from qnsp_policy.kernel.crypto.keys import PublicKey

ED25519: Final = 0x01
ED25519_COSIGNATURE: Final = 0x04
MLDSA44_COSIGNATURE: Final = 0x06
MAX_NOTE: Final = 1024 * 1024
MAX_SIGNATURES: Final = 128
_DASH: Final = "\u2014 "
_ALGORITHM: Final = {ED25519: "Ed25519", ED25519_COSIGNATURE: "Ed25519", MLDSA44_COSIGNATURE: "ML-DSA-44"}


def _malformed(message: str) -> PeerError:
    return PeerError("QNSP-LDG-003", f"malformed signed note: {message}")


def check_name(name: str) -> str:
    """Returns a key name or origin if it may be one.

    Raises:
        PeerError: QNSP-LDG-003, empty, too long, or with a space, plus sign or control character.
    """
    if (
        not name
        or "+" in name
        or len(name.encode("utf-8", "replace")) > 255
        or any(character.isspace() or ord(character) < 0x20 or 0xD800 <= ord(character) < 0xE000 for character in name)
    ):
        raise _malformed("a name is empty, too long, or holds a space, a plus sign or a control character")
    return name


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A known key: name, signature type, public key.

    Attributes:
        name: for a log its origin.
        kind: 0x01, 0x04 or 0x06.
        key: Ed25519 for the first two, ML-DSA-44 for the last.
    """

    name: str
    kind: int
    key: PublicKey

    def __post_init__(self) -> None:
        check_name(self.name)
        if _ALGORITHM.get(self.kind) != self.key.algorithm:
            raise PeerError(
                "QNSP-SIG-005", f"note signature type {self.kind:#04x} does not go with {self.key.algorithm}"
            )

    @property
    def key_id(self) -> bytes:
        """SHA-256(name || 0x0A || type || public key)[:4]."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.key.raw).digest()[:4]

    def to_vkey(self) -> str:
        """The verifier key text: name+id in hex+base64(type || public key)."""
        return f"{self.name}+{self.key_id.hex()}+{b64(bytes([self.kind]) + self.key.raw)}"

    @classmethod
    def from_vkey(cls, text: str) -> NoteKey:
        """Reads a verifier key.

        Raises:
            PeerError: QNSP-LDG-003, QNSP-SIG-005, QNSP-SIG-006.
        """
        parts = text.strip().split("+", 2)
        if len(parts) != 3:
            raise _malformed("a verifier key is name+id+base64")
        try:
            data = base64.b64decode(parts[2].encode(), validate=True)
        except (binascii.Error, ValueError):
            raise _malformed("a verifier key that is not base64") from None
        if not data or data[0] not in _ALGORITHM:
            raise PeerError("QNSP-SIG-005", "a verifier key of an unknown signature type")
        key = cls(parts[0], data[0], PublicKey(_ALGORITHM[data[0]], data[1:]))
        if key.key_id.hex() != parts[1]:
            raise _malformed("the id of a verifier key does not belong to it")
        return key


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: name, 4-byte key id, signature bytes."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        """The line with its line feed."""
        return f"{_DASH}{self.name} {b64(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A note as parsed; nothing is verified. `text` ends with a line feed."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def to_bytes(self) -> bytes:
        """The note."""
        return (self.text + "\n" + "".join(entry.line() for entry in self.signatures)).encode()


def parse_note(data: bytes) -> Note:
    """Reads a signed note.

    Raises:
        PeerError: QNSP-LDG-003.
    """
    if len(data) > MAX_NOTE:
        raise _malformed(f"{len(data)} bytes; at most {MAX_NOTE} are read")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise _malformed("not UTF-8") from None
    if any(ord(character) < 0x20 and character != "\n" for character in text):
        raise _malformed("it holds a control character")
    at = text.rfind("\n\n")
    if at <= 0 or not text.endswith("\n"):
        raise _malformed("no text, blank line and signature lines")
    lines = text[at + 2 :].split("\n")[:-1]
    if not lines or len(lines) > MAX_SIGNATURES:
        raise _malformed(f"{len(lines)} signature lines")
    return Note(text[: at + 1], tuple(_signature(line) for line in lines))


def _signature(line: str) -> NoteSignature:
    parts = line[len(_DASH) :].split(" ")
    if not line.startswith(_DASH) or len(parts) != 2:
        raise _malformed("a signature line is em dash, name, base64")
    try:
        raw = base64.b64decode(parts[1].encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        raise _malformed("a signature line that is not base64") from None
    if len(raw) < 5 or b64(raw) != parts[1]:
        raise _malformed("a signature line without signature")
    return NoteSignature(check_name(parts[0]), raw[:4], raw[4:])


__all__ = [
    "ED25519",
    "ED25519_COSIGNATURE",
    "MLDSA44_COSIGNATURE",
    "Note",
    "NoteKey",
    "NoteSignature",
    "check_name",
    "parse_note",
]
