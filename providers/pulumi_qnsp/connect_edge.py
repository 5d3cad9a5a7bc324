"""The provider's ways to a broker and to a gateway, bound to one run's setting."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pulumi_qnsp.broker import BrokerAdmin
from pulumi_qnsp.kinds import Json, Setting
from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.tls.certificate import certificate_key
from qnsp_policy.kernel.tls.engine import Engine, client_context
from qnsp_policy.kernel.wire import broker_admin
from qnsp_policy.kernel.wire.endpoint import EndpointEvidence
from qnsp_policy.pipeline.world.broker_edge import BrokerReader

EVIDENCE_PATH = "/.well-known/qnsp/evidence"
_SECONDS = 5.0
_LIMIT = 8 * 1024 * 1024


class BrokerWriter(BrokerReader):
    """The writing half; a broker takes from it only what a plan that it verified itself authorises."""

    def put(self, kind: str, name: str, value: Any, plan_digest: str) -> None:
        """Hand over an object that the named plan authorises."""
        self._send(broker_admin.put_object(kind, name, value, plan_digest))

    def delete(self, kind: str, name: str) -> None:
        """Remove an object, which only tightens; nothing happens if there is none."""
        try:
            self._send(broker_admin.delete_object(kind, name))
        except PeerError as error:
            if error.got != "404":
                raise

    def present_plan(self, envelope: bytes) -> None:
        """Hand over a signed and approved plan."""
        self._send(broker_admin.submit_plan(envelope))


def connect_broker(connection: Json, setting: Setting) -> BrokerAdmin:
    """A client of the broker's administration that signs with the run's operator key."""
    return BrokerWriter(connection, setting.operator_key)


def read_evidence(url: str, tls: Json) -> Json:
    """What a gateway says of its response key and of the evidence that binds it.

    Not checked here: the evidence itself; that is the relying party's (`qnsp-policy verify-response`). Checked: that the
    TLS key of the connection is the one that the evidence names, so that the answer comes from whoever holds the key.
    """
    body, certificate = _get(url.rstrip("/") + EVIDENCE_PATH, secure=tls["mode"] != "insecure-plaintext")
    try:
        document = EndpointEvidence.from_json(json.loads(body))
    except ValueError as error:
        raise PeerError("QNSP-GWY-020", "the gateway's evidence is not JSON") from error
    runtime: Mapping[str, Any] = document.runtime
    tls_key = runtime.get("tlsKey")
    if certificate is not None and tls_key is not None:
        if certificate_key(certificate).key_id != PublicKey.from_jwk(tls_key).key_id:
            raise PeerError("QNSP-GWY-030", f"{url} answers with another TLS key than its evidence binds")
    keys = runtime.get("responseKeys") or [{}]
    return {
        "keyId": PublicKey.from_jwk(keys[0]).key_id if keys[0] else "",
        "assurance": f"not checked ({document.evidence.kind.value})",
    }


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
    if len(words) < 2 or words[1] != b"200":  # noqa: PLR2004
        raise ConnectionError(0, f"{url} answered {words[1].decode('ascii', 'replace') if len(words) > 1 else 'nothing'}")
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


__all__ = ["EVIDENCE_PATH", "BrokerWriter", "connect_broker", "read_evidence"]
