"""The guest's key pair that releases are wrapped to; it never leaves this process."""

from __future__ import annotations

from collections.abc import Mapping

from qnsp_policy.kernel.crypto import hpke
from qnsp_policy.kernel.crypto.canonical import parse_object
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.kernel.wire.jwe import ECDH_ES, ML_KEM, TeePrivateKey, decrypt
from qnsp_policy.kernel.wire.kbs import HPKE_ALGORITHMS, HPKE_RELEASE_INFO

_JWE = {"ML-KEM-768": ML_KEM, "ECDH-P256": ECDH_ES}


class EphemeralTeeKey:
    """A fresh TEE key of the protocol: post-quantum (`ML-KEM-768+A192KW`) unless P-256 was asked for by name."""

    def __init__(self, algorithm: str = "ML-KEM-768") -> None:
        self._private = TeePrivateKey.generate(_JWE[algorithm])

    @property
    def jwk(self) -> Mapping[str, str]:
        return self._private.public.to_jwk()

    def unwrap(self, body: bytes) -> bytes:
        return decrypt(self._private, body)


class HpkeTeeKey:
    """A fresh TEE key for tiers that ask for more than ML-KEM-768; brokers of this project only."""

    def __init__(self, algorithm: str) -> None:
        self._private = generate(algorithm)

    @property
    def jwk(self) -> Mapping[str, str]:
        return self._private.public.to_jwk()

    def unwrap(self, body: bytes) -> bytes:
        return hpke.open_message(self._private, hpke.HpkeMessage.from_json(parse_object(body)), HPKE_RELEASE_INFO)


def new_tee_key(algorithm: str) -> EphemeralTeeKey | HpkeTeeKey:
    """A fresh key: `ML-KEM-768` or `ECDH-P256` for the protocol's JWE, else one of the HPKE algorithms."""
    return HpkeTeeKey(algorithm) if algorithm in HPKE_ALGORITHMS else EphemeralTeeKey(algorithm)


__all__ = ["EphemeralTeeKey", "HpkeTeeKey", "new_tee_key"]
