"""The guest's key pair that releases are wrapped to; it never leaves this process."""

from __future__ import annotations

from collections.abc import Mapping

from qnsp_policy.kernel.wire.jwe import ECDH_ES, ML_KEM, TeePrivateKey, decrypt

ALGORITHMS = {"ML-KEM-768": ML_KEM, "ECDH-P256": ECDH_ES}


class EphemeralTeeKey:
    """A fresh TEE key; post-quantum (`ML-KEM-768+A192KW`) unless P-256 was asked for by name."""

    def __init__(self, algorithm: str = "ML-KEM-768") -> None:
        self._private = TeePrivateKey.generate(ALGORITHMS[algorithm])

    @property
    def jwk(self) -> Mapping[str, str]:
        return self._private.public.to_jwk()

    def unwrap(self, body: bytes) -> bytes:
        return decrypt(self._private, body)


__all__ = ["ALGORITHMS", "EphemeralTeeKey"]
