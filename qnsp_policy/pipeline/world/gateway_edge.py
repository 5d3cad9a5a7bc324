"""Asks a gateway who it is: `/.well-known/qnsp/evidence`. Unable to write: one GET.

The TLS peer is measured, not judged by a certificate authority: a gateway's key is made inside its enclave and bound by
its evidence, which `world/gateway.py` holds against what the endpoint must show.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.tls.engine import Engine, client_context
from qnsp_policy.kernel.tls.reach_edge import reached
from qnsp_policy.kernel.wire.endpoint import EndpointEvidence
from qnsp_policy.pipeline.world.gateway import Expected, GatewayStatement, verify_gateway

EVIDENCE_PATH = "/.well-known/qnsp/evidence"
_SECONDS = 20.0
_LIMIT = 8 * 1024 * 1024


def read_gateway(endpoint: Mapping[str, Any]) -> GatewayStatement:
    """Ask once, and hold the answer against what the endpoint must show.

    Args:
        endpoint: the member `endpoint` of its unit's inputs.

    Raises:
        EngineError: the unit was recorded without what its gateway must show.
        PeerError: no evidence document, or not this endpoint's; see `verify_gateway`.
        OSError: it cannot be reached, or does not answer yet.
    """
    expected = Expected.of_unit(endpoint)
    secure = endpoint["tls"]["mode"] != "insecure-plaintext"
    body, certificate = _get(str(endpoint["url"]).rstrip("/") + EVIDENCE_PATH, secure=secure)
    try:
        document = EndpointEvidence.from_json(json.loads(body))
    except ValueError as error:
        raise PeerError("QNSP-GWY-020", "the gateway's evidence is not JSON") from error
    if secure and certificate is None:
        raise PeerError("QNSP-GWY-030", "the gateway shows no TLS certificate")
    return verify_gateway(document, certificate, expected, datetime.now(UTC))


def _get(url: str, *, secure: bool) -> tuple[bytes, bytes | None]:
    """One GET over HTTP/1.1; the TLS peer is measured, not judged.

    Returns:
        The body and, over TLS, the peer's certificate.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: application/json\r\nConnection: close\r\n\r\n".encode()
    deadline = time.monotonic() + _SECONDS
    with socket.create_connection(reached(host, port) if secure else (host, port), timeout=_SECONDS) as connection:
        certificate = None
        if secure:
            answer, certificate = _exchange(connection, host, request, deadline)
        else:
            connection.sendall(request)
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split()
    if len(words) < 2 or words[1] != b"200":
        raise ConnectionError(
            0, f"{url} answered {words[1].decode('ascii', 'replace') if len(words) > 1 else 'nothing'}"
        )
    if b"transfer-encoding: chunked" in head.lower():
        body = _dechunked(body)
    return body, certificate


def _exchange(connection: socket.socket, host: str, request: bytes, deadline: float) -> tuple[bytes, bytes | None]:
    name = "" if host.replace(".", "").isdigit() or ":" in host else host
    engine = Engine(client_context(), server_name=name)

    def pump() -> None:
        if data := engine.outgoing():
            connection.sendall(data)
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        engine.receive(connection.recv(65536))

    while (done := engine.handshake()) is None:
        pump()
    engine.write(request)
    answer = b""
    while not engine.eof and len(answer) < _LIMIT:
        data = engine.read()
        answer += data
        if not data and not engine.eof:
            pump()
    return answer, done.certificates[0] if done.certificates else None


def _dechunked(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        if length == 0:
            break
        parts.append(rest[:length])
        body = rest[length + 2 :]
    return b"".join(parts)


__all__ = ["EVIDENCE_PATH", "read_gateway"]
