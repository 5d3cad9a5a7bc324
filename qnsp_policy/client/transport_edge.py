"""An httpx transport that signs every request and lets only verified answers through; made for the official `openai` client.

    endpoint = open_endpoint("https://127.0.0.1:8443", trust, api_key=key, allow_simulated=True)
    client = openai.OpenAI(base_url=endpoint.base_url, api_key="unused", http_client=endpoint.client())

The endpoint's evidence is verified before the first request; each answer must be signed by a key that it binds, carry the nonce of
its own request, and be fresh. An answer that is not is an error, never a warning.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import anyio.to_thread
import httpx

from qnsp_policy.client.answer import SavedAnswer, SentRequest
from qnsp_policy.client.endpoint_edge import SeenEndpoint, http_client, see_endpoint
from qnsp_policy.client.trust import RelyingPartyTrust
from qnsp_policy.client.verify import VerifiedAnswer, VerifiedEvidence, verify_answer, verify_evidence
from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.keys import PrivateKey
from qnsp_policy.kernel.tls.engine import PQ_GROUPS
from qnsp_policy.kernel.wire.api_auth import sign_request

_CLOSING = b"event: qnsp.signature\ndata: "
_WELL_KNOWN = "/.well-known/qnsp/"
_REFUSALS = 400

Observer = Callable[[SavedAnswer, VerifiedAnswer], None]


class VerifyingTransport(httpx.BaseTransport):
    """Signs requests, verifies answers.

    Attributes:
        last: the newest verified answer, with what it was made of; None before the first.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        *,
        trust: RelyingPartyTrust,
        evidence: VerifiedEvidence,
        document: Mapping[str, Any],
        api_key: PrivateKey | None,
        allow_simulated: bool,
        observer: Observer | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._inner = inner
        self._trust = trust
        self._evidence = evidence
        self._document = document
        self._api_key = api_key
        self._allow_simulated = allow_simulated
        self._observer = observer
        self._clock = clock
        self.last: tuple[SavedAnswer, VerifiedAnswer] | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send, verify, return.

        Raises:
            PeerError: the answer does not prove what it must; its content is not handed on.
        """
        body = request.read()
        nonce = secrets.token_urlsafe(18)
        headers = httpx.Headers(request.headers)
        if self._api_key is not None:
            signed = sign_request(request.method, str(request.url), body, self._api_key, self._clock(), nonce=nonce)
            headers.update(signed)
            headers.pop("authorization", None)
        else:
            headers["qnsp-nonce"] = nonce
        sent = httpx.Request(request.method, request.url, headers=headers, content=body, extensions=request.extensions)
        response = self._inner.handle_request(sent)
        response.read()
        if request.url.path.startswith(_WELL_KNOWN) or request.url.path == "/healthz":
            return response
        answer, content = _answer_of(response, sent, body, self._document)
        trust = self._trust
        if trust.receipts:
            answer = self._with_receipt(answer, sent.url)
            if answer.status >= _REFUSALS and not answer.header("qnsp-receipt"):
                trust = replace(trust, receipts=False)  # a refusal of somebody unknown is signed, but not recorded
        verified = verify_answer(
            answer,
            trust,
            now=self._clock(),
            allow_simulated=self._allow_simulated,
            live=True,
            expected_nonce=nonce,
            evidence=self._evidence,
        )
        self.last = (answer, verified)
        if self._observer is not None:
            self._observer(answer, verified)
        return httpx.Response(
            response.status_code,
            headers=[(k, v) for k, v in response.headers.raw if k.lower() not in _HOP],
            content=content,
            request=request,
            extensions={"qnsp.verified": verified},
        )

    def _with_receipt(self, answer: SavedAnswer, url: httpx.URL) -> SavedAnswer:
        """The answer with what the gateway gives for the receipt that it names; without it where it gives nothing."""
        named = answer.header("qnsp-receipt")
        if not named:
            return answer
        found = self._inner.handle_request(
            httpx.Request("GET", url.join(f"{_WELL_KNOWN}receipt/{quote(named, safe='')}"))
        )
        found.read()
        try:
            receipt = found.json() if found.status_code == 200 else None
        except ValueError:
            receipt = None
        return replace(answer, receipt=receipt if isinstance(receipt, dict) else None)

    def close(self) -> None:
        self._inner.close()


class AsyncVerifyingTransport(httpx.AsyncBaseTransport):
    """The same for asynchronous clients: each exchange runs in a worker thread."""

    def __init__(self, transport: VerifyingTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, verify, return; raises as `VerifyingTransport` does."""
        body = await request.aread()
        plain = httpx.Request(
            request.method, request.url, headers=request.headers, content=body, extensions=request.extensions
        )
        answer = await anyio.to_thread.run_sync(self._transport.handle_request, plain)
        return httpx.Response(
            answer.status_code, headers=answer.headers, content=answer.content, extensions=answer.extensions
        )

    async def aclose(self) -> None:
        self._transport.close()


