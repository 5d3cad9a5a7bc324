"""API tokens: what a plain client sends as `Authorization: Bearer` where it cannot sign each request.

A token is signed by one of the tenant's declared API keys (ML-DSA), names the one endpoint it is for, and ends soon; no shared
secret stands in any document. Whoever holds a token can use it until it ends: signed requests (`api_auth`) are the better way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey
from qnsp_policy.kernel.wire.jwt import issue, key_id_of, verify_token

KIND = "qnsp-api+jwt"
LONGEST = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class VerifiedApiToken:
    """Whose key signed it, and until when it holds."""

    key_id: str
    endpoint: str
    expires: datetime


def issue_api_token(
    private: PrivateKey, endpoint: str, *, now: datetime, lifetime: timedelta = timedelta(hours=1)
) -> str:
    """A token for one endpoint; at most a day.

    Raises:
        ValueError: a longer lifetime.
    """
    if lifetime > LONGEST:
        raise ValueError(f"an API token lasts at most {LONGEST}")
    moment = int(now.timestamp())
    claims = {"aud": endpoint, "iat": moment, "nbf": moment, "exp": moment + int(lifetime.total_seconds())}
    return issue(private, claims, kind=KIND)


def verify_api_token(token: str, keys: Mapping[str, PublicKey], endpoint: str, *, now: datetime) -> VerifiedApiToken:
    """Verify a token for `endpoint` against keys by id.

    Raises:
        PeerError: `QNSP-GWY-012` another endpoint or too long a life; codes of `jwt.verify_token`.
    """
    key = keys.get(key_id_of(token))
    if key is None:
        raise PeerError("QNSP-GWY-011", "no such API key may call this endpoint")
    claims = verify_token(token, (key,), now=now, kind=KIND)
    issued, expires = claims.get("iat"), claims["exp"]
    if claims.get("aud") != endpoint or not isinstance(issued, int) or expires - issued > LONGEST.total_seconds():
        raise PeerError(
            "QNSP-GWY-012", f"this token is not one for endpoint {endpoint}, or it was made to last too long"
        )
    return VerifiedApiToken(key.key_id, endpoint, datetime.fromtimestamp(expires, now.tzinfo))


__all__ = ["KIND", "LONGEST", "VerifiedApiToken", "issue_api_token", "verify_api_token"]
