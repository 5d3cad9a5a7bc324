"""Sign and verify bytes with one key.

Comes in: a key and bytes. Goes out: signature bytes; `verify` returns nothing and raises on failure.
Encodings: ML-DSA pure, empty context (FIPS 204, Algorithm 2); Ed25519 (RFC 8032); ECDSA as r || s, fixed width
(RFC 7518 3.4), P-256 with SHA-256, P-384 with SHA-384; SSH keys as an SSHSIG blob in namespace `qnsp-policy`.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto import sshsig
from qnsp_policy.kernel.crypto.algorithms import SIGNING, SSH
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey

_ECDSA: Final[dict[str, tuple[int, hashes.HashAlgorithm]]] = {
    "ECDSA-P256": (32, hashes.SHA256()),
    "ECDSA-P384": (48, hashes.SHA384()),
}


def sign(private: PrivateKey, data: bytes) -> bytes:
    """Signs `data` as it is; ML-DSA signatures are hedged, two of the same data differ.

    Raises:
        ValueError: the key is no signature key.
    """
    if private.algorithm in _ECDSA:
        width, digest = _ECDSA[private.algorithm]
        r, s = decode_dss_signature(private.handle.sign(data, ec.ECDSA(digest)))
        return r.to_bytes(width, "big") + s.to_bytes(width, "big")
    if private.algorithm not in SIGNING:
        raise ValueError(f"{private.algorithm} does not sign")
    signature: bytes = private.handle.sign(data)
    return signature


def verify(public: PublicKey, signature: bytes, data: bytes) -> None:
    """Verifies one signature by one key.

    Raises:
        PeerError: QNSP-SIG-001 it does not verify (a wrong length included), QNSP-SIG-005 the key is no signature key,
            QNSP-SIG-008 to -010 for SSH signatures.
    """
    if public.algorithm in SSH:
        sshsig.verify(public, signature, data, namespace=sshsig.NAMESPACE)
        return
    if public.algorithm not in SIGNING:
        raise PeerError("QNSP-SIG-005", f"{public.algorithm} is no signature algorithm", subject=public.key_id)
    try:
        if public.algorithm in _ECDSA:
            width, digest = _ECDSA[public.algorithm]
            if len(signature) != 2 * width:
                signature = bytes(2 * width)  # r = s = 0 never verifies
            pair = int.from_bytes(signature[:width], "big"), int.from_bytes(signature[width:], "big")
            public.handle.verify(encode_dss_signature(*pair), data, ec.ECDSA(digest))
        else:
            public.handle.verify(signature, data)
    except InvalidSignature:
        raise PeerError(
            "QNSP-SIG-001",
            f"the {public.algorithm} signature by key {public.key_id} does not verify",
            subject=public.key_id,
        ) from None


__all__ = ["sign", "verify"]
