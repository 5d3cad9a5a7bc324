"""Loopback ports for listeners that start later.

They lie below the ports that Linux gives to outgoing connections, which would otherwise take one before its service starts.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

RANGE = range(20000, 32000)

_TRIES = 100


def free_ports(count: int, *, note: Path | None = None) -> list[int]:
    """So many different ports that nobody listens on right now.

    Args:
        count: how many.
        note: file that holds the last one given; whoever uses the same file is given others until the range is used up, whether the
            first ones listen by then or not. Without it, or where it cannot be written, they are drawn.

    Raises:
        OSError: no free one was found.
    """
    with ExitStack() as held:
        descriptor = held.enter_context(_opened(note))
        last = _last(descriptor)
        found: list[int] = []
        for _ in range(_TRIES + count):
            last = RANGE[(RANGE.index(last) + 1) % len(RANGE)]
            if _bind(held, last):
                found.append(last)
            if len(found) == count:
                break
        else:
            raise OSError(f"no free port of 127.0.0.1 was found from {RANGE.start} to {RANGE.stop}")
        if descriptor is not None:
            with suppress(OSError):
                os.pwrite(descriptor, b"%d\n" % last, 0)
        return found


@contextmanager
def _opened(note: Path | None) -> Iterator[int | None]:
    """The file, locked; None where that is not possible."""
    descriptor = None
    if note is not None:
        with suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(note, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _last(descriptor: int | None) -> int:
    """Every port of the range has five digits: one is written over another whole."""
    if descriptor is not None:
        with suppress(OSError, ValueError):
            last = int(os.pread(descriptor, 8, 0))
            if last in RANGE:
                return last
    return secrets.choice(RANGE)


def _bind(held: ExitStack, port: int) -> bool:
    listener = held.enter_context(socket.socket())
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


__all__ = ["RANGE", "free_ports"]
