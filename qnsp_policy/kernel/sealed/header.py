"""The header of a sealed artefact and the envelope of its data key.

Comes in: JSON of a peer, or the names an owner chose. Goes out: `SealedHeader`, `SealedKey`.
Formats `qnsp.sealed/v1` and `qnsp.sealed-key/v1`, docs/formats/sealed.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, b64, is_digest, jcs, unb64
from qnsp_policy.kernel.crypto.hpke import HpkeMessage, info_of, open_message, seal
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey

FORMAT: Final = "qnsp.sealed/v1"
KEY_FORMAT: Final = "qnsp.sealed-key/v1"
CIPHER: Final = "AES-256-GCM"
DEFAULT_CHUNK: Final = 1024 * 1024
MAX_CHUNK: Final = 64 * 1024 * 1024
DATA_KEY_SIZE: Final = 32

_RESOURCE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*){2}\Z")


def _bad(message: str) -> PeerError:
    return PeerError("QNSP-SIG-070", f"malformed sealed artefact: {message}")


def _bad_key(message: str) -> PeerError:
    return PeerError("QNSP-SIG-073", f"malformed sealed key: {message}")


@dataclass(frozen=True, slots=True)
class SealedHeader:
    """What stands in clear before the ciphertext; all of it is authenticated.

    Attributes:
        resource: path of the key, tenant/type/tag.
        version: of the key, from 1.
        plaintext_digest: `sha256:` of the whole plaintext.
        plaintext_size: bytes.
        salt: 32 random bytes; the file key is derived with it, so one data key may seal several files.
        chunk_size: plaintext bytes of every chunk but the last.
    """

    resource: str
    version: int
    plaintext_digest: str
    plaintext_size: int
    salt: bytes
    chunk_size: int = DEFAULT_CHUNK

    def __post_init__(self) -> None:
        if not isinstance(self.resource, str) or len(self.resource) > 512 or _RESOURCE.match(self.resource) is None:
            raise _bad("`resource` is no path of three segments")
        for name, number, least, most in (
            ("version", self.version, 1, 2**31),
            ("plaintextSize", self.plaintext_size, 0, 2**50),
            ("chunkSize", self.chunk_size, 1, MAX_CHUNK),
        ):
            if type(number) is not int or not least <= number <= most:
                raise _bad(f"`{name}` is no integer from {least} to {most}")
        if not is_digest(self.plaintext_digest) or not self.plaintext_digest.startswith("sha256:"):
            raise _bad("`plaintextDigest` is no sha256 digest")
        if len(self.salt) != 32:
            raise _bad("`salt` has 32 bytes")
        if self.chunks > 2**32 - 1:
            raise _bad("more chunks than the counter has numbers")

    @property
    def chunks(self) -> int:
        """How many chunks follow; an empty plaintext has one, empty."""
        return max(1, -(-self.plaintext_size // self.chunk_size))

    def to_json(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "format": FORMAT,
            "resource": self.resource,
            "version": self.version,
            "cipher": CIPHER,
            "chunkSize": self.chunk_size,
            "plaintextSize": self.plaintext_size,
            "plaintextDigest": self.plaintext_digest,
            "salt": b64(self.salt),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SealedHeader:
        """Reads the JSON object.

        Raises:
            PeerError: QNSP-SIG-070.
        """
        names = {"format", "resource", "version", "cipher", "chunkSize", "plaintextSize", "plaintextDigest", "salt"}
        if set(value) != names or value["format"] != FORMAT or value["cipher"] != CIPHER:
            raise _bad(f"the header is not of format {FORMAT} with cipher {CIPHER}")
        try:
            salt = unb64(value["salt"], "`salt`")
        except CanonicalJsonError as error:
            raise _bad(error.message) from None
        return cls(
            value["resource"],
            value["version"],
            value["plaintextDigest"],
            value["plaintextSize"],
            salt,
            value["chunkSize"],
        )


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A data key sealed to a broker, bound to what it is for.

    Attributes:
        resource: path of the key, tenant/type/tag.
        version: of the key.
        tier: address of the tier it was made under ("CryptoTier/hip5-tier-3").
        artefact_digest: digest of the sealed file, or of whatever the key protects.
        message: the HPKE message.
    """

    resource: str
    version: int
    tier: str
    artefact_digest: str
    message: HpkeMessage

    def to_json(self) -> dict[str, Any]:
        """The JSON object that documents and brokers carry; it holds ciphertext only."""
        return {
            "format": KEY_FORMAT,
            **_context(self.resource, self.version, self.tier, self.artefact_digest),
            "hpke": self.message.to_json(),
        }

    def to_bytes(self) -> bytes:
        """RFC 8785 bytes of `to_json`."""
        return jcs(self.to_json())

    @classmethod
    def from_json(cls, value: object) -> SealedKey:
        """Reads the JSON object.

        Raises:
            PeerError: QNSP-SIG-073, or QNSP-SIG-013 of the HPKE message.
        """
        names = {"format", "resource", "version", "tier", "artefactDigest", "hpke"}
        if not isinstance(value, Mapping) or set(value) != names or value["format"] != KEY_FORMAT:
            raise _bad_key(f"not an object of format {KEY_FORMAT}")
        resource, version = value["resource"], value["version"]
        if not isinstance(resource, str) or len(resource) > 512 or _RESOURCE.match(resource) is None:
            raise _bad_key("`resource` is no path of three segments")
        if type(version) is not int or version < 1:
            raise _bad_key("`version` is no integer from 1")
        if not isinstance(value["tier"], str) or not is_digest(value["artefactDigest"]):
            raise _bad_key("`tier` is no text or `artefactDigest` no digest")
        return cls(resource, version, value["tier"], value["artefactDigest"], HpkeMessage.from_json(value["hpke"]))


