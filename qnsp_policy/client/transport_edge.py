"""An httpx transport that signs every request and lets only verified answers through; made for the official `openai` client.

    endpoint = open_endpoint("https://127.0.0.1:8443", trust, api_key=key, allow_simulated=True)
    client = openai.OpenAI(base_url=endpoint.base_url, api_key="unused", http_client=endpoint.client())

The evidence of whoever a connection leads to is verified before the first request goes over it (`endpoint_edge`); each answer must be
signed by a key that this very evidence binds, carry the nonce of its own request, and be fresh. One that is not is an error, never a
warning. Where a connection ends before an answer begins, the request is asked once more, as a new one; see docs/formats/answer.md.
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
from qnsp_policy.client.endpoint_edge import WAIT, WELL_KNOWN, Lane, Member, Members, Way
from qnsp_policy.client.trust import RelyingPartyTrust
from qnsp_policy.client.verify import VerifiedAnswer, VerifiedEvidence, verify_answer
from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.keys import PrivateKey
from qnsp_policy.kernel.tls.engine import PQ_GROUPS
from qnsp_policy.kernel.wire.api_auth import sign_request

_CLOSING = b"event: qnsp.signature\ndata: "
_EVIDENCE = f"{WELL_KNOWN}evidence"
_REFUSALS = 400
_TURNS = 12
"""How many connections are tried to reach the member whose log holds a receipt."""

_KEEPS_STATE = ("/v1/responses",)
"""What an upstream may keep something of, so that it is not asked twice."""

_LOST = (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError)


def _machine_clock() -> datetime:
    return datetime.now(UTC)


Observer = Callable[[SavedAnswer, VerifiedAnswer], None]


class VerifyingTransport(httpx.BaseTransport):
    """Signs requests, verifies answers.

    Attributes:
        last: the newest verified answer, with what it was made of; None before the first.
    """

    def __init__(
        self,
        way: Way,
        *,
        trust: RelyingPartyTrust,
        api_key: PrivateKey | None,
        allow_simulated: bool,
        observer: Observer | None = None,
        clock: Callable[[], datetime] = _machine_clock,
    ) -> None:
        self._way = way
        self._trust = trust
        self._api_key = api_key
        self._allow_simulated = allow_simulated
        self._observer = observer
        self._clock = clock
        self._answered: dict[str, Mapping[str, Any]] = {}
        self.last: tuple[SavedAnswer, VerifiedAnswer] | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send, verify, return.

        Raises:
            PeerError: the answer does not prove what it must, and its content is not handed on; or who answers is no member.
            httpx.TransportError: nobody answers, or not to the end.
        """
        body = request.read()
        if request.url.path.startswith(WELL_KNOWN) or request.url.path == "/healthz":
            return self._as_it_is(request)
        trust = self._trust
        with self._way.lane() as lane:
            nonce, sent, response, member = self._ask(lane, request, body)
            response.read()
            answer, content = _answer_of(response, sent, body, member.document)
            if trust.receipts:
                answer = fetched_receipt(lane, sent.url, answer)
        if trust.receipts and answer.status >= _REFUSALS and not answer.header("qnsp-receipt"):
            trust = replace(trust, receipts=False)  # a refusal of somebody unknown is signed, but not recorded
        verified = verify_answer(
            answer,
            trust,
            now=self._clock(),
            allow_simulated=self._allow_simulated,
            live=True,
            expected_nonce=nonce,
            evidence=member.evidence,
        )
        self._answered[member.evidence.document_digest] = member.document
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

    def _ask(
        self, lane: Lane, request: httpx.Request, body: bytes
    ) -> tuple[str, httpx.Request, httpx.Response, Member]:
        """The beginning of an answer, with its nonce, the request as it was sent, and who answers.

        Where the connection ends before that, whoever it led to may have gone: asked once more, signed anew.
        """
        try:
            return self._ask_once(lane, request, body)
        except _LOST:
            if request.url.path.startswith(_KEEPS_STATE):
                raise
            return self._ask_once(lane, request, body)

    def _ask_once(
        self, lane: Lane, request: httpx.Request, body: bytes
    ) -> tuple[str, httpx.Request, httpx.Response, Member]:
        nonce = secrets.token_urlsafe(18)
        headers = httpx.Headers(request.headers)
        if self._api_key is not None:
            signed = sign_request(request.method, str(request.url), body, self._api_key, self._clock(), nonce=nonce)
            headers.update(signed)
            headers.pop("authorization", None)
        else:
            headers["qnsp-nonce"] = nonce
        sent = httpx.Request(request.method, request.url, headers=headers, content=body, extensions=request.extensions)
        return nonce, sent, *lane.send(sent)

    def _as_it_is(self, request: httpx.Request) -> httpx.Response:
        """What is not signed, since it proves itself: evidence of the member that answered last, or of `?of=`, and receipts."""
        newest = self.last[0].header("qnsp-evidence") if self.last else ""
        document = self._answered.get(request.url.params.get("of", newest))
        if request.url.path == _EVIDENCE and document is not None:
            return httpx.Response(200, json=document, request=request)
        with self._way.lane() as lane:
            response, _ = lane.send(request)
            response.read()
            if request.url.path.startswith(f"{WELL_KNOWN}receipt/"):
                for _ in range(_TURNS):
                    if response.status_code != 404:
                        break
                    response, _ = lane.send(request, afresh=True)
        return response

    def close(self) -> None:
        self._way.close()


