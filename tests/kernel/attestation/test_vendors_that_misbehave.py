"""Fetching collateral from vendors that answer slowly, hugely, with pages, compressed, or ask for patience; and many at once."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import signal
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from qnsp_policy.errors import OperatorError
from qnsp_policy.kernel.attestation.fetch_edge import Cache, fetch
from qnsp_policy.kernel.attestation.needs import Need
from qnsp_policy.simulator import nvidia, snp

NOW = datetime(2027, 3, 9, 8, 0, 0, tzinfo=UTC)
PKI = snp.mint_pki("Turin", NOW, key_size=2048)
CRL = PKI.crl(this_update=NOW - timedelta(days=1), next_update=NOW + timedelta(days=30))
CHAIN = nvidia.pem(PKI.ask.certificate)
NEED = Need("amd.crl.der", "http://vendor.example/crl", "CRL")

Answer = Callable[[httpx.Request], httpx.Response]


def ask(answer: Answer, need: Need = NEED, waits: list[float] | None = None) -> bytes:
    transport = httpx.MockTransport(answer)
    (found, *_) = fetch([need], now=NOW, transport=transport, wait=(waits if waits is not None else []).append)
    return found.data


BAD: dict[str, tuple[Answer, Need, str, str]] = {
    "a login page": (lambda _: httpx.Response(200, html="<html>sign in</html>"), NEED, "QNSP-OPS-102", "HTML page"),
    "a login page for a RIM": (
        lambda _: httpx.Response(200, html="<html>sign in</html>"),
        Need("x.xml", "http://vendor.example/rim", "RIM", form="rim"),
        "QNSP-OPS-102",
        "HTML page",
    ),
    "certificates for a CRL": (lambda _: httpx.Response(200, content=CHAIN), NEED, "QNSP-OPS-102", "unreadable"),
    "JSON for a CRL": (lambda _: httpx.Response(200, json={"error": "x"}), NEED, "QNSP-OPS-102", "unreadable"),
    "a page as issuer chain": (
        lambda _: httpx.Response(200, content=CRL, headers={"Chain": "%3Chtml%3E"}),
        Need("amd.crl.der", "http://vendor.example/crl", "CRL", chain_header="Chain"),
        "QNSP-OPS-102",
        "something else",
    ),
    "nothing": (lambda _: httpx.Response(200, content=b""), NEED, "QNSP-OPS-102", "nothing"),
    "a damaged CRL": (lambda _: httpx.Response(200, content=CRL[:-3]), NEED, "QNSP-OPS-102", "something else"),
    "compressed": (
        lambda _: httpx.Response(200, content=gzip.compress(CRL), headers={"Content-Encoding": "gzip"}),
        NEED,
        "QNSP-OPS-102",
        "compressed",
    ),
    "too much": (lambda _: httpx.Response(200, content=b"x" * (17 << 20)), NEED, "QNSP-OPS-102", "more than"),
    "patience of an hour": (
        lambda _: httpx.Response(429, headers={"Retry-After": "3600"}),
        NEED,
        "QNSP-OPS-101",
        "3600 s of patience",
    ),
    "patience until a date": (
        lambda _: httpx.Response(503, headers={"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}),
        NEED,
        "QNSP-OPS-101",
        "of patience",
    ),
    "always busy": (lambda _: httpx.Response(503), NEED, "QNSP-OPS-101", "503"),
    "a redirect": (lambda _: httpx.Response(302, headers={"Location": "http://x"}), NEED, "QNSP-OPS-101", "302"),
}


@pytest.mark.parametrize("name", BAD)
def test_answers_that_are_not_kept(name: str, tmp_path: Path) -> None:
    """Each is an error with its reason, and nothing of it is in the cache."""
    answer, need, code, text = BAD[name]
    cache = Cache(tmp_path)
    with pytest.raises(OperatorError) as error:
        fetch([need], now=NOW, cache=cache, transport=httpx.MockTransport(answer), wait=lambda _: None)
    assert error.value.code == code
    assert text in f"{error.value.message} {error.value.got}"
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize(("stated", "waited"), [("2", [2.0]), ("", [1.0]), ("nonsense", [1.0])])
def test_a_busy_vendor_is_asked_again(stated: str, waited: list[float]) -> None:
    """After the pause that it named, or one of ours."""
    answers = iter([httpx.Response(429, headers={"Retry-After": stated}), httpx.Response(200, content=CRL)])
    waits: list[float] = []
    assert ask(lambda _: next(answers), waits=waits) == CRL
    assert waits == waited


class Trickle(socketserver.BaseRequestHandler):
    """A vendor that sends one byte at a time, for ever."""

    def handle(self) -> None:
        self.request.recv(4096)
        self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while True:
                self.request.sendall(b"x")
                time.sleep(0.05)
        except OSError:
            return


class Steady(socketserver.BaseRequestHandler):
    """A vendor that answers after a moment."""

    def handle(self) -> None:
        self.request.recv(4096)
        time.sleep(0.2)
        self.request.sendall(
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(CRL)}\r\nConnection: close\r\n\r\n".encode() + CRL
        )


@pytest.fixture
def served() -> Iterator[Callable[[type[socketserver.BaseRequestHandler]], str]]:
    """Starts a server of that kind on loopback; its address."""
    servers: list[socketserver.ThreadingTCPServer] = []

    def start(handler: type[socketserver.BaseRequestHandler]) -> str:
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/crl"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_an_answer_that_never_ends(served: Callable[[type[socketserver.BaseRequestHandler]], str]) -> None:
    """A trickle is cut at the deadline, although it never stalls."""
    started = time.monotonic()
    with pytest.raises(OperatorError, match="does not end"):
        fetch([Need("amd.crl.der", served(Trickle), "CRL")], now=NOW, seconds=1.0)
    assert time.monotonic() - started < 120


def _one(url: str, cache: str, number: int) -> bytes:
    needs = [Need("amd.crl.der", f"{url}?{number % 2}", "CRL")]
    return fetch(needs, now=NOW, cache=Cache(Path(cache)))[0].data


def test_many_at_once(served: Callable[[type[socketserver.BaseRequestHandler]], str], tmp_path: Path) -> None:
    """Threads that fetch the same into one cache all get it, and leave one whole copy and no parts."""
    url = served(Steady)
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda number=number: found.append(_one(url, str(tmp_path), number)))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CRL] * 8
    names = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert len(names) == 3  # one blob, two addresses
    assert not [name for name in names if name.endswith(".part")]


def test_interrupted(served: Callable[[type[socketserver.BaseRequestHandler]], str], tmp_path: Path) -> None:
    """A fetch that is killed leaves nothing that the next one would believe."""
    url = served(Steady)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_one, args=(url, str(tmp_path), 0))
    process.start()
    assert process.pid is not None
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert _one(url, str(tmp_path), 0) == CRL
