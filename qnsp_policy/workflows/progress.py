"""How a verb tells what it is doing: one line a step, and how long the work will still take."""

from __future__ import annotations

import time
from collections.abc import Callable

Progress = Callable[[str], None]


def in_tenths(progress: Progress | None) -> Callable[[str, float, str], None]:
    """What a build says, thinned to a line for each tenth of the way."""
    told: dict[str, int] = {}

    def say(name: str, fraction: float, what: str) -> None:
        tenth = int(fraction * 10)
        if progress is not None and tenth > told.get(name, -1):
            told[name] = tenth
            progress(f"{name}: {fraction:.0%} {what}")

    return say


_PATIENCE = 1.0
"""Seconds for which nobody needs to be told, and between two times that they are."""


def by_fraction(progress: Progress, what: str, clock: Callable[[], float] = time.monotonic) -> Callable[[float], None]:
    """Tells of work that says how far it is, once a second at most: the part that is done and the seconds that are left."""
    began = clock()
    last = began

    def say(fraction: float) -> None:
        nonlocal last
        now = clock()
        if now - last >= _PATIENCE and 0 < fraction < 1:
            last = now
            progress(f"{what}: {fraction:.0%}, {left(fraction, now - began)}")

    return say


def left(fraction: float, seconds: float) -> str:
    """An estimate in words, of work of which a part took so long."""
    return in_words(seconds / fraction - seconds)


def in_words(seconds: float) -> str:
    """How long something will still take: an estimate is told as one."""
    return f"about {seconds / 60:.0f} min left" if seconds >= 100 else f"about {max(seconds, 1):.0f} s left"


def nobody(text: str) -> None:
    """For work that is told to nobody."""
    del text


__all__ = ["Progress", "by_fraction", "in_tenths", "in_words", "left", "nobody"]
