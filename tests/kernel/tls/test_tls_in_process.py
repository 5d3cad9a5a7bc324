"""TLS 1.3 in process: the group is measured, peers are pinned, and what does not fit is refused on either side."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpcore
import httpx
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.keys import PrivateKey, generate
from qnsp_policy.kernel.tls.async_client_edge import AsyncPinnedTransport
from qnsp_policy.kernel.tls.certificate import certificate_key, self_signed, spki_pin
from qnsp_policy.kernel.tls.client_edge import PinnedTransport, probe
from qnsp_policy.kernel.tls.engine import Engine, Handshake, client_context, server_context
from qnsp_policy.kernel.tls.identity import PeerIdentity, verify_peer
from qnsp_policy.kernel.tls.server_edge import ServerTls, uvicorn_config

NOW = datetime.now(UTC)
KEY = generate("ML-DSA-65")
CHAIN = (self_signed(KEY, ["127.0.0.1", "localhost"], NOW),)
PIN = PeerIdentity(pins=(spki_pin(KEY.public),))


async def echo(request: Request) -> Response:
    return PlainTextResponse(f"{request.url.scheme} {len(await request.body())}")


async def large(_: Request) -> Response:
    return Response(b"x" * 3_000_000)


async def stream(_: Request) -> Response:
    async def parts() -> object:
        for number in range(5):
            yield f"data: {number}\n\n".encode()

    return StreamingResponse(parts(), media_type="text/event-stream")  # type: ignore[arg-type]


APP = Starlette(routes=[Route("/", echo, methods=["GET", "POST"]), Route("/large", large), Route("/stream", stream)])


@contextlib.contextmanager
def served(tls: ServerTls) -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
        listener.listen()
        server = uvicorn.Server(uvicorn_config(APP, host="127.0.0.1", port=port, tls=tls, log_level="critical"))
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield port
        server.should_exit = True
        thread.join(60)


@pytest.fixture(scope="module")
def tls() -> ServerTls:
    return ServerTls(KEY, CHAIN)


@pytest.fixture(scope="module")
def port(tls: ServerTls) -> Iterator[int]:
    with served(tls) as found:
        yield found


def test_a_request_over_hybrid_tls(port: int, tls: ServerTls) -> None:
    """X25519MLKEM768 and TLS 1.3 are what both sides measured; bodies and streams pass whole."""
    transport = PinnedTransport(PIN)
    with httpx.Client(transport=transport, timeout=60) as client:
        url = f"https://127.0.0.1:{port}"
        assert client.get(f"{url}/").text == "https 0"
        assert client.post(f"{url}/", content=b"y" * 2_000_000).text == "https 2000000"
        assert len(client.get(f"{url}/large").content) == 3_000_000
        assert client.get(f"{url}/stream").text.count("data:") == 5
    found = transport.last_handshake
    assert found is not None
    assert (found.version, found.group, found.post_quantum) == ("TLSv1.3", "X25519MLKEM768", True)
    assert tls.negotiated["X25519MLKEM768"] >= 1


def test_the_same_in_an_event_loop(port: int) -> None:
    """The asynchronous transport measures, pins and refuses as the other does."""

    async def calls() -> None:
        transport = AsyncPinnedTransport(PIN)
        async with httpx.AsyncClient(transport=transport, timeout=60) as client:
            assert (await client.post(f"https://127.0.0.1:{port}/", content=b"y" * 2_000_000)).text == "https 2000000"
            assert len((await client.get(f"https://localhost:{port}/large")).content) == 3_000_000
            with pytest.raises(httpx.UnsupportedProtocol):
                await client.get(f"http://127.0.0.1:{port}/")
        assert transport.last_handshake is not None
        assert transport.last_handshake.group == "X25519MLKEM768"
        other = PeerIdentity(pins=(spki_pin(generate("Ed25519").public),))
        async with httpx.AsyncClient(transport=AsyncPinnedTransport(other), timeout=60) as client:
            with pytest.raises(PeerError, match="QNSP-SIG-060"):
                await client.get(f"https://127.0.0.1:{port}/")

    asyncio.run(calls())


def test_another_key_than_the_pinned_one(port: int) -> None:
    """A server with another key is refused before a byte of the request is sent."""
    other = PeerIdentity(pins=(spki_pin(generate("ML-DSA-65").public),))
    with (
        httpx.Client(transport=PinnedTransport(other), timeout=60) as client,
        pytest.raises(PeerError, match="QNSP-SIG-060"),
    ):
        client.get(f"https://127.0.0.1:{port}/")


def test_two_pins_while_a_key_rotates(port: int) -> None:
    """Old and new pin overlap."""
    both = PeerIdentity(pins=(spki_pin(generate("Ed25519").public), *PIN.pins))
    assert probe("127.0.0.1", port, both).group == "X25519MLKEM768"
    assert probe("localhost", port, both).certificates == CHAIN


def test_plain_http_is_refused_on_both_sides(port: int) -> None:
    """The transport speaks https only; a plain request to the TLS port gets nothing."""
    with httpx.Client(transport=PinnedTransport(PIN)) as client, pytest.raises(httpx.UnsupportedProtocol):
        client.get(f"http://127.0.0.1:{port}/")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=60)


def test_a_classical_client_is_refused(port: int, tls: ServerTls) -> None:
    """The standard library cannot do hybrid groups: it is counted and turned away."""
    before = tls.negotiated["refused"] + tls.negotiated["failed"]
    with pytest.raises((httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError)):
        httpx.get(f"https://127.0.0.1:{port}/", verify=False, trust_env=False, timeout=60)
    assert tls.negotiated["refused"] + tls.negotiated["failed"] > before


def test_a_server_that_admits_classical_groups_is_seen() -> None:
    """A tier may admit them; then the client's own list decides."""
    key = generate("ECDSA-P256")
    chain = (self_signed(key, ["127.0.0.1"], NOW),)
    with served(ServerTls(key, chain, groups=None)) as port:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        assert httpx.get(f"https://127.0.0.1:{port}/", verify=context, trust_env=False, timeout=60).text == "https 0"
        identity = PeerIdentity(pins=(spki_pin(key.public),), groups=frozenset({"SecP384r1MLKEM1024"}))
        with pytest.raises(PeerError, match="QNSP-SIG-062"):
            probe("127.0.0.1", port, identity)


