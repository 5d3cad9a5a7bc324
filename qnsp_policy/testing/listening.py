"""A server of streams for tests: each stream that arrives is answered and closed, one after another."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def answering(listener: socket.socket, answer: Callable[[socket.socket], object]) -> Iterator[None]:
    """Hand every stream to `answer` until the block ends; the listener is closed then."""

    def serve() -> None:
        while True:
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            with stream, contextlib.suppress(OSError):  # who asked may be gone
                answer(stream)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`, which `close` alone does not
        listener.close()
        thread.join(30)


__all__ = ["answering"]
