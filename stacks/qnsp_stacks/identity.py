"""Names of public keys in outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qnsp_policy.kernel.crypto.canonical import jcs


def key_id_of(jwk: Mapping[str, Any] | None) -> str:
    """The RFC 7638 thumbprint of a public JWK; empty for none."""
    import base64
    import hashlib

    if not jwk:
        return ""
    required = {
        "EC": ("crv", "kty", "x", "y"),
        "OKP": ("crv", "kty", "x"),
        "AKP": ("alg", "kty", "pub"),
        "RSA": ("e", "kty", "n"),
    }
    members = {name: jwk[name] for name in required.get(str(jwk["kty"]), tuple(sorted(jwk))) if name in jwk}
    return base64.urlsafe_b64encode(hashlib.sha256(jcs(members)).digest()).rstrip(b"=").decode()


__all__ = ["key_id_of"]
