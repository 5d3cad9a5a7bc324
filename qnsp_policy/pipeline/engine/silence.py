"""An engine that says nothing for long is told of: it may wait for something slow, or hang; only a person can know."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

SECONDS = 300.0
"""An endpoint may take fifteen minutes by itself, so silence ends nothing."""


@contextlib.contextmanager
def listening(tell: Callable[[float], None], *, seconds: float = SECONDS) -> Iterator[Callable[[], None]]:
    """Watch over a run between its begin and end.

    Args:
        tell: called with the seconds of silence, each time that as many again have passed.
        seconds: of silence that are told.

    Yields:
        To be called whenever something is heard.
    """
    heard = [time.monotonic()]
    ended = threading.Event()

    def watch() -> None:
        times = 1
        while not ended.wait(max(0.01, heard[0] + times * seconds - time.monotonic())):
            silent = time.monotonic() - heard[0]
            if silent < seconds:
                times = 1
            elif silent >= times * seconds:
                tell(silent)
                times = int(silent / seconds) + 1

    def again() -> None:
        heard[0] = time.monotonic()

    threading.Thread(target=watch, daemon=True, name="silence").start()
    try:
        yield again
    finally:
        ended.set()


__all__ = ["SECONDS", "listening"]
