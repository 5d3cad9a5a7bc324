"""Free loopback ports for a workspace of one machine."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack

RANGE = range(20000, 32000)
"""Below the ports that Linux gives to outgoing connections, which would otherwise take one before its service starts."""

_TRIES = 100


def free_ports(count: int) -> list[int]:
    """So many different ports that nobody listens on right now, drawn: two workspaces made side by side share none.

    Raises:
        OSError: no free one was found.
    """
    with ExitStack() as held:
        return [_bind(held) for _ in range(count)]


def _bind(held: ExitStack) -> int:
    listener = held.enter_context(socket.socket())
    for _ in range(_TRIES):
        port = secrets.choice(RANGE)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port
    raise OSError(f"no free port of 127.0.0.1 was found among {_TRIES} of {RANGE.start} to {RANGE.stop}")


__all__ = ["RANGE", "free_ports"]
