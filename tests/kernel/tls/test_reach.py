"""`QNSP_REACH`: connections go elsewhere, and nothing else about them changes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from qnsp_policy.errors import OperatorError, PeerError
from qnsp_policy.kernel.crypto.keyfile_edge import write_key_file
from qnsp_policy.kernel.crypto.keys import generate
from qnsp_policy.kernel.tls.certificate import spki_pin
from qnsp_policy.kernel.tls.client_edge import PinnedTransport
from qnsp_policy.kernel.tls.identity import PeerIdentity
from qnsp_policy.kernel.tls.reach_edge import VARIABLE, reached
from qnsp_policy.pipeline.world.broker_edge import BrokerReader
from qnsp_policy.testing.listening import answering

KEY = generate("ECDSA-P256")
NAME, PORT = "broker.clinic.example", 8555


@pytest.fixture
def hangs_up() -> Iterator[tuple[str, int]]:
    """Takes connections and ends them, as a balancer without members does."""
    listener = socket.create_server(("127.0.0.1", 0))
    place = listener.getsockname()
    with answering(listener, lambda stream: stream.recv(65536)):
        yield place


@pytest.mark.parametrize(
    ("told", "asked", "found"),
    [
        ("", (NAME, PORT), (NAME, PORT)),
        (f"{NAME}:8555=127.0.0.1:1855", (NAME, PORT), ("127.0.0.1", 1855)),
        (f"{NAME}:8555=127.0.0.1:1855", (NAME, 443), (NAME, 443)),
        (f"a.example:1=b:2, {NAME.upper()}:8555=[::1]:1855", (NAME, PORT), ("::1", 1855)),
        ("[fd00::1]:8555=127.0.0.1:1855", ("fd00::1", PORT), ("127.0.0.1", 1855)),
    ],
    ids=["nothing-said", "said", "another-port", "several-and-ipv6", "from-ipv6"],
)
def test_an_address_leads_to_a_name(
    told: str, asked: tuple[str, int], found: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name and port must both be meant; letters' case does not matter."""
    monkeypatch.setenv(VARIABLE, told)
    assert reached(*asked) == found


@pytest.mark.parametrize(
    "told", ["broker=127.0.0.1:1", "broker:1=127.0.0.1", "broker:1", "a:1=b:70000", "a:1=b:2;c:3=d:4"]
)
def test_what_leads_nowhere_is_refused(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip is not passed over: the connection would go where nobody meant it to."""
    monkeypatch.setenv(VARIABLE, told)
    with pytest.raises(OperatorError, match="leads nowhere") as caught:
        reached(NAME, PORT)
    assert caught.value.code == "QNSP-OPS-145"


def test_the_connection_goes_there(hangs_up: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nobody resolves is reached; who answers is held to the pin as ever."""
    monkeypatch.setenv(VARIABLE, f"{NAME}:{PORT}=127.0.0.1:{hangs_up[1]}")
    transport = PinnedTransport(PeerIdentity(pins=(spki_pin(KEY.public),)))
    with httpx.Client(transport=transport) as http, pytest.raises(PeerError, match="ended the TLS connection"):
        http.get(f"https://{NAME}:{PORT}/")


def test_a_balancer_without_members_is_a_broker_that_is_not_there_yet(
    hangs_up: tuple[str, int], tmp_path: Path
) -> None:
    """Whoever may wait for a broker goes on waiting."""
    write_key_file(tmp_path / "admin.json", "bob", (KEY,))
    connection = {
        "url": f"https://127.0.0.1:{hangs_up[1]}",
        "name": "main",
        "tls": {"mode": "pinned", "key": KEY.public.to_jwk()},
        "adminKeyIds": [KEY.key_id],
    }
    with BrokerReader(connection, tmp_path / "admin.json") as broker, pytest.raises(ConnectionError, match="hung up"):
        broker.objects()
