"""DSSE envelopes: a typed payload with one signature a key (DSSE v1.0.2, secure-systems-lab/dsse).

Comes in: envelope bytes of a peer, the keys that must all have signed. Goes out: a `VerifiedPayload`.
Signed bytes: PAE = "DSSEv1" SP len(type) SP type SP len(body) SP body. Key ids are RFC 7638 thumbprints; unknown keys
are ignored, a known key whose signature fails refuses the envelope.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto import signatures as _signatures
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, b64, jcs, parse_object, unb64
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.crypto.signer import KeySignature, Signer

MAX_SIGNATURES: Final = 64
MAX_BYTES: Final = 64 * 1024 * 1024

DOCUMENT_TYPE: Final = "application/vnd.qnsp.document+json"
PLAN_TYPE: Final = "application/vnd.qnsp.plan+json"
IN_TOTO_TYPE: Final = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope as parsed: nothing in it is verified.

    Attributes:
        payload_type: says how to read the payload; part of what is signed.
        payload: the bytes that were signed, never re-serialised.
        signatures: in the order of the file.
    """

    payload_type: str
    payload: bytes
    signatures: tuple[KeySignature, ...]

    def to_json(self) -> bytes:
        """RFC 8785 bytes of the envelope."""
        entries = [{"keyid": entry.key_id, "sig": b64(entry.signature)} for entry in self.signatures]
        return jcs({"payload": b64(self.payload), "payloadType": self.payload_type, "signatures": entries})


@dataclass(frozen=True, slots=True)
class VerifiedPayload:
    """A payload whose signatures were verified; only this module makes one.

    Attributes:
        payload_type: as signed.
        payload: as signed.
        keys: whose signatures were verified, in the order they were asked for.
    """

    payload_type: str
    payload: bytes
    keys: tuple[PublicKey, ...]


def _malformed(message: str) -> PeerError:
    return PeerError("QNSP-SIG-004", f"malformed DSSE envelope: {message}")


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def parse(data: bytes) -> Envelope:
    """Reads an envelope.

    Raises:
        PeerError: QNSP-SIG-004.
    """
    try:
        value = parse_object(data, max_bytes=MAX_BYTES)
        kind, entries = value.get("payloadType"), value.get("signatures")
        if not isinstance(kind, str) or not kind or not isinstance(entries, list) or not entries:
            raise _malformed("payloadType and a non-empty list of signatures are needed")
        if len(entries) > MAX_SIGNATURES:
            raise _malformed(f"{len(entries)} signatures; at most {MAX_SIGNATURES} are read")
        payload = unb64(value.get("payload"), "`payload`")
        found: list[KeySignature] = []
        for entry in entries:
            key_id = entry.get("keyid", "") if isinstance(entry, dict) else None
            if not isinstance(key_id, str):
                raise _malformed("a signature is an object with a textual `keyid`")
            found.append(KeySignature(key_id, unb64(entry.get("sig"), "`sig`")))
    except CanonicalJsonError as error:
        raise _malformed(error.message) from None
    return Envelope(kind, payload, tuple(found))


def sign(payload_type: str, payload: bytes, signer: Signer) -> Envelope:
    """A new envelope that every key of the signer signed."""
    return Envelope(payload_type, payload, signer.sign(pae(payload_type, payload)))


def add_signature(envelope: Envelope, signer: Signer) -> Envelope:
    """The envelope with the signatures of one more signer; earlier ones by the same keys are replaced."""
    fresh = signer.sign(pae(envelope.payload_type, envelope.payload))
    ids = {entry.key_id for entry in fresh}
    kept = tuple(entry for entry in envelope.signatures if entry.key_id not in ids)
    return replace(envelope, signatures=kept + fresh)


def verified_keys(envelope: Envelope, known: Iterable[PublicKey], *, payload_type: str) -> VerifiedPayload:
    """Verifies every signature by a known key; which of them suffice is the caller's policy.

    Args:
        envelope: as parsed.
        known: keys that could have signed; signatures by others are ignored.
        payload_type: the only type accepted.

    Returns:
        The payload and the known keys that signed it, possibly none.

    Raises:
        PeerError: QNSP-SIG-003 another type, QNSP-SIG-001 a known key's signature fails, QNSP-SIG-004 a known key
            stands twice.
    """
    if envelope.payload_type != payload_type:
        raise PeerError(
            "QNSP-SIG-003",
            "the envelope holds another type of payload",
            expected=payload_type,
            got=envelope.payload_type[:120],
        )
    by_id: dict[str, list[PublicKey]] = {}
    for key in known:
        keys = by_id.setdefault(key.key_id, [])
        if key not in keys:
            keys.append(key)
    message = pae(envelope.payload_type, envelope.payload)
    good: list[PublicKey] = []
    seen: set[str] = set()
    for entry in envelope.signatures:
        if entry.key_id not in by_id:
            continue
        if entry.key_id in seen:
            raise _malformed("one key has signed twice")
        seen.add(entry.key_id)
        good.append(_by_one_of(by_id[entry.key_id], entry, message))
    return VerifiedPayload(envelope.payload_type, envelope.payload, tuple(good))


def _by_one_of(keys: Sequence[PublicKey], entry: KeySignature, message: bytes) -> PublicKey:
    """An id names one key; the same Ed25519 point may be known as a plain and as an SSH key."""
    for key in keys[:-1]:
        try:
            _signatures.verify(key, entry.signature, message)
        except PeerError:
            continue
        return key
    _signatures.verify(keys[-1], entry.signature, message)
    return keys[-1]


def verify(envelope: Envelope, keys: Sequence[PublicKey], *, payload_type: str) -> VerifiedPayload:
    """Verifies that every one of `keys` has signed.

    Raises:
        PeerError: QNSP-SIG-002 a key has not signed, and the codes of `verified_keys`.
        ValueError: no keys were given.
    """
    if not keys:
        raise ValueError("verification needs at least one key")
    found = verified_keys(envelope, keys, payload_type=payload_type)
    for key in keys:
        if key not in found.keys:
            raise PeerError(
                "QNSP-SIG-002",
                f"no signature by the required {key.algorithm} key {key.key_id}",
                subject=key.key_id,
                next_step="All keys of a signer must sign; ask for the missing signature.",
            )
    return VerifiedPayload(found.payload_type, found.payload, tuple(keys))


__all__ = [
    "DOCUMENT_TYPE",
    "IN_TOTO_TYPE",
    "MAX_SIGNATURES",
    "PLAN_TYPE",
    "Envelope",
    "VerifiedPayload",
    "add_signature",
    "pae",
    "parse",
    "sign",
    "verified_keys",
    "verify",
]
