"""What the broker's private keys do: open sealed keys, issue and verify tokens; and wrapping to a guest's key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.crypto import hpke
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.kernel.crypto.keyfile_edge import KeyFile
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey
from qnsp_policy.kernel.sealed.header import SealedKey, open_key
from qnsp_policy.kernel.wire.jwe import TeePublicKey, encrypt
from qnsp_policy.kernel.wire.jwt import issue, verify_token
from qnsp_policy.kernel.wire.kbs import HPKE_ALGORITHMS, HPKE_RELEASE_INFO


def private_half(keys: KeyFile, public: Mapping[str, Any], use: str) -> PrivateKey:
    """The private key in `keys` that belongs to a declared public key.

    Raises:
        OperatorError: `QNSP-KBS-002`: the key file does not hold it.
    """
    wanted = PublicKey.from_jwk(public)
    for key in keys.keys:
        if key.public == wanted:
            return key
    raise OperatorError(
        "QNSP-KBS-002",
        f"the key file of {keys.name} does not hold the private half of identity.{use}",
        subject=f"identity.{use}",
        expected=wanted.key_id,
        next_step="give the key file that belongs to the declared identity, or declare the new identity and apply",
    )


class SoftwareKeyOperations:
    """`KeyOperations` over software keys; insecure against whoever can read the broker's memory or key file."""

    def __init__(self, *, unwrap: PrivateKey, token: PrivateKey) -> None:
        self._unwrap = unwrap
        self._token = token

    def open_sealed_key(self, envelope: Mapping[str, Any], resource: str) -> bytes:
        sealed = SealedKey.from_json(envelope)
        if sealed.resource != resource:
            raise PeerError("QNSP-KBS-041", f"this key was sealed for {sealed.resource}", subject=resource)
        return open_key(sealed, self._unwrap)

    def wrap(self, plaintext: bytes, tee_pubkey: Mapping[str, Any]) -> bytes:
        if tee_pubkey.get("alg") in HPKE_ALGORITHMS:
            message = hpke.seal(PublicKey.from_jwk(tee_pubkey), plaintext, HPKE_RELEASE_INFO)
            return jcs(message.to_json())
        return encrypt(TeePublicKey.from_jwk(tee_pubkey), plaintext)

    def check_recipient(self, tee_pubkey: Mapping[str, Any]) -> None:
        if tee_pubkey.get("alg") in HPKE_ALGORITHMS:
            PublicKey.from_jwk(tee_pubkey)
            return
        TeePublicKey.from_jwk(tee_pubkey)

    def issue_token(self, claims: Mapping[str, Any]) -> str:
        return issue(self._token, claims)

    def verify_token(self, token: str, now: datetime) -> Mapping[str, Any]:
        return verify_token(token, (self._token.public,), now=now)


__all__ = ["SoftwareKeyOperations", "private_half"]
