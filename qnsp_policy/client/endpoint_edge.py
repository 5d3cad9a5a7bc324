"""Reaching an endpoint whose TLS keys nobody knows beforehand: its evidence says which keys are its members'.

Behind one address answer several members, each with a TLS key, a response key, evidence and a ledger of its own, and whoever spreads
the connections may lead the next one elsewhere. So every connection is judged by itself, before a request goes over it: it is a
member's if its TLS key is one whose evidence was verified, and over a connection with an unknown key the evidence is asked first. It
must bind exactly that key (`client.verify`); a connection whose evidence does not hold is closed, with nothing said.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import httpcore
import httpx

from qnsp_policy.client.trust import RelyingPartyTrust
from qnsp_policy.client.verify import VerifiedEvidence, verify_evidence
from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.tls.certificate import spki_pin
from qnsp_policy.kernel.tls.client_edge import BackendTransport, TlsBackend, TlsStream, engine_to
from qnsp_policy.kernel.tls.engine import PQ_GROUPS, client_context
from qnsp_policy.kernel.tls.identity import pin_of, shown_leaf
from qnsp_policy.kernel.wire.endpoint import EndpointEvidence

WELL_KNOWN = "/.well-known/qnsp/"
WAIT: Mapping[str, float | None] = {"connect": 5.0, "read": 60.0, "write": 60.0, "pool": 60.0}
_EVIDENCE_LIMIT = 4 * 1024 * 1024
_REMEMBERED = timedelta(hours=1)
_MEMBER = "qnsp.member"
_IDLE = 20
"""So many connections are kept for those who come next."""


@dataclass(frozen=True, slots=True)
class Member:
    """One of those that answer as an endpoint, as its evidence was verified.

    Attributes:
        pin: of its TLS key, "" for plain HTTP on loopback.
        document: the evidence document's JSON.
        evidence: the same, verified.
        seen: when that was.
    """

    pin: str
    document: Mapping[str, Any]
    evidence: VerifiedEvidence
    seen: datetime


class Lane(Protocol):
    """A connection that one user has to himself: what is asked one after another meets one member, as long as that keeps it."""

    def send(self, request: httpx.Request, *, afresh: bool = False) -> tuple[httpx.Response, Member]:
        """Send to a verified member, `afresh` over a connection beside; with what it answers, which member that is."""
        ...


class Way(Protocol):
    """How requests reach an endpoint's members."""

    def lane(self) -> AbstractContextManager[Lane]:
        """A lane, for as long as the block lasts."""
        ...

    def close(self) -> None:
        """End what is open."""
        ...


