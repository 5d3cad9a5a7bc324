"""HPKE sealing of short secrets to a public key: X-Wing by default, MLKEM1024-P384 for top tiers, plain ML-KEM on demand.

Comes in: a public key, a plaintext, an `info` that says what it is for. Goes out: an `HpkeMessage` and its JSON.
Implements HPKE base mode (RFC 9180, draft-ietf-hpke-hpke) with the KEMs of draft-ietf-hpke-pq: 0x647A
MLKEM768-X25519 (which is X-Wing), 0x0051 MLKEM1024-P384, 0x0042 ML-KEM-1024, 0x0041 ML-KEM-768; AES-256-GCM.
The header members are bound through `info`, so that none can be changed in transit; see docs/formats/sealed.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, b64, jcs, unb64
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey

FORMAT: Final = "qnsp.hpke/v1"

_SUITES: Final[Mapping[str, tuple[str, int, Suite]]] = {
    "X-Wing": ("HKDF-SHA256", 1120, Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)),
    "MLKEM1024-P384": ("HKDF-SHA384", 1665, Suite(KEM.MLKEM1024_P384, KDF.HKDF_SHA384, AEAD.AES_256_GCM)),
    "ML-KEM-1024": ("HKDF-SHA384", 1568, Suite(KEM.MLKEM1024, KDF.HKDF_SHA384, AEAD.AES_256_GCM)),
    "ML-KEM-768": ("HKDF-SHA256", 1088, Suite(KEM.MLKEM768, KDF.HKDF_SHA256, AEAD.AES_256_GCM)),
}


@dataclass(frozen=True, slots=True)
class HpkeMessage:
    """A sealed message, unopened.

    Attributes:
        kem: KEM name of the algorithm table; it fixes the KDF, and the AEAD is AES-256-GCM.
        key_id: of the recipient's key.
        enc: encapsulated key, 1088 to 1665 bytes.
        ciphertext: with its 16-byte tag.
    """

    kem: str
    key_id: str
    enc: bytes
    ciphertext: bytes = field(repr=False)

    def to_json(self) -> dict[str, str]:
        """The JSON object."""
        return {**_header(self.kem, self.key_id), "enc": b64(self.enc), "ciphertext": b64(self.ciphertext)}

    @classmethod
    def from_json(cls, value: object) -> HpkeMessage:
        """Reads the JSON object.

        Raises:
            PeerError: QNSP-SIG-013.
        """
        if not isinstance(value, Mapping):
            raise _malformed("not an object")
        kem, key_id = value.get("kem"), value.get("keyId")
        if not isinstance(kem, str) or kem not in _SUITES or not isinstance(key_id, str):
            raise _malformed("`kem` or `keyId` is missing or unknown")
        expected = _header(kem, key_id)
        if any(value.get(name) != member for name, member in expected.items()):
            raise _malformed(f"the header is not {expected}")
        if unknown := set(value) - set(expected) - {"enc", "ciphertext"}:
            raise _malformed(f"unknown members {sorted(unknown)}")
        try:
            enc, ciphertext = unb64(value.get("enc"), "`enc`"), unb64(value.get("ciphertext"), "`ciphertext`")
        except CanonicalJsonError as error:
            raise _malformed(error.message) from None
        if len(enc) != _SUITES[kem][1] or len(ciphertext) < 16:
            raise _malformed(f"`enc` of {kem} has {_SUITES[kem][1]} bytes and the ciphertext at least 16")
        return cls(kem, key_id, enc, ciphertext)


def _malformed(message: str) -> PeerError:
    return PeerError("QNSP-SIG-013", f"malformed HPKE message: {message}")


def _header(kem: str, key_id: str) -> dict[str, str]:
    return {"format": FORMAT, "kem": kem, "kdf": _SUITES[kem][0], "aead": "AES-256-GCM", "keyId": key_id}


def _info(kem: str, key_id: str, info: bytes) -> bytes:
    """JCS holds no raw line feed, so the three parts can be told apart."""
    return b"qnsp.hpke/v1\n" + jcs(_header(kem, key_id)) + b"\n" + info


def seal(public: PublicKey, plaintext: bytes, info: bytes) -> HpkeMessage:
    """Seals `plaintext` so that only the holder of the private key, naming the same `info`, opens it.

    Raises:
        PeerError: QNSP-SIG-005, the key is of no KEM that HPKE has here.
    """
    if public.algorithm not in _SUITES:
        raise PeerError("QNSP-SIG-005", f"{public.algorithm} cannot be sealed to", subject=public.key_id)
    _, size, suite = _SUITES[public.algorithm]
    sealed = suite.encrypt(plaintext, public.handle, info=_info(public.algorithm, public.key_id, info))
    return HpkeMessage(public.algorithm, public.key_id, sealed[:size], sealed[size:])


def open_message(private: PrivateKey, message: HpkeMessage, info: bytes) -> bytes:
    """The plaintext.

    Raises:
        PeerError: QNSP-SIG-014 it is for another key, QNSP-SIG-012 it does not open (altered, or another `info`).
    """
    if message.key_id != private.key_id or message.kem != private.algorithm:
        raise PeerError(
            "QNSP-SIG-014", "the message is sealed to another key", expected=private.key_id, got=message.key_id[:64]
        )
    suite = _SUITES[message.kem][2]
    try:
        return suite.decrypt(
            message.enc + message.ciphertext, private.handle, info=_info(message.kem, message.key_id, info)
        )
    except (InvalidTag, ValueError):
        raise PeerError(
            "QNSP-SIG-012",
            "the sealed message does not open: it was altered, or sealed for another purpose",
            subject=private.key_id,
        ) from None


def info_of(value: Mapping[str, Any]) -> bytes:
    """`info` from a JSON object: its RFC 8785 bytes."""
    return jcs(value)


__all__ = ["FORMAT", "HpkeMessage", "info_of", "open_message", "seal"]
