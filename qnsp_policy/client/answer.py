"""Saved answers: one file that holds an answer with what it answers, or what `curl -i` wrote (docs/formats/answer.md).

Comes in: bytes. Goes out: a `SavedAnswer`, unverified; `client.verify` judges it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, b64, parse_object, unb64
from qnsp_policy.kernel.wire.rfc9421 import Headers

FORMAT = "qnsp.answer/v1"


@dataclass(frozen=True, slots=True)
class SentRequest:
    """The request that was sent: method, absolute URL, headers, body."""

    method: str
    url: str
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class SavedAnswer:
    """An answer as it was kept.

    Attributes:
        status, headers, body: of the response; header names lower-case.
        request: what was sent, None where it was not kept.
        evidence: the endpoint's evidence document, None where it was not kept.
        receipt: what the gateway gave for the receipt's id, None where it was not asked.
    """

    status: int
    headers: Headers
    body: bytes
    request: SentRequest | None = None
    evidence: Mapping[str, Any] | None = None
    receipt: Mapping[str, Any] | None = None

    def header(self, name: str) -> str:
        """The value of a header, "" if absent."""
        return ", ".join(value for key, value in self.headers if key == name)

    def to_bytes(self) -> bytes:
        """The single file, JSON."""
        request = None
        if self.request is not None:
            request = {
                "method": self.request.method,
                "url": self.request.url,
                "headers": [list(pair) for pair in self.request.headers],
                "body": b64(self.request.body),
            }
        value = {
            "format": FORMAT,
            "request": request,
            "response": {
                "status": self.status,
                "headers": [list(pair) for pair in self.headers],
                "body": b64(self.body),
            },
            "evidence": self.evidence,
            "receipt": self.receipt,
        }
        return json.dumps(value, indent=1).encode() + b"\n"


def _refuse(message: str) -> PeerError:
    return PeerError(
        "QNSP-GWY-040",
        f"not a saved answer: {message}",
        next_step="give a file that `qnsp-policy call --save` wrote, or the output of `curl -i`",
    )


def parse_answer(data: bytes) -> SavedAnswer:
    """Read a saved answer of either form.

    Raises:
        PeerError: `QNSP-GWY-040`.
    """
    return _from_json(data) if data.lstrip().startswith(b"{") else _from_http(data)


def _headers(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in value
    ):
        raise _refuse("headers are not a list of pairs")
    return tuple((name.lower(), text) for name, text in value)


def _from_json(data: bytes) -> SavedAnswer:
    try:
        value = parse_object(data, max_bytes=256 * 1024 * 1024)
        if value.get("format") != FORMAT:
            raise _refuse(f"format is not {FORMAT}")
        response, sent = value["response"], value["request"]
        request = None
        if sent is not None:
            request = SentRequest(
                str(sent["method"]), str(sent["url"]), _headers(sent["headers"]), unb64(sent["body"], "`body`")
            )
        evidence, receipt = value["evidence"], value["receipt"]
        if not isinstance(response["status"], int) or not all(
            part is None or isinstance(part, dict) for part in (evidence, receipt)
        ):
            raise _refuse("a member has another type")
        return SavedAnswer(
            response["status"],
            _headers(response["headers"]),
            unb64(response["body"], "`body`"),
            request,
            evidence,
            receipt,
        )
    except (CanonicalJsonError, KeyError, TypeError) as error:
        raise _refuse(str(error)) from None


def _from_http(data: bytes) -> SavedAnswer:
    """HTTP/1.1 as `curl -i` writes it: interim responses are skipped, the body is what follows the blank line."""
    while True:
        if not data.startswith(b"HTTP/"):
            raise _refuse("it begins neither with JSON nor with an HTTP status line")
        separator = b"\r\n\r\n" if b"\r\n\r\n" in data else b"\n\n"
        head, found, body = data.partition(separator)
        lines = head.decode("latin-1").replace("\r\n", "\n").split("\n")
        parts = lines[0].split(" ", 2)
        if not found or len(parts) < 2 or not parts[1].isdigit():
            raise _refuse("its status line or headers are incomplete")
        status = int(parts[1])
        if status >= 200:
            break
        data = body
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise _refuse("a header line has no colon")
        headers.append((name.strip().lower(), value.strip()))
    return SavedAnswer(status, tuple(headers), body)


__all__ = ["FORMAT", "SavedAnswer", "SentRequest", "parse_answer"]