def fetched_receipt(lane: Lane, url: httpx.URL, answer: SavedAnswer) -> SavedAnswer:
    """The answer with what the member that gave it says of the receipt that it names; without it where it says nothing.

    Every member keeps a log of its own, so where the lane's connection leads to another one by now, others are tried.
    """
    named, evidence = answer.header("qnsp-receipt"), answer.header("qnsp-evidence")
    for turn in range(_TURNS if named else 0):
        asked = httpx.Request(
            "GET", url.join(f"{WELL_KNOWN}receipt/{quote(named, safe='')}"), extensions={"timeout": WAIT}
        )
        try:
            found, member = lane.send(asked, afresh=turn > 0)
            found.read()
        except httpx.TransportError:
            continue
        if member.evidence.document_digest != evidence:
            continue
        try:
            receipt = found.json() if found.status_code == 200 else None
        except (ValueError, RecursionError):
            receipt = None
        return replace(answer, receipt=receipt if isinstance(receipt, dict) else None)
    return answer


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
    """An endpoint of which one member's evidence was verified; every other's is before it is sent anything.

    Attributes:
        evidence: of the member that answered first.
        trust: what this relies on.
    """

    members: Members = field(repr=False)
    evidence: VerifiedEvidence
    trust: RelyingPartyTrust
    api_key: PrivateKey | None = field(repr=False)
    allow_simulated: bool
    clock: Callable[[], datetime] = field(repr=False, default=_machine_clock)

    @property
    def base_url(self) -> str:
        """For the `openai` client."""
        return f"{self.members.url}/v1"

    def transport(self, observer: Observer | None = None) -> VerifyingTransport:
        """A verifying transport; the clients of one endpoint share their connections, the last to be closed ends them."""
        return VerifyingTransport(
            self.members.shared(),
            trust=self.trust,
            api_key=self.api_key,
            allow_simulated=self.allow_simulated,
            observer=observer,
            clock=self.clock,
        )

    def client(self, observer: Observer | None = None) -> httpx.Client:
        """An `httpx.Client` to hand to others."""
        return httpx.Client(transport=self.transport(observer), base_url=self.members.url, timeout=120.0)

    def async_client(self, observer: Observer | None = None) -> httpx.AsyncClient:
        """An `httpx.AsyncClient` to hand to others."""
        transport = AsyncVerifyingTransport(self.transport(observer))
        return httpx.AsyncClient(transport=transport, base_url=self.members.url, timeout=120.0)

    def fetch_receipt(self, answer: SavedAnswer) -> SavedAnswer:
        """The answer with its receipt and inclusion proof, where it names one that its member gives.

        Raises:
            PeerError: on the way to it somebody answers who is no member.
        """
        members = self.members.shared()
        try:
            with members.lane() as lane:
                return fetched_receipt(lane, httpx.URL(members.url), answer)
        finally:
            members.close()

    def close(self) -> None:
        """End the connection to the first member, for whoever makes no client."""
        self.members.close()


def open_endpoint(
    url: str,
    trust: RelyingPartyTrust,
    *,
    api_key: PrivateKey | None = None,
    allow_simulated: bool = False,
    groups: frozenset[str] = PQ_GROUPS,
    clock: Callable[[], datetime] = _machine_clock,
) -> OpenEndpoint:
    """Reach an endpoint and verify the evidence of the member that answers.

    Raises:
        PeerError: the evidence does not hold; `QNSP-GWY-050` if it is only simulated and that is not allowed.
        OSError: nobody answers.
    """
    members = Members(url, trust, allow_simulated=allow_simulated, groups=groups, clock=clock)
    return OpenEndpoint(members, members.first().evidence, trust, api_key, allow_simulated, clock)


__all__ = ["AsyncVerifyingTransport", "OpenEndpoint", "VerifyingTransport", "fetched_receipt", "open_endpoint"]
