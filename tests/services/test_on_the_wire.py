"""The line's connections as somebody on the wire sees them: guest to broker, client to endpoint, and who is refused."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from qnsp_policy.client.transport_edge import open_endpoint
from qnsp_policy.testing.line import ServiceLine
from qnsp_policy.testing.wiretap import GROUP_SIZES, X25519MLKEM768, Tapped, Wiretap

pytestmark = pytest.mark.functional

UPSTREAM = (Path(__file__).parent / "guest/tiny_upstream.py").read_bytes()
MODEL = b"weights that nobody on the wire shall read " * 100
SECP256R1 = 0x0017
QUESTION = "chest pain that nobody on the wire shall read"


@dataclass(frozen=True)
class TappedLine:
    line: ServiceLine
    broker: Wiretap
    endpoint: Wiretap


@pytest.fixture(scope="module")
def tapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TappedLine]:
    """Real processes; the guest's way to its broker and the client's way to the endpoint lead through a relay."""
    line = ServiceLine(tmp_path_factory.mktemp("line"), UPSTREAM, MODEL)
    line.prepare()
    with Wiretap(line.broker_port) as broker, Wiretap(line.endpoint_port) as endpoint:
        path = line.folder / "guest.json"
        guest = json.loads(path.read_bytes())
        guest["broker"]["url"] = f"https://127.0.0.1:{broker.port}"
        path.write_text(json.dumps(guest))
        line.start()
        try:
            line.wait()
            yield TappedLine(line, broker, endpoint)
        finally:
            line.stop()


def _hybrid(connection: Tapped) -> None:
    """TLS 1.3, the hybrid group, shares of its very lengths in both directions."""
    assert connection.taken == (0x0304, X25519MLKEM768, GROUP_SIZES[X25519MLKEM768][1])
    assert connection.offered[X25519MLKEM768] == GROUP_SIZES[X25519MLKEM768][0]
    assert connection.carried > 0


def test_a_guest_obtains_its_keys_over_a_hybrid_key_exchange(tapped: TappedLine) -> None:
    """Every connection to the broker, and nothing of what it released can be read off the wire."""
    used = [connection for connection in tapped.broker.connections if connection.sent]
    assert used
    for connection in used:
        _hybrid(connection)
        assert b"qnsp" not in connection.sent.replace(b"127.0.0.1", b"")
        assert b"clinic/model" not in connection.sent + connection.answered


def test_a_client_asks_over_a_hybrid_key_exchange(tapped: TappedLine) -> None:
    """The official transport: question and answer are not on the wire."""
    url = f"https://127.0.0.1:{tapped.endpoint.port}"
    line = tapped.line
    endpoint = open_endpoint(url, line.trust(), api_key=line.api_key, allow_simulated=True)
    with endpoint.client() as http:
        answer = http.post("/v1/embeddings", json={"model": "tiny", "input": QUESTION})
    assert answer.status_code == 200
    assert "embedding" in answer.text
    for connection in tapped.endpoint.connections:
        _hybrid(connection)
        assert b"embedding" not in connection.sent + connection.answered
        assert QUESTION.encode() not in connection.sent


@pytest.mark.parametrize("name", ["broker", "endpoint"])
def test_a_classical_client_gets_not_one_answer(tapped: TappedLine, name: str) -> None:
    """Elliptic curves only: the server measures what was agreed on and closes before it reads a request."""
    tap: Wiretap = getattr(tapped, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ecdh_curve("prime256v1")
    said = b""
    with (
        suppress(ssl.SSLError, ConnectionError),
        socket.create_connection(("127.0.0.1", tap.port), 10) as raw,
        context.wrap_socket(raw) as connection,
    ):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        said = connection.recv(100)
    assert said == b""
    (seen,) = (one for one in tap.connections if one.offered and X25519MLKEM768 not in one.offered)
    assert seen.taken is None or seen.taken[1] == SECP256R1
