"""Streams between an enclave and the outside: addresses of TCP and vsock, and bridges that carry bytes from one to the other.

A Nitro enclave has no network: what is inside speaks TCP on its own loopback, and a bridge carries it to the parent over vsock
(`tcp://127.0.0.1:8555` to `vsock://parent:8555`), or from there (`vsock://any:8443` to `tcp://127.0.0.1:8443`). Bytes are carried, not
read: TLS begins and ends beyond the bridge, so whoever sits between can cut a stream and learn its length, and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import re
import socket
import threading
from dataclasses import dataclass

from qnsp_policy.errors import OperatorError

log = logging.getLogger("qnsp.guest")

PARENT, LOOPBACK, ANY = 3, 1, 0xFFFFFFFF
_NAMES = {"parent": PARENT, "loopback": LOOPBACK, "any": ANY}
_FORM = re.compile(r"(tcp|vsock)://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):([0-9]{1,10})")
_CHUNK = 64 * 1024
_CONNECT_SECONDS = 10.0
_PASSING = frozenset({errno.ECONNABORTED, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPROTO})
_PAUSE_SECONDS = 0.2
MAX_STREAMS = 256
"""Streams of one bridge at a time; a further one is closed at once."""


@dataclass(frozen=True, slots=True)
class StreamAddress:
    """`tcp://host:port` or `vsock://cid:port`; cids have names: parent (3), loopback (1), any (to listen)."""

    family: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> StreamAddress:
        """Read an address.

        Raises:
            OperatorError: `QNSP-GST-047`: another form.
        """
        found = _FORM.fullmatch(text)
        if found is not None:
            family, host, port = found[1], found[2].strip("[]"), int(found[3])
            limit = 65535 if family == "tcp" else 0xFFFFFFFE
            is_cid = host in _NAMES or (host.isdigit() and int(host) <= ANY)
            if 0 < port <= limit and (family == "tcp" or is_cid):
                return cls(family, host, port)
        raise OperatorError(
            "QNSP-GST-047",
            f"{text[:80]!r} is no address of a stream",
            subject=text[:80],
            expected="tcp://host:port or vsock://cid:port",
        )

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.family}://{host}:{self.port}"

    @property
    def _vsock(self) -> tuple[int, int]:
        return _NAMES.get(self.host) or int(self.host), self.port

    def connect(self, seconds: float = _CONNECT_SECONDS) -> socket.socket:
        """A connected stream; raises `OSError`."""
        if self.family == "tcp":
            return socket.create_connection((self.host, self.port), seconds)
        connection = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        try:
            connection.settimeout(seconds)
            connection.connect(self._vsock)
        except OSError:
            connection.close()
            raise
        return connection

    def listen(self) -> socket.socket:
        """A listening socket; raises `OSError`."""
        if self.family == "tcp":
            family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
            return socket.create_server((self.host, self.port), family=family, backlog=64)
        listener = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        try:
            listener.bind(self._vsock)
            listener.listen(64)
        except OSError:
            listener.close()
            raise
        return listener


class Bridge:
    """Carries every stream that arrives at one address to another; ends with `close`."""

    def __init__(self, arrives: StreamAddress, leaves: StreamAddress) -> None:
        """Listens at once.

        Raises:
            OperatorError: `QNSP-GST-048`: it cannot listen there.
        """
        self.arrives, self.leaves = arrives, leaves
        try:
            self._listener = arrives.listen()
        except OSError as error:
            raise OperatorError(
                "QNSP-GST-048", f"cannot listen on {arrives}: {error.strerror or error}", subject=str(arrives)
            ) from error
        self._streams = threading.BoundedSemaphore(MAX_STREAMS)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._pause = threading.Event()
        threading.Thread(target=self._accept, name=f"bridge {arrives}", daemon=True).start()

    def close(self) -> None:
        """Stop listening and cut what is open."""
        with self._lock:
            self._closed = True
        self._pause.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`, which `close` alone does not
        self._listener.close()
        with self._lock:
            for stream in self._open:
                with contextlib.suppress(OSError):
                    stream.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed:
            try:
                stream, _ = self._listener.accept()
            except OSError as error:
                if self._closed:
                    return
                if (
                    error.errno in _PASSING
                ):  # out of descriptors or memory, or the caller is gone: it must not end for that
                    log.warning("the bridge at %s cannot take a stream: %s", self.arrives, error.strerror)
                    self._pause.wait(_PAUSE_SECONDS)
                    continue
                log.error("the bridge at %s ended: %s", self.arrives, error)  # noqa: TRY400 - nothing of ours failed
                return
            if not self._streams.acquire(blocking=False):
                log.warning("the bridge at %s is full: %d streams", self.arrives, MAX_STREAMS)
                stream.close()
                continue
            try:
                threading.Thread(target=self._carry, args=(stream,), daemon=True).start()
            except RuntimeError:  # no thread is to be had now
                log.warning("the bridge at %s cannot start a thread", self.arrives)
                stream.close()
                self._streams.release()

    def _carry(self, near: socket.socket) -> None:
        try:
            with near:
                try:
                    far = self.leaves.connect()
                except OSError as error:
                    log.warning("the bridge at %s cannot reach %s: %s", self.arrives, self.leaves, error)
                    return
                with far:
                    self._carry_both(near, far)
        finally:
            self._streams.release()

    def _carry_both(self, near: socket.socket, far: socket.socket) -> None:
        ends = {near, far}
        for end in ends:
            end.settimeout(None)
        with self._lock:
            if self._closed:
                return
            self._open |= ends
        try:
            back = threading.Thread(target=_pump, args=(far, near), daemon=True)
            back.start()
            _pump(near, far)
            back.join()
        finally:
            with self._lock:
                self._open -= ends


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Carry one direction until its end, and hand the end on."""
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


__all__ = ["MAX_STREAMS", "Bridge", "StreamAddress"]
