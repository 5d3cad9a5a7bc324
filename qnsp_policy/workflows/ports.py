"""Free loopback ports for a workspace of one machine."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def free_ports(count: int, preferred: tuple[int, ...] = ()) -> list[int]:
    """So many different ports that nobody listens on right now; the preferred ones where they are free."""
    with ExitStack() as held:
        found: list[int] = []
        for number in range(count):
            wanted = preferred[number] if number < len(preferred) else 0
            found.append(_bind(held, wanted))
        return found


def _bind(held: ExitStack, wanted: int) -> int:
    listener = held.enter_context(socket.socket())
    try:
        listener.bind(("127.0.0.1", wanted))
    except OSError:
        listener.bind(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    return port


__all__ = ["free_ports"]
