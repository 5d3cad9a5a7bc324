"""Gateways of this process over real hybrid TLS, and a balancer that leads every TCP connection to one of them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import uvicorn

from qnsp_policy.kernel.tls.certificate import self_signed
from qnsp_policy.kernel.tls.server_edge import ServerTls, uvicorn_config
from qnsp_policy.services.gateway.configuration import GatewaySettings
from qnsp_policy.testing.gateway import GatewayWorld
from qnsp_policy.testing.services import START


@dataclass(slots=True)
class ServedGateway:
    """A gateway that listens.

    Attributes:
        world: whose it is.
        asked: method and path of every request that reached it.
        before: called before a request to `/v1` is answered.
        ends: whether it ends a connection over which it showed its evidence.
    """

    world: GatewayWorld
    port: int = 0
    asked: list[str] = field(default_factory=list)
    before: Callable[[], object] = lambda: None
    ends: bool = False

    @contextlib.contextmanager
    def listening(self, settings: GatewaySettings | None = None, *, tls: bool = True) -> Iterator[Self]:
        """Serve until the block ends, with other settings than its world's where they are given."""
        app = self.world.app(settings)

        async def counted(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
            async def ending(event: dict[str, Any]) -> None:
                if event["type"] == "http.response.start":
                    event = {**event, "headers": [*event["headers"], (b"connection", b"close")]}
                await send(event)

            if scope["type"] == "http":
                self.asked.append(f"{scope['method']} {scope['path']}")
                if scope["path"].startswith("/v1/"):
                    self.before()
            await app(scope, receive, ending if self.ends and scope["path"].endswith("/evidence") else send)

        secured = None
        if tls:
            certificate = self_signed(self.world.tls_key, ["127.0.0.1"], START)
            secured = ServerTls(self.world.tls_key, (certificate,))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            config = uvicorn_config(
                counted,
                host="127.0.0.1",
                port=self.port,
                tls=secured,
                log_level="critical",
                lifespan="off",
                timeout_keep_alive=3600,
            )
            server = uvicorn.Server(config)
            thread = threading.Thread(target=lambda: server.run(sockets=[listener]), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.should_exit = server.force_exit = True
                thread.join(60)

    @property
    def questions(self) -> int:
        """How many requests to `/v1` reached it."""
        return sum("/v1/" in one for one in self.asked)


class Balancer:
    """Leads the connections to its targets in turn.

    Attributes:
        port: where it listens.
        targets: ports; those of the next connections are taken in turn.
        taken: how many connections came.
    """

    def __init__(self, *targets: int) -> None:
        self.targets = list(targets)
        self.taken = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(60)
        self.cut()
        for thread in self._threads:
            thread.join(60)

    def cut(self) -> None:
        """End every connection that is open, as a member's death does."""
        with self._lock:
            for stream in self._open:
                with contextlib.suppress(OSError):
                    stream.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            target = self.targets[self.taken % len(self.targets)]
            self.taken += 1
            try:
                far = socket.create_connection(("127.0.0.1", target), 60)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            with self._lock:
                self._open |= {near, far}
            thread = threading.Thread(target=self._lead, args=(near, far), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _lead(self, near: socket.socket, far: socket.socket) -> None:
        back = threading.Thread(target=_relay, args=(far, near), daemon=True)
        back.start()
        _relay(near, far)
        back.join()
        with self._lock:
            self._open -= {near, far}
        near.close()
        far.close()


def _relay(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


__all__ = ["Balancer", "ServedGateway"]