class Members:
    """An endpoint's members, and the connections to them.

    Attributes:
        url: of the endpoint, without a path.
    """

    def __init__(
        self,
        url: str,
        trust: RelyingPartyTrust,
        *,
        allow_simulated: bool = False,
        groups: frozenset[str] = PQ_GROUPS,
        clock: Callable[[], datetime],
    ) -> None:
        """Opens nothing yet."""
        self.url = url.rstrip("/")
        self._origin = httpx.URL(self.url)
        self._trust, self._allow_simulated, self._groups, self._clock = trust, allow_simulated, groups, clock
        self._known: dict[str, Member] = {}
        self._context = client_context()
        self._idle: list[BackendTransport] = []
        self._users, self._lock = 0, threading.Lock()

    def _transport_of_its_own(self) -> BackendTransport:
        secure = self._origin.scheme == "https"
        # Once more where a connection could not be made: whoever spreads them may have led to a member that goes.
        backend = TlsBackend(self._dress) if secure else _PlainBackend(self._judged)
        return BackendTransport(backend, retries=1, limits=httpx.Limits(max_connections=1, keepalive_expiry=30.0))

    def first(self) -> Member:
        """Reach a member; its connection stays for the first request.

        Raises:
            PeerError: who answers is no member.
            ConnectionError: nobody answers.
        """
        try:
            with self.lane() as lane:
                request = httpx.Request("GET", f"{self.url}/healthz", extensions={"timeout": WAIT})
                response, member = lane.send(request)
                response.read()
        except httpx.TransportError as error:
            raise ConnectionError(f"{self.url} does not answer: {error}") from error
        return member

    @contextmanager
    def lane(self) -> Iterator[Lane]:
        """A connection for the block; the one that was used last, if one lies idle.

        Its `send` raises:
            PeerError: who answers is no member: `QNSP-GWY-021` its evidence names another TLS key, `-020` that is malformed,
                `-022` none is served, the codes of `verify_evidence`; nothing was sent.
            httpx.TransportError: the network failed.
        """
        with self._lock:
            transport = self._idle.pop() if self._idle else self._transport_of_its_own()
        kept = False
        try:
            yield _Lane(self, transport)
            with self._lock:
                kept = len(self._idle) < _IDLE
                if kept:
                    self._idle.append(transport)
        finally:
            if not kept:
                transport.close()

    def sent(
        self, request: httpx.Request, transport: BackendTransport, *, afresh: bool
    ) -> tuple[httpx.Response, Member]:
        """The answer to a request over one transport's connection, or over a new one that is closed again."""
        wanted, origin = request.url, self._origin
        if (wanted.scheme, wanted.host, wanted.port) != (origin.scheme, origin.host, origin.port):
            raise httpx.UnsupportedProtocol(f"this transport talks to {self.url} only", request=request)
        if afresh:
            with self._transport_of_its_own() as beside:
                response = beside.handle_request(request)
                response.read()
        else:
            response = transport.handle_request(request)
        member = response.extensions["network_stream"].get_extra_info(_MEMBER)
        assert isinstance(member, Member)
        return response, member

    def shared(self) -> Members:
        """This, for one more user, who closes it."""
        with self._lock:
            self._users += 1
        return self

    def close(self) -> None:
        """One user fewer; with the last one, the connections end."""
        with self._lock:
            self._users -= 1
            ended, self._idle = (self._idle, []) if self._users <= 0 else ([], self._idle)
        for transport in ended:
            transport.close()

    def _dress(self, raw: httpcore.NetworkStream, host: str, timeout: float | None) -> httpcore.NetworkStream:
        """A `Dress`: TLS with a member."""
        try:
            stream = TlsStream(raw, engine_to(host, self._context), timeout)
        except (httpcore.ReadError, httpcore.WriteError) as error:
            raise httpcore.ConnectError(f"the connection ended in its TLS handshake: {error}") from error
        except PeerError as error:
            if error.code == "QNSP-SIG-063":
                raise httpcore.ConnectError(error.message) from error
            raise
        return self._judged(stream, pin_of(shown_leaf(stream.handshake, self._groups, host)))

    def _judged(self, stream: httpcore.NetworkStream, pin: str) -> httpcore.NetworkStream:
        """The stream, known to lead to a member."""
        member = self._known.get(pin) if pin else None
        if member is not None and self._clock() - member.seen < _REMEMBERED:
            return _MemberStream(stream, member)
        try:
            status, content, usable = self._evidence_over(stream)
        except (httpcore.ReadError, httpcore.WriteError, httpcore.RemoteProtocolError) as error:
            raise httpcore.ConnectError(f"it ended the connection before it showed its evidence: {error}") from error
        member = self._verified(status, content, pin)
        if pin:
            self._known[pin] = member
        if not usable:
            raise httpcore.ConnectError("it ended the connection once it had shown its evidence")
        return _MemberStream(stream, member)

    def _evidence_over(self, stream: httpcore.NetworkStream) -> tuple[int, bytes, bool]:
        """Status and body of the evidence, asked over one stream, and whether more can be asked over it."""
        scheme, host, port = self._origin.raw_scheme, self._origin.raw_host, self._origin.port
        default = {b"http": 80, b"https": 443}[scheme]
        connection = httpcore.HTTP11Connection(httpcore.Origin(scheme, host, port or default), stream)
        url = httpcore.URL(scheme=scheme, host=host, port=port or default, target=f"{WELL_KNOWN}evidence")
        headers = [(b"Host", self._origin.netloc), (b"Accept", b"application/json")]
        request = httpcore.Request("GET", url, headers=headers, extensions={"timeout": dict(WAIT)})
        response = connection.handle_request(request)
        content = b""
        try:
            for chunk in response.iter_stream():
                content += chunk
                if len(content) > _EVIDENCE_LIMIT:
                    break
        finally:
            response.close()
        return response.status, content, connection.is_idle()

    def _verified(self, status: int, content: bytes, pin: str) -> Member:
        if status != 200 or len(content) > _EVIDENCE_LIMIT:
            raise PeerError("QNSP-GWY-022", f"{self.url} serves no evidence (HTTP {status})", subject=self.url)
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            raise PeerError("QNSP-GWY-020", f"the evidence of {self.url} is not JSON", subject=self.url) from None
        named = EndpointEvidence.from_json(document).runtime.get("tlsKey")
        if pin and (named is None or spki_pin(PublicKey.from_jwk(named)) != pin):
            raise PeerError(
                "QNSP-GWY-021",
                f"{self.url} shows another TLS key than its evidence names: somebody stands between",
                subject=self.url,
                got=pin,
            )
        now = self._clock()
        evidence = verify_evidence(document, self._trust, now=now, allow_simulated=self._allow_simulated)
        return Member(pin, document, evidence, now)


@dataclass(frozen=True, slots=True)
class _Lane:
    members: Members
    transport: BackendTransport

    def send(self, request: httpx.Request, *, afresh: bool = False) -> tuple[httpx.Response, Member]:
        return self.members.sent(request, self.transport, afresh=afresh)


class _MemberStream(httpcore.NetworkStream):
    """A stream that says which member it leads to."""

    def __init__(self, inner: httpcore.NetworkStream, member: Member) -> None:
        self._inner, self._member = inner, member

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self._member if info == _MEMBER else self._inner.get_extra_info(info)


class _PlainBackend(httpcore.NetworkBackend):
    """Connects without TLS, on loopback; who answers is judged by evidence all the same, on every connection."""

    def __init__(self, judged: Callable[[httpcore.NetworkStream, str], httpcore.NetworkStream]) -> None:
        self._judged, self._tcp = judged, httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        raw = self._tcp.connect_tcp(host, port, timeout, local_address, socket_options)
        try:
            return self._judged(raw, "")
        except BaseException:
            raw.close()
            raise

    def sleep(self, seconds: float) -> None:
        self._tcp.sleep(seconds)


__all__ = ["WAIT", "WELL_KNOWN", "Lane", "Member", "Members", "Way"]
