"""A relay on loopback that keeps what passes, and reads of TLS what anybody on the wire can read: the hellos.

Knows nothing of our TLS code: record and handshake layouts are those of RFC 8446, section 4 and 5, group numbers those of
draft-ietf-tls-ecdhe-mlkem.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

X25519MLKEM768 = 0x11EC
GROUP_SIZES = {X25519MLKEM768: (1216, 1120)}
"""Bytes of a client's and of a server's share: an ML-KEM-768 key or ciphertext, and an X25519 key."""

_HANDSHAKE, _APPLICATION = 22, 23
_CLIENT_HELLO, _SERVER_HELLO = 1, 2
_SUPPORTED_VERSIONS, _KEY_SHARE = 43, 51


@dataclass(slots=True)
class Tapped:
    """One connection: the bytes of each direction."""

    sent: bytearray = field(default_factory=bytearray)
    answered: bytearray = field(default_factory=bytearray)

    @property
    def offered(self) -> dict[int, int]:
        """Groups for which the client sent a share, with the share's length."""
        hellos = [body for kind, body in _messages(bytes(self.sent)) if kind == _CLIENT_HELLO]
        return _shares(_extensions(hellos[-1], client=True)[_KEY_SHARE][2:]) if hellos else {}

    @property
    def taken(self) -> tuple[int, int, int] | None:
        """Version, group and length of the share that the server took; None where it took none."""
        hellos = [body for kind, body in _messages(bytes(self.answered)) if kind == _SERVER_HELLO]
        if not hellos:
            return None
        extensions = _extensions(hellos[-1], client=False)
        ((group, size),) = _shares(extensions[_KEY_SHARE]).items()
        return int.from_bytes(extensions[_SUPPORTED_VERSIONS]), group, size

    @property
    def carried(self) -> int:
        """Encrypted records of the server."""
        return sum(kind == _APPLICATION for kind, _ in _records(bytes(self.answered)))


class Wiretap:
    """Relays connections to a port of this machine."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections: list[Tapped] = []
        self._serving: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for serving in self._serving:
            serving.join(5)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:  # nobody there yet: whoever called tries again
                near.close()
                continue
            far.settimeout(None)
            tapped = Tapped()
            self.connections.append(tapped)
            serving = threading.Thread(target=_serve, args=(near, far, tapped), daemon=True)
            self._serving.append(serving)
            serving.start()


def _serve(near: socket.socket, far: socket.socket, tapped: Tapped) -> None:
    with near, far:
        back = threading.Thread(target=_relay, args=(far, near, tapped.answered), daemon=True)
        back.start()
        _relay(near, far, tapped.sent)
        back.join()


def _relay(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            kept += data
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and content of every whole record (section 5.1)."""
    at = 0
    while at + 5 <= len(data):
        size = int.from_bytes(data[at + 3 : at + 5])
        if at + 5 + size > len(data):
            return
        yield data[at], data[at + 5 : at + 5 + size]
        at += 5 + size


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of the handshake messages that go in clear (section 4)."""
    clear = b"".join(content for kind, content in _records(data) if kind == _HANDSHAKE)
    at = 0
    while at + 4 <= len(clear):
        size = int.from_bytes(clear[at + 1 : at + 4])
        yield clear[at], clear[at + 4 : at + 4 + size]
        at += 4 + size


def _extensions(hello: bytes, *, client: bool) -> dict[int, bytes]:
    """Extensions of a hello by type (sections 4.1.2 and 4.1.3)."""
    at = 34 + 1 + hello[34]  # version, random, session id
    at += 2 + int.from_bytes(hello[at : at + 2]) if client else 2  # cipher suites
    at += 1 + hello[at] if client else 1  # compression methods
    end = at + 2 + int.from_bytes(hello[at : at + 2])
    at += 2
    found: dict[int, bytes] = {}
    while at + 4 <= end:
        size = int.from_bytes(hello[at + 2 : at + 4])
        found[int.from_bytes(hello[at : at + 2])] = hello[at + 4 : at + 4 + size]
        at += 4 + size
    return found


def _shares(data: bytes) -> dict[int, int]:
    """Group to length of the share, of the entries of `key_share` (section 4.2.8)."""
    found: dict[int, int] = {}
    at = 0
    while at + 4 <= len(data):
        size = int.from_bytes(data[at + 2 : at + 4])
        found[int.from_bytes(data[at : at + 2])] = size
        at += 4 + size
    return found


__all__ = ["GROUP_SIZES", "X25519MLKEM768", "Tapped", "Wiretap"]
