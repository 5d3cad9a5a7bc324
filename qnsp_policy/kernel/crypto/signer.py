"""Signers: one or more keys that must ALL sign, so that a forgery needs every assumption to fall.

Comes in: bytes. Goes out: one `KeySignature` a key. A quantum-safe signer is ML-DSA together with Ed25519; none of
the two alone is ever enough for a verifier that was given both keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from qnsp_policy.kernel.crypto import signatures
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey


@dataclass(frozen=True, slots=True)
class KeySignature:
    """One signature by one key, unverified.

    Attributes:
        key_id: RFC 7638 thumbprint of the key.
        signature: bytes in the encoding of `signatures.py`.
    """

    key_id: str
    signature: bytes


class Signer(Protocol):
    """Whatever signs: software keys, an SSH agent, a token, a KMS."""

    @property
    def name(self) -> str:
        """Whom the keys belong to, for messages."""
        ...

    @property
    def public_keys(self) -> tuple[PublicKey, ...]:
        """Every key of the signer, in a fixed order."""
        ...

    def sign(self, data: bytes) -> tuple[KeySignature, ...]:
        """One signature by every key, in the order of `public_keys`."""
        ...

    def sign_with(self, key: PublicKey, data: bytes) -> bytes:
        """The signature by one of the keys, where a format has a message for each algorithm."""
        ...


@dataclass(frozen=True, slots=True)
class SoftwareSigner:
    """Private keys in this process's memory. Insecure against whoever can read the process or its key file."""

    name: str
    keys: tuple[PrivateKey, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.keys:
            raise ValueError("a signer has at least one key")

    @classmethod
    def of(cls, name: str, keys: Sequence[PrivateKey]) -> SoftwareSigner:
        """A signer of exactly these keys."""
        return cls(name, tuple(keys))

    @property
    def public_keys(self) -> tuple[PublicKey, ...]:
        """Public halves, in order."""
        return tuple(key.public for key in self.keys)

    def sign(self, data: bytes) -> tuple[KeySignature, ...]:
        """One signature by every key."""
        return tuple(KeySignature(key.key_id, signatures.sign(key, data)) for key in self.keys)

    def sign_with(self, key: PublicKey, data: bytes) -> bytes:
        """The signature by that key.

        Raises:
            ValueError: the key is not the signer's.
        """
        for private in self.keys:
            if private.public == key:
                return signatures.sign(private, data)
        raise ValueError(f"{self.name} has no key {key.key_id}")


@dataclass(frozen=True, slots=True)
class JointSigner:
    """Several signers as one: all their keys sign."""

    name: str
    signers: tuple[Signer, ...]

    @property
    def public_keys(self) -> tuple[PublicKey, ...]:
        """Those of each signer, in order."""
        return tuple(key for signer in self.signers for key in signer.public_keys)

    def sign(self, data: bytes) -> tuple[KeySignature, ...]:
        """One signature by every key."""
        return tuple(made for signer in self.signers for made in signer.sign(data))

    def sign_with(self, key: PublicKey, data: bytes) -> bytes:
        """The signature by that key.

        Raises:
            ValueError: no signer has the key.
        """
        for signer in self.signers:
            if key in signer.public_keys:
                return signer.sign_with(key, data)
        raise ValueError(f"{self.name} has no key {key.key_id}")


__all__ = ["JointSigner", "KeySignature", "Signer", "SoftwareSigner"]
