"""A signed answer: which parts of response and request its signature covers, written by gateways and read by relying parties.

An RFC 9421 signature, label `qnsp`, tag `qnsp-answer`, over status, content digest and type, the digests of model and evidence, the
receipt's id, and the request: its method, its path, its own Content-Digest and nonce where it sent them. `Qnsp-Request` repeats
method, path and body digest as the gateway saw them, so that an answer saved without its request still says what it answers.
Format: docs/formats/answer.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.keys import PrivateKey, PublicKey
from qnsp_policy.kernel.wire import rfc9421
from qnsp_policy.kernel.wire.content_digest import digest_header
from qnsp_policy.kernel.wire.structured import Item, parse_dictionary, write_dictionary

TAG: Final = "qnsp-answer"
LIFETIME: Final = timedelta(seconds=300)
REQUIRED: Final = (
    "@status",
    "content-digest",
    "content-type",
    "qnsp-request",
    "qnsp-model",
    "qnsp-evidence",
    "@method;req",
    "@path;req",
)
_FROM_REQUEST: Final = ("content-digest", "qnsp-nonce")


@dataclass(frozen=True, slots=True)
class RequestSummary:
    """What `Qnsp-Request` says: the request as the gateway saw it."""

    method: str
    path: str
    digest: bytes

    def to_header(self) -> str:
        return write_dictionary({"method": Item(self.method), "path": Item(self.path), "digest": Item(self.digest)})

    @classmethod
    def from_header(cls, value: str) -> RequestSummary:
        """Raises `PeerError` `QNSP-GWY-041`."""
        found = parse_dictionary(value)
        parts = [found.get(name) for name in ("method", "path", "digest")]
        method, path, digest = (part.value if isinstance(part, Item) else None for part in parts)
        if (
            not isinstance(method, str)
            or not isinstance(path, str)
            or not isinstance(digest, bytes)
            or len(digest) != 32
        ):
            raise PeerError(
                "QNSP-GWY-041", "Qnsp-Request does not name method, path and digest", subject="qnsp-request"
            )
        return cls(method, path, digest)


def sign_answer(
    request: rfc9421.Request,
    request_digest: bytes,
    *,
    status: int,
    content_type: str,
    body_digest: bytes,
    model_digest: str,
    evidence_digest: str,
    receipt: str,
    nonce: str,
    key: PrivateKey,
    now: datetime,
) -> dict[str, str]:
    """The headers that make an answer prove itself.

    Args:
        request: as received, headers lower-case.
        request_digest: SHA-256 of its body as received, 32 bytes.
        status: of the answer.
        content_type: of the answer.
        body_digest: SHA-256 of the answer's body, 32 bytes.
        model_digest: `sha256:...` of the model.
        evidence_digest: `sha256:...` of the evidence document.
        receipt: id of the receipt, "" for none.
        nonce: the caller's, or a fresh one.
        key: attested response key.
        now: aware.
    """
    path = request.url.partition("://")[2]
    path = "/" + path.partition("/")[2].partition("?")[0]
    summary = RequestSummary(request.method, path, request_digest)
    headers = {
        "Content-Digest": digest_header(body_digest),
        "Qnsp-Request": summary.to_header(),
        "Qnsp-Model": model_digest,
        "Qnsp-Evidence": evidence_digest,
    }
    components = list(REQUIRED)
    if receipt:
        headers["Qnsp-Receipt"] = receipt
        components.append("qnsp-receipt")
    sent = {name for name, _ in request.headers}
    components += [f"{name};req" for name in _FROM_REQUEST if name in sent]
    response = rfc9421.Response(status, [*headers.items(), ("content-type", content_type)], request)
    signed = rfc9421.sign(response, components, key, created=now, expires=now + LIFETIME, nonce=nonce, tag=TAG)
    return {**headers, **signed}


def verify_answer_signature(
    response: rfc9421.Response,
    keys: Mapping[str, PublicKey],
    *,
    now: datetime,
    max_age: timedelta | None,
) -> rfc9421.VerifiedMessage:
    """Verify the signature of an answer; what `;req` components speak of must be in `response.request`.

    Raises:
        PeerError: codes of `rfc9421.verify`.
    """
    return rfc9421.verify(response, keys, required=REQUIRED, now=now, max_age=max_age, tag=TAG)


__all__ = ["LIFETIME", "REQUIRED", "TAG", "RequestSummary", "sign_answer", "verify_answer_signature"]
