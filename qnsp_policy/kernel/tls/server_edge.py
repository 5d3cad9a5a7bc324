"""Serves a uvicorn protocol over pyOpenSSL: TLS 1.3 with X25519MLKEM768, ended in this process.

Comes in: a key, its certificates, an ASGI app. Goes out: a `uvicorn.Config`. What is negotiated is counted by group,
so that crypto drift reads a measurement. A client that does not finish its handshake in time is dropped.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from qnsp_policy.errors import PeerError
from qnsp_policy.kernel.crypto.keys import PrivateKey
from qnsp_policy.kernel.tls.engine import PQ_GROUPS, Engine, server_context

HANDSHAKE_SECONDS: Final = 10.0


class ServerTls:
    """The TLS side of one listener.

    Attributes:
        groups: accepted key exchange groups; None accepts what OpenSSL agrees on.
        negotiated: how many handshakes ended in which group; "failed" and "refused" count the others.
    """

    def __init__(
        self,
        key: PrivateKey,
        chain: tuple[bytes, ...],
        *,
        minimum: str = "1.3",
        groups: frozenset[str] | None = PQ_GROUPS,
    ) -> None:
        """Loads key and chain.

        Args:
            key: of the first certificate.
            chain: DER, leaf first.
            minimum: "1.3", or "1.2" in compat mode.
            groups: accepted groups.

        Raises:
            ValueError: key and certificate do not belong together.
        """
        self.context = server_context(key, chain, minimum=minimum)
        self.groups = groups
        self.negotiated: Counter[str] = Counter()


class _Transport(asyncio.Transport):
    """What the inner protocol writes to."""

    def __init__(self, raw: asyncio.Transport, outer: TlsProtocol) -> None:
        super().__init__()
        self._raw, self._outer = raw, outer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sslcontext":
            return self._outer.tls.context
        if name == "tls_group":
            return self._outer.group
        return self._raw.get_extra_info(name, default)

    def write(self, data: Any) -> None:
        self._outer.send(bytes(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self._outer.send(b"".join(list_of_data))

    def close(self) -> None:
        self._outer.goodbye()

    def abort(self) -> None:
        self._raw.abort()

    def is_closing(self) -> bool:
        return self._raw.is_closing()

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._raw.resume_reading()

    def is_reading(self) -> bool:
        return self._raw.is_reading()

    def get_write_buffer_size(self) -> int:
        return self._raw.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._raw.set_write_buffer_limits(high, low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._outer.inner = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._outer.inner


class TlsProtocol(asyncio.Protocol):
    """Decrypts for an inner protocol, which sees the connection once the handshake is done."""

    def __init__(self, tls: ServerTls, inner: asyncio.BaseProtocol) -> None:
        self.tls, self.inner, self.group = tls, inner, ""
        self._engine = Engine(tls.context, server=True)
        self._raw: asyncio.Transport | None = None
        self._open = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._raw = transport
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS, self._late)

    def _late(self) -> None:
        if not self._open and self._raw is not None:
            self.tls.negotiated["failed"] += 1
            self._raw.abort()

    def data_received(self, data: bytes) -> None:
        self._engine.receive(data)
        try:
            if not self._open and not self._shake():
                return
            self._deliver()
        except PeerError as error:
            if not self._open:
                self.tls.negotiated["refused" if error.code == "QNSP-SIG-062" else "failed"] += 1
            self._flush()
            if self._raw is not None:
                self._raw.close()

    def _shake(self) -> bool:
        done = self._engine.handshake()
        self._flush()
        if done is None:
            return False
        if self.tls.groups is not None and done.group not in self.tls.groups:
            raise PeerError("QNSP-SIG-062", "the TLS key exchange is not of the accepted kind", got=done.group)
        self.group, self._open = done.group, True
        self.tls.negotiated[done.group] += 1
        if self._timer is not None:
            self._timer.cancel()
        assert self._raw is not None
        self.inner.connection_made(_Transport(self._raw, self))
        return True

    def _deliver(self) -> None:
        while data := self._engine.read():
            if isinstance(self.inner, asyncio.Protocol):
                self.inner.data_received(data)
        self._flush()
        if self._engine.eof:
            self.goodbye()

    def _flush(self) -> None:
        if self._raw is not None and not self._raw.is_closing() and (data := self._engine.outgoing()):
            self._raw.write(data)

    def send(self, data: bytes) -> None:
        """Encrypts and sends; silently nothing once the connection is closing, as sockets do."""
        if not data or self._raw is None or self._raw.is_closing():
            return
        try:
            self._engine.write(data)
        except PeerError:
            self._raw.abort()
            return
        self._flush()

    def goodbye(self) -> None:
        """Sends close_notify and closes."""
        if self._raw is not None and not self._raw.is_closing():
            self._engine.close()
            self._flush()
            self._raw.close()

    def eof_received(self) -> bool | None:
        if self._open and isinstance(self.inner, asyncio.Protocol):
            self.inner.eof_received()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._open:
            self.inner.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._open:
            self.inner.pause_writing()

    def resume_writing(self) -> None:
        if self._open:
            self.inner.resume_writing()


def http_protocol(tls: ServerTls) -> type[asyncio.Protocol]:
    """A class for `uvicorn.Config(http=...)`: HTTP/1.1 within TLS."""

    class TlsHttp(TlsProtocol):
        def __init__(self, **options: Any) -> None:
            super().__init__(tls, H11Protocol(**options))

    return TlsHttp


def uvicorn_config(app: Any, *, host: str, port: int, tls: ServerTls | None, **options: Any) -> uvicorn.Config:
    """A `uvicorn.Config` for an ASGI app; `tls` None is plain HTTP, which only loopback may have.

    Raises:
        ValueError: plain HTTP elsewhere than on loopback.
    """
    if tls is None and host not in {"127.0.0.1", "::1", "localhost"}:
        raise ValueError("plain HTTP is for loopback only")
    protocol: Any = H11Protocol if tls is None else http_protocol(tls)
    options.setdefault("access_log", False)
    options.setdefault("server_header", False)
    options.setdefault("ws", "none")
    return uvicorn.Config(app, host=host, port=port, http=protocol, loop="asyncio", **options)


__all__ = ["HANDSHAKE_SECONDS", "ServerTls", "TlsProtocol", "http_protocol", "uvicorn_config"]