def _context(resource: str, version: int, tier: str, artefact_digest: str) -> dict[str, Any]:
    return {"resource": resource, "version": version, "tier": tier, "artefactDigest": artefact_digest}


def seal_key(
    data_key: bytes, recipient: PublicKey, *, resource: str, version: int, tier: str, artefact_digest: str
) -> SealedKey:
    """Seals a 32-byte data key to a broker's unwrap key, bound to resource, version, tier and artefact.

    Raises:
        ValueError: the data key has another size.
        PeerError: QNSP-SIG-005, the recipient's key is of no KEM; QNSP-SIG-073, a name is malformed.
    """
    if len(data_key) != DATA_KEY_SIZE:
        raise ValueError(f"a data key has {DATA_KEY_SIZE} bytes")
    context = _context(resource, version, tier, artefact_digest)
    message = seal(recipient, data_key, info_of({"format": KEY_FORMAT, **context}))
    return SealedKey.from_json({"format": KEY_FORMAT, **context, "hpke": message.to_json()})


def open_key(sealed: SealedKey, private: PrivateKey) -> bytes:
    """The 32-byte data key.

    Raises:
        PeerError: QNSP-SIG-012 altered or relabelled, QNSP-SIG-014 sealed to another key.
    """
    context = _context(sealed.resource, sealed.version, sealed.tier, sealed.artefact_digest)
    data_key = open_message(private, sealed.message, info_of({"format": KEY_FORMAT, **context}))
    if len(data_key) != DATA_KEY_SIZE:
        raise _bad_key(f"the opened key has {len(data_key)} bytes, not {DATA_KEY_SIZE}")
    return data_key


__all__ = [
    "CIPHER",
    "DATA_KEY_SIZE",
    "DEFAULT_CHUNK",
    "FORMAT",
    "KEY_FORMAT",
    "MAX_CHUNK",
    "SealedHeader",
    "SealedKey",
    "open_key",
    "seal_key",
]
