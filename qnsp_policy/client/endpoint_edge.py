"""Reaching an endpoint whose TLS key nobody knows beforehand: its evidence says which key it is.

The first handshake shows a key, the evidence must bind exactly that key, and every later connection is pinned to it. Until the
evidence is verified (`client.verify`), the key is only what whoever answers claims.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.tls.certificate import spki_pin
from qnsp_policy.kernel.tls.client_edge import PinnedTransport
from qnsp_policy.kernel.tls.engine import PQ_GROUPS, Engine, client_context
from qnsp_policy.kernel.tls.identity import PeerIdentity, pin_of
from qnsp_policy.kernel.tls.reach_edge import reached
from qnsp_policy.kernel.wire.endpoint import EndpointEvidence

_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_EVIDENCE_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SeenEndpoint:
    """An endpoint as it answered: unverified but for one thing, that its TLS key is the one its evidence names.

    Attributes:
        url: without a path.
        document: the evidence document's JSON.
        evidence: the same, read.
        pin: of the TLS key, "" for plain HTTP on loopback.
    """

    url: str
    document: Mapping[str, Any]
    evidence: EndpointEvidence
    pin: str

    @property
    def key_id(self) -> str:
        """Id of the key that signs answers."""
        return PublicKey.from_jwk(self.evidence.runtime["responseKeys"][0]).key_id

    def http(self, groups: frozenset[str] = PQ_GROUPS) -> httpx.Client:
        """A client that talks to this endpoint only."""
        return http_client(self.url, self.pin, groups)


def http_client(url: str, pin: str, groups: frozenset[str] = PQ_GROUPS) -> httpx.Client:
    """A client pinned to a TLS key; for "" a plain one."""
    if not pin:
        return httpx.Client(base_url=url, timeout=_TIMEOUT, trust_env=False)
    transport = PinnedTransport(PeerIdentity(pins=(pin,), groups=groups))
    return httpx.Client(base_url=url, transport=transport, timeout=_TIMEOUT, trust_env=False)


def shown_pin(url: str, *, timeout: float = 5.0) -> str:
    """The pin of the key that whoever answers at `url` shows; "" for plain HTTP.

    Raises:
        PeerError: the handshake failed, or agreed on a group that is not hybrid.
        OSError: nobody answers.
    """
    parts = urlsplit(url)
    if parts.scheme == "http":
        return ""
    host, port = parts.hostname or "", parts.port or 443
    engine = Engine(client_context())
    with socket.create_connection(reached(host, port), timeout=timeout) as raw:
        while (done := engine.handshake()) is None:
            if data := engine.outgoing():
                raw.sendall(data)
            received = raw.recv(65536)
            if not received:
                raise PeerError("QNSP-SIG-061", f"TLS with {host}:{port} ended early", subject=host)
            engine.receive(received)
        if not done.post_quantum:
            raise PeerError(
                "QNSP-SIG-062", "the TLS key exchange is not of the accepted kind", subject=host, got=done.group
            )
        if not done.certificates:
            raise PeerError("QNSP-SIG-064", "the peer showed no certificate", subject=host)
        return pin_of(done.certificates[0])


def see_endpoint(url: str) -> SeenEndpoint:
    """Ask an endpoint for its evidence, over TLS by the key that this evidence names.

    Raises:
        PeerError: `QNSP-GWY-021` the evidence names another TLS key, `-020` it is malformed, `-022` no evidence is served.
        OSError: nobody answers.
    """
    base = url.rstrip("/")
    pin = shown_pin(base)
    with http_client(base, pin) as http:
        try:
            answer = http.get("/.well-known/qnsp/evidence")
        except httpx.TransportError as error:
            raise ConnectionError(f"{base} does not answer: {error}") from error
    if answer.status_code != 200 or len(answer.content) > _EVIDENCE_LIMIT:
        raise PeerError("QNSP-GWY-022", f"{base} serves no evidence (HTTP {answer.status_code})", subject=base)
    try:
        document = json.loads(answer.content)
    except ValueError:
        raise PeerError("QNSP-GWY-020", f"the evidence of {base} is not JSON", subject=base) from None
    evidence = EndpointEvidence.from_json(document)
    named = evidence.runtime.get("tlsKey")
    if pin and (named is None or spki_pin(PublicKey.from_jwk(named)) != pin):
        raise PeerError(
            "QNSP-GWY-021",
            f"{base} shows another TLS key than its evidence names: somebody stands between",
            subject=base,
            got=pin,
        )
    return SeenEndpoint(base, document, evidence, pin)


__all__ = ["SeenEndpoint", "http_client", "see_endpoint", "shown_pin"]