_HOP = {b"content-encoding", b"transfer-encoding", b"content-length"}


def _answer_of(
    response: httpx.Response, sent: httpx.Request, body: bytes, document: Mapping[str, Any]
) -> tuple[SavedAnswer, bytes]:
    """The answer in the form that is verified; of a stream, the closing event's headers and the bytes before it."""
    headers = tuple((name.lower(), value) for name, value in response.headers.items())
    content = response.content
    if "signature" not in response.headers and _CLOSING in content:
        content, _, closing = content.rpartition(_CLOSING)
        try:
            given = json.loads(closing)
            headers = (*headers, *((str(name).lower(), str(value)) for name, value in given.items()))
        except (ValueError, AttributeError):
            raise PeerError("QNSP-GWY-042", "the closing event of the stream is malformed") from None
    request = SentRequest(sent.method, str(sent.url), tuple((n.lower(), v) for n, v in sent.headers.items()), body)
    return SavedAnswer(response.status_code, headers, content, request, dict(document)), content


@dataclass(slots=True)
class OpenEndpoint:
    """An endpoint whose evidence was verified.

    Attributes:
        seen: as it answered.
        evidence: as it was verified.
        trust: what this relies on.
    """

    seen: SeenEndpoint
    evidence: VerifiedEvidence
    trust: RelyingPartyTrust
    api_key: PrivateKey | None = field(repr=False)
    allow_simulated: bool
    groups: frozenset[str]

    @property
    def base_url(self) -> str:
        """For the `openai` client."""
        return f"{self.seen.url}/v1"

    def transport(self, observer: Observer | None = None) -> VerifyingTransport:
        """A verifying transport of its own connections."""
        inner = http_client(self.seen.url, self.seen.pin, self.groups)
        return VerifyingTransport(
            _Through(inner),
            trust=self.trust,
            evidence=self.evidence,
            document=self.seen.document,
            api_key=self.api_key,
            allow_simulated=self.allow_simulated,
            observer=observer,
        )

    def client(self, observer: Observer | None = None) -> httpx.Client:
        """An `httpx.Client` to hand to others."""
        return httpx.Client(transport=self.transport(observer), base_url=self.seen.url, timeout=120.0)

    def async_client(self, observer: Observer | None = None) -> httpx.AsyncClient:
        """An `httpx.AsyncClient` to hand to others."""
        transport = AsyncVerifyingTransport(self.transport(observer))
        return httpx.AsyncClient(transport=transport, base_url=self.seen.url, timeout=120.0)

    def fetch_receipt(self, answer: SavedAnswer) -> SavedAnswer:
        """The answer with its receipt and inclusion proof, where it names one."""
        named = answer.header("qnsp-receipt")
        if not named:
            return answer
        with http_client(self.seen.url, self.seen.pin, self.groups) as http:
            found = http.get(f"{_WELL_KNOWN}receipt/{named}")
        receipt = found.json() if found.status_code == 200 else None
        return SavedAnswer(answer.status, answer.headers, answer.body, answer.request, answer.evidence, receipt)


class _Through(httpx.BaseTransport):
    """A client as a transport, without its cookies and redirects."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._http.send(request, stream=False, follow_redirects=False)

    def close(self) -> None:
        self._http.close()


def open_endpoint(
    url: str,
    trust: RelyingPartyTrust,
    *,
    api_key: PrivateKey | None = None,
    allow_simulated: bool = False,
    groups: frozenset[str] = PQ_GROUPS,
) -> OpenEndpoint:
    """See an endpoint and verify its evidence.

    Raises:
        PeerError: the evidence does not hold; `QNSP-GWY-050` if it is only simulated and that is not allowed.
        OSError: nobody answers.
    """
    seen = see_endpoint(url)
    evidence = verify_evidence(seen.document, trust, now=datetime.now(UTC), allow_simulated=allow_simulated)
    return OpenEndpoint(seen, evidence, trust, api_key, allow_simulated, groups)


__all__ = ["AsyncVerifyingTransport", "OpenEndpoint", "VerifyingTransport", "open_endpoint"]
