"""Who has verifiably signed a document."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VerifiedSigner:
    """An identity of a TrustRoot all of whose keys of one signer have signed; only `signatures.py` makes one.

    Attributes:
        identity: its name in the TrustRoot.
        roles: its roles there.
        signer: the kind of signer: software, ssh, pkcs11, kms.
        key_ids: RFC 7638 thumbprints of the keys that signed.
    """

    identity: str
    roles: tuple[str, ...]
    signer: str
    key_ids: tuple[str, ...]


__all__ = ["VerifiedSigner"]
