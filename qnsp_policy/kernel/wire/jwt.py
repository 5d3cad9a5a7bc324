"""Compact signed tokens (RFC 7515, RFC 7519) with ES256, Ed25519 or ML-DSA (RFC 9964), one key each, times checked.

Comes in: claims and a private key, or a token with the keys that may have signed it. Goes out: the token, or its claims.
The algorithm follows from the key that is trusted, never from the token: a header that says otherwise is refused, and so is one with
`crit`. Keys that travel in a header (`jwk`, `x5c`) are never looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, b64url, jcs, parse_object, unb64url
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey
from qnsp_policy.kernel.crypto.signatures import sign, verify

_ALG = {"ECDSA-P256": "ES256", "ECDSA-P384": "ES384", "Ed25519": "Ed25519"}
_MAX_BYTES = 64 * 1024
_LEEWAY_SECONDS = 30


def issue(private: PrivateKey, claims: Mapping[str, Any], *, kind: str = "JWT") -> str:
    """A token over `claims`, with the key's id as `kid`."""
    header = {"typ": kind, "alg": _ALG.get(private.algorithm, private.algorithm), "kid": private.key_id}
    signed = f"{b64url(jcs(header))}.{b64url(jcs(dict(claims)))}"
    return f"{signed}.{b64url(sign(private, signed.encode()))}"


def key_id_of(token: str) -> str:
    """The `kid` of a token, unverified: good for choosing a key, for nothing else.

    Raises:
        PeerError: `QNSP-SIG-090`.
    """
    found = _parts(token)[0].get("kid")
    return found if isinstance(found, str) else ""


def verify_token(token: str, keys: Sequence[PublicKey], *, now: datetime, kind: str = "JWT") -> dict[str, Any]:
    """The claims of a token in force that one of `keys` signed.

    Raises:
        PeerError: `QNSP-SIG-090` malformed, `-091` no such key, `-092` expired or not yet valid, `-001` bad signature.
    """
    header, claims, signed, signature = _parts(token)
    candidates = [key for key in keys if header.get("kid") in (None, key.key_id)]
    if not candidates:
        raise PeerError("QNSP-SIG-091", "the token names a key that is not trusted here")
    key = candidates[0]
    if header.get("alg") != _ALG.get(key.algorithm, key.algorithm) or header.get("typ") != kind or "crit" in header:
        raise PeerError("QNSP-SIG-090", "the token's header does not fit the trusted key")
    verify(key, signature, signed)
    moment = now.timestamp()
    expires, not_before = claims.get("exp"), claims.get("nbf", 0)
    if not isinstance(expires, int) or not isinstance(not_before, int):
        raise PeerError("QNSP-SIG-090", "the token says no time in `exp` or `nbf`")
    if moment > expires or moment + _LEEWAY_SECONDS < not_before:
        raise PeerError("QNSP-SIG-092", "the token has expired or is not yet valid")
    return claims


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    pieces = token.split(".")
    if len(pieces) != 3 or len(token) > _MAX_BYTES:
        raise PeerError("QNSP-SIG-090", "not a compact signed token")
    try:
        header = parse_object(unb64url(pieces[0], "header"), max_bytes=_MAX_BYTES)
        claims = parse_object(unb64url(pieces[1], "claims"), max_bytes=_MAX_BYTES)
        signature = unb64url(pieces[2], "signature")
    except CanonicalJsonError as error:
        raise PeerError("QNSP-SIG-090", f"malformed token: {error.message}") from None
    return dict(header), dict(claims), f"{pieces[0]}.{pieces[1]}".encode(), signature


__all__ = ["issue", "key_id_of", "verify_token"]
