"""One question over a unix socket: a line out, a line back."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import time
from pathlib import Path

_FULL_SECONDS = 0.02


def ask(path: Path, line: bytes, *, timeout: float, limit: int) -> bytes:
    """Send a line, read a line.

    Args:
        path: the socket; it may lie deeper than the 108 bytes that a socket's address holds.
        line: ends with a newline.
        timeout: seconds for the whole answer.
        limit: most bytes of the answer.

    Raises:
        OSError: nobody listens there, or no whole answer came in time.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        _connect(connection, path)
        connection.sendall(line)
        with connection.makefile("rb") as answer:
            data = answer.readline(limit + 1)
    if not data.endswith(b"\n"):
        raise ConnectionResetError(errno.ECONNRESET, "the answer broke off")
    return data


def _connect(connection: socket.socket, path: Path) -> None:
    """Connect; a listener whose queue is full refuses at once, whatever the timeout, and is asked again until then."""
    deadline = time.monotonic() + (connection.gettimeout() or 0)
    while True:
        try:
            return _connect_once(connection, path)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_FULL_SECONDS)


def _connect_once(connection: socket.socket, path: Path) -> None:
    if sys.platform != "linux":
        connection.connect(str(path))
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, folder)
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")


__all__ = ["ask"]
