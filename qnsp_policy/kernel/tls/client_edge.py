"""An httpx transport over pyOpenSSL: TLS 1.3, hybrid post-quantum key exchange, pinned peers.

Comes in: who the peer must be. Goes out: `httpx` responses, and `last_handshake` with what was measured.
`httpx.Client(transport=PinnedTransport(identity))` is all a caller needs; so does the `openai` client.
"""

from __future__ import annotations

import contextlib
import ipaddress
import ssl
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import httpcore
import httpx
from OpenSSL import SSL

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.tls.engine import Engine, Handshake, client_context
from qnsp_policy.kernel.tls.identity import PeerIdentity, verify_peer
from qnsp_policy.kernel.tls.reach_edge import reached

_RECORD = 64 * 1024


class Measured:
    """What the streams of one transport share: who the peer must be, and the newest handshake."""

    def __init__(self, identity: PeerIdentity, minimum: str) -> None:
        self.identity = identity
        self.context = client_context(minimum=minimum)
        self.last: Handshake | None = None

    def engine(self, host: str) -> Engine:
        return engine_to(host, self.context)

    def accept(self, handshake: Handshake, host: str) -> None:
        verify_peer(handshake, self.identity, host, datetime.now(UTC))
        self.last = handshake

    def dress(self, raw: httpcore.NetworkStream, host: str, timeout: float | None) -> httpcore.NetworkStream:
        """A `Dress`: TLS with the peer that it must be."""
        stream = TlsStream(raw, self.engine(host), timeout)
        self.accept(stream.handshake, host)
        return stream


def engine_to(host: str, context: SSL.Context) -> Engine:
    """The client's side of a connection to a host, which is named to it unless it is an address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return Engine(context, server_name=host)
    return Engine(context)


class TlsStream(httpcore.NetworkStream):
    """A stream within TLS, once its handshake is done; who the peer is, the caller judges.

    Attributes:
        handshake: what was negotiated.
    """

    def __init__(self, raw: httpcore.NetworkStream, engine: Engine, timeout: float | None) -> None:
        self._raw, self._engine = raw, engine
        while (done := engine.handshake()) is None:
            self._exchange(timeout)
        self._flush(timeout)
        self.handshake = done

    def _flush(self, timeout: float | None) -> None:
        if data := self._engine.outgoing():
            self._raw.write(data, timeout)

    def _exchange(self, timeout: float | None) -> None:
        self._flush(timeout)
        data = self._raw.read(_RECORD, timeout)
        self._engine.receive(data)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            while not (data := self._engine.read(max_bytes)) and not self._engine.eof:
                self._exchange(timeout)
            self._flush(timeout)
        except PeerError as error:
            raise httpcore.ReadError(str(error)) from error
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            self._engine.write(buffer)
        except PeerError as error:
            raise httpcore.WriteError(str(error)) from error
        self._flush(timeout)

    def close(self) -> None:
        with contextlib.suppress(httpcore.NetworkError, httpcore.TimeoutException, OSError, PeerError):
            self._engine.close()
            self._flush(1.0)
        self._raw.close()

    def get_extra_info(self, info: str) -> Any:
        return None if info == "ssl_object" else self._raw.get_extra_info(info)


Dress = Callable[[httpcore.NetworkStream, str, float | None], httpcore.NetworkStream]
"""Makes of a TCP stream to a host the one that requests go over, within so many seconds; raises where the peer is not to have them."""


class _Stream(httpcore.NetworkStream):
    """A TCP stream whose `start_tls` is ours."""

    def __init__(self, raw: httpcore.NetworkStream, dress: Dress, host: str) -> None:
        self._raw, self._dress, self._host = raw, dress, host

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._raw.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._raw.write(buffer, timeout)

    def close(self) -> None:
        self._raw.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,  # noqa: ARG002  the interface's
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        try:
            return self._dress(self._raw, server_hostname or self._host, timeout)
        except BaseException:
            self._raw.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._raw.get_extra_info(info)


class TlsBackend(httpcore.NetworkBackend):
    """Connects, and dresses what it connected once TLS is asked for."""

    def __init__(self, dress: Dress) -> None:
        self._dress, self._tcp = dress, httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        raw = self._tcp.connect_tcp(*reached(host, port), timeout, local_address, socket_options)
        return _Stream(raw, self._dress, host)

    def sleep(self, seconds: float) -> None:
        self._tcp.sleep(seconds)


class BackendTransport(httpx.HTTPTransport):
    """`httpx` whose connections a backend of ours makes; what that raises of the peer comes out of the request."""

    def __init__(
        self, backend: httpcore.NetworkBackend, *, retries: int = 0, limits: httpx.Limits | None = None
    ) -> None:
        """Opens nothing yet.

        Args:
            backend: makes connections.
            retries: of connecting only.
            limits: of the pool.
        """
        unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        super().__init__(verify=unused, trust_env=False, retries=retries)
        self._pool.close()
        chosen = limits or httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=5.0)
        self._pool = httpcore.ConnectionPool(
            ssl_context=unused,
            max_connections=chosen.max_connections,
            max_keepalive_connections=chosen.max_keepalive_connections,
            keepalive_expiry=chosen.keepalive_expiry,
            retries=retries,
            network_backend=backend,
        )


class PinnedTransport(BackendTransport):
    """`httpx` over pinned, hybrid TLS 1.3; `http://` URLs are refused.

    Errors of the peer's identity are `PeerError` (QNSP-SIG-060, -062, -064), raised out of the request.
    """

    def __init__(
        self, identity: PeerIdentity, *, minimum: str = "1.3", retries: int = 0, limits: httpx.Limits | None = None
    ) -> None:
        """Opens nothing yet.

        Args:
            identity: pins or CAs, and accepted groups.
            minimum: TLS version.
            retries: of connecting only.
            limits: of the pool.
        """
        self._measured = Measured(identity, minimum)
        super().__init__(TlsBackend(self._measured.dress), retries=retries, limits=limits)

    @property
    def last_handshake(self) -> Handshake | None:
        """What the newest connection negotiated; None before the first."""
        return self._measured.last

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request.

        Raises:
            PeerError: the peer is not who it must be.
            httpx.TransportError: the network failed.
        """
        if request.url.scheme != "https":
            raise httpx.UnsupportedProtocol("this transport speaks https only", request=request)
        return super().handle_request(request)


def probe(host: str, port: int, identity: PeerIdentity, *, timeout: float = 5.0) -> Handshake:
    """Connects, measures, hangs up: what crypto drift reads.

    Raises:
        PeerError: the peer is not who it must be, or the handshake failed.
        httpcore.NetworkError, httpcore.TimeoutException: nobody answers.
    """
    measured = Measured(identity, "1.3")
    stream = TlsBackend(measured.dress).connect_tcp(host, port, timeout)
    stream.start_tls(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), host, timeout).close()
    if measured.last is None:
        raise PeerError("QNSP-SIG-061", "TLS failed: no handshake")
    return measured.last


__all__ = ["BackendTransport", "Dress", "Measured", "PinnedTransport", "TlsBackend", "TlsStream", "engine_to", "probe"]
