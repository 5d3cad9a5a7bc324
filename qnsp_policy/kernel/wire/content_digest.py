"""Content-Digest (RFC 9530): digests of the body in a header that a signature covers.

Comes in: a body, or a header and the body it came with. Goes out: the header value, or an error.
Written with sha-256; sha-256 and sha-512 are verified, every one that is present; other algorithms are ignored, and a
header without one of the two is refused.
"""

from __future__ import annotations

import hashlib

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import b64, same
from qnsp_policy.kernel.wire.structured import Item, parse_dictionary

_HASHES = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}


def content_digest(body: bytes) -> str:
    """The value of a Content-Digest header, `sha-256=:<base64>:`."""
    return digest_header(hashlib.sha256(body).digest())


def digest_header(sha256: bytes) -> str:
    """The value for a SHA-256 (32 bytes) that was computed while streaming."""
    return f"sha-256=:{b64(sha256)}:"


def verify_content_digest(header: str, body: bytes) -> None:
    """Verifies every digest of the header that is known here.

    Raises:
        PeerError: QNSP-SIG-021 the body is another one, QNSP-SIG-022 no known digest, QNSP-SIG-020 malformed.
    """
    known = 0
    for name, member in parse_dictionary(header).items():
        if name not in _HASHES:
            continue
        known += 1
        if not isinstance(member, Item) or not isinstance(member.value, bytes):
            raise PeerError("QNSP-SIG-022", f"the {name} digest is no byte sequence", subject="content-digest")
        if not same(member.value, _HASHES[name](body).digest()):
            raise PeerError(
                "QNSP-SIG-021", f"the body is not the one its {name} digest speaks of", subject="content-digest"
            )
    if not known:
        raise PeerError("QNSP-SIG-022", "no sha-256 or sha-512 digest of the body", subject="content-digest")


__all__ = ["content_digest", "digest_header", "verify_content_digest"]
