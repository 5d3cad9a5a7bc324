"""The asynchronous twin of `client_edge.py`, for callers with an event loop (the official `openai` client has one).

Comes in: who the peer must be. Goes out: `httpx` responses. `httpx.AsyncClient(transport=AsyncPinnedTransport(identity))`.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.tls.client_edge import Measured
from qnsp_policy.kernel.tls.engine import Engine, Handshake
from qnsp_policy.kernel.tls.identity import PeerIdentity
from qnsp_policy.kernel.tls.reach_edge import reached

_RECORD = 64 * 1024


class _TlsStream(httpcore.AsyncNetworkStream):
    def __init__(self, raw: httpcore.AsyncNetworkStream, engine: Engine) -> None:
        self._raw, self._engine = raw, engine

    async def shake(self, measured: Measured, host: str, timeout: float | None) -> None:  # noqa: ASYNC109  httpcore's
        while (done := self._engine.handshake()) is None:
            await self._exchange(timeout)
        await self._flush(timeout)
        measured.accept(done, host)

    async def _flush(self, timeout: float | None) -> None:  # noqa: ASYNC109
        if data := self._engine.outgoing():
            await self._raw.write(data, timeout)

    async def _exchange(self, timeout: float | None) -> None:  # noqa: ASYNC109
        await self._flush(timeout)
        self._engine.receive(await self._raw.read(_RECORD, timeout))

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        try:
            while not (data := self._engine.read(max_bytes)) and not self._engine.eof:
                await self._exchange(timeout)
            await self._flush(timeout)
        except PeerError as error:
            raise httpcore.ReadError(str(error)) from error
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        try:
            self._engine.write(buffer)
        except PeerError as error:
            raise httpcore.WriteError(str(error)) from error
        await self._flush(timeout)

    async def aclose(self) -> None:
        with contextlib.suppress(httpcore.NetworkError, httpcore.TimeoutException, OSError, PeerError):
            self._engine.close()
            await self._flush(1.0)
        await self._raw.aclose()

    def get_extra_info(self, info: str) -> Any:
        return None if info == "ssl_object" else self._raw.get_extra_info(info)


class _Stream(httpcore.AsyncNetworkStream):
    """A TCP stream whose `start_tls` is ours."""

    def __init__(self, raw: httpcore.AsyncNetworkStream, measured: Measured, host: str) -> None:
        self._raw, self._measured, self._host = raw, measured, host

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        return await self._raw.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._raw.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._raw.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,  # noqa: ARG002  the interface's
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        host = server_hostname or self._host
        stream = _TlsStream(self._raw, self._measured.engine(host))
        try:
            await stream.shake(self._measured, host, timeout)
        except BaseException:
            await self._raw.aclose()
            raise
        return stream

    def get_extra_info(self, info: str) -> Any:
        return self._raw.get_extra_info(info)


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, measured: Measured) -> None:
        self._measured, self._tcp = measured, httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raw = await self._tcp.connect_tcp(*reached(host, port), timeout, local_address, socket_options)
        return _Stream(raw, self._measured, host)

    async def sleep(self, seconds: float) -> None:
        await self._tcp.sleep(seconds)


class AsyncPinnedTransport(httpx.AsyncHTTPTransport):
    """`httpx` over pinned, hybrid TLS 1.3 in an event loop; `http://` URLs are refused."""

    def __init__(self, identity: PeerIdentity, *, minimum: str = "1.3", retries: int = 0) -> None:
        """Opens nothing yet; arguments as of `PinnedTransport`."""
        unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        super().__init__(verify=unused, trust_env=False, retries=retries)
        self._measured = Measured(identity, minimum)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=unused,
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            retries=retries,
            network_backend=_Backend(self._measured),
        )

    @property
    def last_handshake(self) -> Handshake | None:
        """What the newest connection negotiated; None before the first."""
        return self._measured.last

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request.

        Raises:
            PeerError: the peer is not who it must be.
            httpx.TransportError: the network failed.
        """
        if request.url.scheme != "https":
            raise httpx.UnsupportedProtocol("this transport speaks https only", request=request)
        return await super().handle_async_request(request)


__all__ = ["AsyncPinnedTransport"]
