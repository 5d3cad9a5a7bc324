"""The key set of NRAS (RFC 7517): one P-384 key per id, certified for 48 hours by a pinned intermediate.

Steps 3 and 4: the id is there once; the leaf of `x5c` certifies exactly this key; each certificate is signed by the next; one of them
has a pinned public key; all up to it are valid at `now`. What stands above the pin is not looked at.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from qnsp_policy.kernel.attestation.chains import ChainError, check_links, check_window, p384_key
from qnsp_policy.kernel.attestation.nras import codes
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.values import Anchor
from qnsp_policy.kernel.attestation.vendors import anchors_of
from qnsp_policy.kernel.attestation.x509 import Certificate, CertificateError, load_certificate

_MAX_KEYS: Final = 256
_MAX_CHAIN: Final = 5
_EXTENDED_KEY_USAGE: Final = "2.5.29.37"


def decode64(text: Any, *, url: bool) -> bytes:
    """Strict base64url without padding, or base64 with it (x5c); anything else is a ValueError."""
    if not isinstance(text, str) or not text.isascii():
        raise ValueError("not ASCII text")
    raw = text.encode("ascii")
    try:
        if not url:
            return base64.b64decode(raw, validate=True)
        if b"=" in raw or b"+" in raw or b"/" in raw:
            raise ValueError("not base64url")
        data = base64.b64decode(raw + b"=" * (-len(raw) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    if base64.urlsafe_b64encode(data).rstrip(b"=") != raw:
        raise ValueError("base64url with stray bits")
    return data


def find(keys: Any, kid: str) -> Mapping[str, Any]:
    """Step 3: the one JWK of an id.

    Raises:
        EvidenceError: QNSP-ATT-NRAS-007, -008.
    """
    members = keys.get("keys") if isinstance(keys, dict) else None
    if (
        not isinstance(members, list)
        or not all(isinstance(member, dict) for member in members)
        or len(members) > _MAX_KEYS
    ):
        raise EvidenceError(codes.KEY_SET)
    found = [member for member in members if member.get("kid") == kid]
    if not found:
        raise EvidenceError(codes.UNKNOWN_KEY, got=kid[:80])
    if len(found) > 1:
        raise EvidenceError(codes.KEY_SET, f"{len(found)} keys have the id {kid[:80]}")
    member: Mapping[str, Any] = found[0]
    return member


@lru_cache(maxsize=256)
def _linked(ders: tuple[bytes, ...]) -> tuple[Certificate, ...]:
    try:
        chain = tuple(load_certificate(data) for data in ders)
    except CertificateError as error:
        raise EvidenceError(codes.CHAIN, str(error)) from error
    try:
        check_links(chain, known_critical=(_EXTENDED_KEY_USAGE,))
    except ChainError as error:
        raise EvidenceError(codes.CHAIN, error.detail, subject=error.subject) from error
    return chain


def _pins(anchors: Sequence[Anchor]) -> frozenset[bytes]:
    found: set[bytes] = set()
    for anchor in anchors_of("nras", anchors):
        if len(anchor.certificate) == hashlib.sha256().digest_size:
            found.add(anchor.certificate)
        elif anchor.certificate:
            try:
                found.add(hashlib.sha256(load_certificate(anchor.certificate).spki).digest())
            except CertificateError as error:
                raise EvidenceError(codes.PIN, "an anchor is no certificate") from error
    return frozenset(found)


def public_key(
    jwk: Mapping[str, Any], *, anchors: Sequence[Anchor], now: datetime
) -> tuple[ec.EllipticCurvePublicKey, datetime]:
    """Step 4: the key that signed, and until when its certificates hold.

    Raises:
        EvidenceError: QNSP-ATT-NRAS-007, -009 to -012.
    """
    try:
        x, y = (int.from_bytes(decode64(jwk.get(name), url=True), "big") for name in ("x", "y"))
        certificates = jwk.get("x5c")
        if not isinstance(certificates, list) or not 1 <= len(certificates) <= _MAX_CHAIN:
            raise EvidenceError(codes.CHAIN, "x5c does not hold one to five certificates")
        ders = tuple(decode64(certificate, url=False) for certificate in certificates)
    except ValueError as error:
        raise EvidenceError(codes.KEY_SET, str(error)) from error
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-384" or jwk.get("alg", "ES384") != "ES384":
        raise EvidenceError(codes.KEY_SET, "not a P-384 key for ES384")
    chain = _linked(ders)
    try:
        key = p384_key(chain[0])
    except ChainError as error:
        raise EvidenceError(codes.KEY_CERTIFICATE, error.detail) from error
    if (key.public_numbers().x, key.public_numbers().y) != (x, y):
        raise EvidenceError(codes.KEY_CERTIFICATE)
    pins = _pins(anchors)
    depth = next(
        (index for index, certificate in enumerate(chain) if hashlib.sha256(certificate.spki).digest() in pins), None
    )
    if not depth:  # absent, or the leaf itself: an intermediate is pinned, never a daily key
        raise EvidenceError(codes.PIN)
    try:
        check_window(chain[: depth + 1], now)
    except ChainError as error:
        raise EvidenceError(codes.WINDOW, subject=error.subject, expected=error.expected, got=error.got) from error
    return key, min(certificate.not_after for certificate in chain[: depth + 1])


__all__ = ["decode64", "find", "public_key"]
