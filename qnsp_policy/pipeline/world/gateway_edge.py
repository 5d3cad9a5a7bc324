"""Asks a gateway who it is: `/.well-known/qnsp/evidence`. Unable to write: one GET.

The TLS peer is measured, not judged: a gateway's key is made inside its enclave and bound by its evidence, which the
relying party verifies (`qnsp-policy verify-response`). Checked here is that the connection's key is the one that the
evidence names, so that the answer comes from whoever holds it.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.tls.certificate import certificate_key
from qnsp_policy.kernel.tls.engine import Engine, client_context
from qnsp_policy.kernel.wire.endpoint import EndpointEvidence

EVIDENCE_PATH = "/.well-known/qnsp/evidence"
_SECONDS = 5.0
_LIMIT = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class GatewayStatement:
    """What a gateway says of itself, not verified.

    Attributes:
        key_id: of its response key.
        attester: kind of the evidence it shows.
    """

    key_id: str
    attester: str


def read_gateway(url: str, *, plaintext: bool) -> GatewayStatement:
    """Ask once.

    Raises:
        PeerError: QNSP-GWY-020 no evidence document, QNSP-GWY-030 another TLS key than the evidence names.
        OSError: it cannot be reached, or does not answer yet.
    """
    body, certificate = _get(url.rstrip("/") + EVIDENCE_PATH, secure=not plaintext)
    try:
        document = EndpointEvidence.from_json(json.loads(body))
    except ValueError as error:
        raise PeerError("QNSP-GWY-020", "the gateway's evidence is not JSON") from error
    runtime: Mapping[str, Any] = document.runtime
    tls_key = runtime.get("tlsKey")
    if (
        certificate is not None
        and tls_key is not None
        and certificate_key(certificate).key_id != PublicKey.from_jwk(tls_key).key_id
    ):
        raise PeerError("QNSP-GWY-030", f"{url} answers with another TLS key than its evidence binds")
    keys = runtime.get("responseKeys")
    key_id = PublicKey.from_jwk(keys[0]).key_id if isinstance(keys, list) and keys else ""
    return GatewayStatement(key_id, document.evidence.kind.value)


def _get(url: str, *, secure: bool) -> tuple[bytes, bytes | None]:
    """One GET over HTTP/1.1; the TLS peer is measured, not judged.

    Returns:
        The body and, over TLS, the peer's certificate.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: application/json\r\nConnection: close\r\n\r\n".encode()
    deadline = time.monotonic() + _SECONDS
    with socket.create_connection((host, port), timeout=_SECONDS) as connection:
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


__all__ = ["EVIDENCE_PATH", "GatewayStatement", "read_gateway"]
