"""Signed API requests: who calls, that the request is whole, fresh and used once.

Comes in: a request and a key, or a request of a peer, the known keys and a store of nonces. Goes out: headers, or a
`VerifiedRequest`. An RFC 9421 signature, label `qnsp`, tag `qnsp-api`, over `@method`, `@authority`, `@path`, `@query`
and `content-digest` (of the empty body, too), with created, nonce, alg and keyid.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey
from qnsp_policy.kernel.wire import rfc9421
from qnsp_policy.kernel.wire.content_digest import content_digest, verify_content_digest

TAG: Final = "qnsp-api"
COVERED: Final = ("@method", "@authority", "@path", "@query", "content-digest")
MAX_AGE: Final = timedelta(seconds=300)
_NONCE_BYTES: Final = 18


class NonceStore(Protocol):
    """Remembers which nonces were used, until they could not be accepted anyway."""

    def use(self, key_id: str, nonce: str, until: datetime, now: datetime) -> bool:
        """True the first time, False if this key has used this nonce before."""
        ...


@dataclass(slots=True)
class MemoryNonces:
    """Nonces of one process.

    Attributes:
        limit: how many live nonces are kept; a full store refuses new ones rather than forget old ones.
    """

    limit: int = 200_000
    _until: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def use(self, key_id: str, nonce: str, until: datetime, now: datetime) -> bool:
        """True the first time."""
        if len(self._until) >= self.limit:
            self._until = {key: end for key, end in self._until.items() if end > now}
        if len(self._until) >= self.limit:
            return False
        known = self._until.get((key_id, nonce))
        if known is not None and known > now:
            return False
        self._until[key_id, nonce] = until
        return True


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """A request whose signature, body and freshness were verified; only `verify_request` makes one."""

    key: PublicKey
    created: datetime
    nonce: str


def sign_request(
    method: str,
    url: str,
    body: bytes,
    key: PrivateKey,
    now: datetime,
    *,
    nonce: str | None = None,
) -> dict[str, str]:
    """Headers to add: `Content-Digest`, `Signature-Input`, `Signature`.

    Args:
        method: upper-case.
        url: absolute.
        body: exactly as it will be sent.
        key: ML-DSA, Ed25519 or ECDSA.
        now: aware.
        nonce: only tests give one.
    """
    digest = content_digest(body)
    request = rfc9421.Request(method, url, (("content-digest", digest),))
    fresh = nonce or secrets.token_urlsafe(_NONCE_BYTES)
    signed = rfc9421.sign(request, COVERED, key, created=now, nonce=fresh, tag=TAG)
    return {"Content-Digest": digest, **signed}


def verify_request(
    request: rfc9421.Request,
    body: bytes,
    keys: Mapping[str, PublicKey],
    nonces: NonceStore,
    now: datetime,
) -> VerifiedRequest:
    """Verifies a signed request.

    Args:
        request: method, absolute URL as the client wrote it (scheme does not matter, authority does), headers.
        body: as received.
        keys: by key id.
        nonces: where used ones are kept.
        now: aware.

    Raises:
        PeerError: QNSP-SIG-040 not signed or nonce missing, -041 the nonce was used before, and the codes of
            `rfc9421.verify` and `verify_content_digest`.
    """
    present = {name.lower() for name, _ in request.headers}
    if not {"signature", "signature-input", "content-digest"} <= present:
        raise PeerError(
            "QNSP-SIG-040",
            "the request is not signed",
            next_step="Sign it: Content-Digest, Signature-Input and Signature as docs/formats/http-signature.md says.",
        )
    verified = rfc9421.verify(request, keys, required=COVERED, now=now, max_age=MAX_AGE, tag=TAG)
    digest = ", ".join(value for name, value in request.headers if name.lower() == "content-digest")
    verify_content_digest(digest, body)
    if not 16 <= len(verified.nonce) <= 128:
        raise PeerError("QNSP-SIG-040", "the request has no nonce of 16 to 128 characters", subject="nonce")
    until = verified.created + MAX_AGE + 2 * rfc9421.MAX_SKEW
    if not nonces.use(verified.key.key_id, verified.nonce, until, now):
        raise PeerError("QNSP-SIG-041", "the request was sent before: its nonce is used", subject=verified.key.key_id)
    return VerifiedRequest(verified.key, verified.created, verified.nonce)


__all__ = [
    "COVERED",
    "MAX_AGE",
    "TAG",
    "MemoryNonces",
    "NonceStore",
    "VerifiedRequest",
    "sign_request",
    "verify_request",
]