def test_nobody_there() -> None:
    """A closed port is a transport error, not a crash."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        number = unused.getsockname()[1]
        with httpx.Client(transport=PinnedTransport(PIN)) as client, pytest.raises(httpx.ConnectError):
            client.get(f"https://127.0.0.1:{number}/")
        with pytest.raises(httpcore.ConnectError):
            probe("127.0.0.1", number, PIN)


def pump(client: Engine, server: Engine) -> tuple[Handshake | None, Handshake | None]:
    left = right = None
    for _ in range(10):
        left = left or client.handshake()
        if data := client.outgoing():
            server.receive(data)
        right = right or server.handshake()
        if data := server.outgoing():
            client.receive(data)
        if left and right:
            break
    return left, right


@pytest.mark.parametrize("name", ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87", "Ed25519", "ECDSA-P256", "ECDSA-P384"])
def test_every_signature_key_makes_a_server(name: str) -> None:
    """Without a socket: two engines agree, exchange data, say goodbye."""
    key = generate(name)
    der = self_signed(key, ["broker.example"], NOW)
    client, server = (
        Engine(client_context(), server_name="broker.example"),
        Engine(server_context(key, (der,)), server=True),
    )
    left, right = pump(client, server)
    assert left is not None
    assert right is not None
    assert left.group == right.group == "X25519MLKEM768"
    assert certificate_key(left.certificates[0]) == key.public
    client.write(b"hello" * 20_000)
    server.receive(client.outgoing())
    got = b""
    while data := server.read():
        got += data
    assert got == b"hello" * 20_000
    server.close()
    client.receive(server.outgoing())
    assert client.read() == b""
    assert client.eof


def test_a_truncated_connection_is_told() -> None:
    """An end without goodbye is an error, so no answer is cut silently."""
    client, server = Engine(client_context()), Engine(server_context(KEY, CHAIN), server=True)
    pump(client, server)
    client.receive(b"")
    with pytest.raises(PeerError, match=r"QNSP-SIG-06[13]"):
        client.read()


def test_garbage_is_our_error() -> None:
    """A server that is fed nonsense raises our error only."""
    server = Engine(server_context(KEY, CHAIN), server=True)
    server.receive(b"GET / HTTP/1.1\r\n\r\n" * 10)
    with pytest.raises(PeerError, match="QNSP-SIG-061"):
        server.handshake()


def test_a_group_outside_the_list() -> None:
    """What was measured decides: a classical group is refused by the client, whatever the pin says."""
    classical = Handshake("TLSv1.3", "x25519", "TLS_AES_256_GCM_SHA384", CHAIN)
    with pytest.raises(PeerError, match="QNSP-SIG-062"):
        verify_peer(classical, PIN, "localhost", NOW)


def authority() -> tuple[PrivateKey, x509.Certificate]:
    key = generate("ECDSA-P384")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "clinic private CA")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public.handle)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public.handle), critical=False)
        .add_extension(usage, critical=True)
    )
    return key, built.sign(key.handle, hashes.SHA384())


def leaf(ca: PrivateKey, issuer: x509.Certificate, host: str) -> bytes:
    key = generate("ECDSA-P256")
    built = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public.handle)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=10))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public.handle), critical=False)
    )
    return built.sign(ca.handle, hashes.SHA384()).public_bytes(Encoding.DER)


def test_a_private_ca() -> None:
    """A named CA is enough for the name it certified, in its time, and for no other."""
    ca, certificate = authority()
    identity = PeerIdentity(authorities=(certificate.public_bytes(Encoding.DER),))
    good = Handshake("TLSv1.3", "X25519MLKEM768", "", (leaf(ca, certificate, "broker.example"),))
    verify_peer(good, identity, "broker.example", NOW)
    other_ca, other = authority()
    forged = Handshake("TLSv1.3", "X25519MLKEM768", "", (leaf(other_ca, other, "broker.example"),))
    for handshake, host, when in (
        (good, "other.example", NOW),
        (good, "broker.example", NOW + timedelta(days=20)),
        (good, "127.0.0.1", NOW),
        (forged, "broker.example", NOW),
        (Handshake("TLSv1.3", "X25519MLKEM768", "", (CHAIN[0],)), "localhost", NOW),
        (Handshake("TLSv1.3", "X25519MLKEM768", "", ()), "broker.example", NOW),
        (Handshake("TLSv1.3", "X25519MLKEM768", "", (b"x",)), "broker.example", NOW),
    ):
        with pytest.raises(PeerError, match="QNSP-SIG-064"):
            verify_peer(handshake, identity, host, when)


def test_misuse() -> None:
    """No identity is no identity; plain HTTP is for loopback; key and certificate belong together."""
    with pytest.raises(ValueError, match="pinned"):
        PeerIdentity()
    with pytest.raises(ValueError, match="loopback"):
        uvicorn_config(APP, host="0.0.0.0", port=1, tls=None)
    with pytest.raises(ValueError, match="does not belong"):
        ServerTls(generate("ML-DSA-65"), CHAIN)
    with pytest.raises(ValueError, match="needs a name"):
        self_signed(KEY, [], NOW)
