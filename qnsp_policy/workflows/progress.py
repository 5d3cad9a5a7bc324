"""How a verb tells what it is doing: one line a step."""

from __future__ import annotations

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


__all__ = ["Progress", "in_tenths"]
