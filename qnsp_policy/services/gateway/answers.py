"""Signing answers and recording them: the exchange, the signer with the attested key, the gateway's own log of receipts."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import b64
from qnsp_policy.kernel.crypto.keys import PrivateKey
from qnsp_policy.kernel.wire import rfc9421
from qnsp_policy.kernel.wire.answers import sign_answer
from qnsp_policy.kernel.wire.receipts import Receipt, issue
from qnsp_policy.kernel.wire.structured import parse_dictionary
from qnsp_policy.services.gateway.callers import Caller

_NONCE_LIMIT = 128


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as it came, and who sent it; of its body only the SHA-256 is kept."""

    request: rfc9421.Request
    digest: bytes
    caller: Caller | None
    nonce: str
    started: datetime

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def target(self) -> str:
        return "/" + self.request.url.partition("://")[2].partition("/")[2]

    @classmethod
    def begin(
        cls,
        method: str,
        target: str,
        headers: Mapping[str, str],
        digest: bytes,
        caller: Caller | None,
        now: datetime,
    ) -> Exchange:
        """The nonce that the answer carries is the request's, from its signature or `Qnsp-Nonce`, else a fresh one.

        A refusal of somebody unknown repeats it as well: it says which request is refused, not who sent it.
        """
        url = f"http://{headers.get('host', 'endpoint')}{target}"
        asked = (caller.nonce if caller else _named_nonce(headers)) or headers.get("qnsp-nonce", "")
        usable = 0 < len(asked) <= _NONCE_LIMIT and asked.isascii() and asked.isprintable()
        nonce = asked if usable else secrets.token_urlsafe(18)
        kept = {name: value for name, value in headers.items() if name != "qnsp-nonce" or usable}
        return cls(rfc9421.Request(method, url, tuple(kept.items())), digest, caller, nonce, now)


def _named_nonce(headers: Mapping[str, str]) -> str:
    """The nonce that a request's signature names, which nobody verified; "" where there is none."""
    try:
        members = parse_dictionary(headers.get("signature-input", ""))
    except PeerError:
        return ""
    nonces = [member.parameters.get("nonce") for member in members.values()]
    return next((nonce for nonce in nonces if isinstance(nonce, str)), "")


class AnswerSigner:
    """Signs with the key that the evidence binds."""

    def __init__(self, key: PrivateKey, *, model_digest: str, evidence_digest: str) -> None:
        self._key = key
        self._model_digest = model_digest
        self._evidence_digest = evidence_digest

    def sign(
        self, exchange: Exchange, status: int, content_type: str, body: bytes, *, receipt: str, now: datetime
    ) -> dict[str, str]:
        """Headers for a whole answer."""
        return self._headers(exchange, status, content_type, hashlib.sha256(body).digest(), receipt, now)

    @staticmethod
    def running_digest() -> hashlib._Hash:
        """For an answer that is streamed."""
        return hashlib.sha256()

    def closing_event(
        self, exchange: Exchange, status: int, content_type: str, running: hashlib._Hash, receipt: str, now: datetime
    ) -> bytes:
        """A server-sent event that signs every byte before it; its data holds the headers as JSON."""
        headers = self._headers(exchange, status, content_type, running.digest(), receipt, now)
        return b"event: qnsp.signature\ndata: " + json.dumps(headers, separators=(",", ":")).encode() + b"\n\n"

    def _headers(
        self, exchange: Exchange, status: int, content_type: str, digest: bytes, receipt: str, now: datetime
    ) -> dict[str, str]:
        return sign_answer(
            exchange.request,
            exchange.digest,
            status=status,
            content_type=content_type,
            body_digest=digest,
            model_digest=self._model_digest,
            evidence_digest=self._evidence_digest,
            receipt=receipt,
            nonce=exchange.nonce,
            key=self._key,
            now=now,
        )


class AnswerLedger(Protocol):
    """The gateway's own log."""

    def append(self, *, actor: str, subject: str, data: Mapping[str, Any], now: datetime) -> int: ...

    def prove(self, index: int) -> tuple[bytes, bytes]:
        """The entry's bytes and its `.tlog-proof`."""
        ...


class ReceiptLog:
    """Receipts by ids that cannot be guessed: a receipt names a tenant, so it is not for whoever counts.

    The newest `shown` are given to who names them, so that a gateway of many answers does not grow; the log holds them all.
    """

    def __init__(
        self,
        ledger: AnswerLedger,
        *,
        endpoint: str,
        model: str,
        key: PrivateKey,
        model_digest: str,
        evidence_digest: str,
        shown: int = 100_000,
    ) -> None:
        self._ledger = ledger
        self._shown = shown
        self._endpoint = endpoint
        self._model = model
        self._key = key
        self._digests = {"model": model_digest, "evidence": evidence_digest}
        self._index: dict[str, int] = {}
        self._sequence = 0
        self._lock = threading.Lock()

    def record(self, exchange: Exchange, status: int, body_digest: bytes, now: datetime) -> str:
        """Record an answer durably before it is sent; digests only, never a payload. Returns the receipt's id."""
        assert exchange.caller is not None
        identifier = secrets.token_bytes(16)
        with self._lock:
            self._sequence += 1
            sequence = self._sequence
        receipt = Receipt(
            issuer=self._endpoint,
            time=now,
            id=identifier,
            model_id=self._model,
            model_version="",
            model_digest=_raw(self._digests["model"]),
            request_digest=exchange.digest,
            response_digest=body_digest,
            evidence_digest=_raw(self._digests["evidence"]),
            security_mode="see evidence",
            sequence=sequence,
            execution_ms=max(0, int((now - exchange.started).total_seconds() * 1000)),
        )
        index = self._ledger.append(
            actor=f"{exchange.caller.tenant}/{exchange.caller.key_name}",
            subject=self._endpoint,
            data={
                "receipt": identifier.hex(),
                "method": exchange.method,
                "path": exchange.target,
                "status": status,
                "requestDigest": "sha256:" + exchange.digest.hex(),
                "answerDigest": "sha256:" + body_digest.hex(),
                "nonce": exchange.nonce,
                "keyId": self._key.key_id,
                **self._digests,
                "cose": b64(issue(receipt, self._key)),
            },
            now=now,
        )
        with self._lock:
            self._index[identifier.hex()] = index
            if len(self._index) > self._shown:
                del self._index[next(iter(self._index))]
        return identifier.hex()

    def prove(self, receipt: str) -> dict[str, Any] | None:
        """Entry and inclusion proof of a receipt; None for one that is unknown, or older than the newest that are shown."""
        with self._lock:
            index = self._index.get(receipt)
        if index is None:
            return None
        entry, proof = self._ledger.prove(index)
        return {
            "format": "qnsp.receipt/v1",
            "id": receipt,
            "index": index,
            "entry": entry.decode(),
            "proof": proof.decode(),
        }


def _raw(digest: str) -> bytes:
    """The 32 bytes of a `sha256:` text."""
    return bytes.fromhex(digest.removeprefix("sha256:"))


__all__ = ["AnswerLedger", "AnswerSigner", "Exchange", "ReceiptLog"]
