"""Paint for terminal text: a function from a style's name and a text to text, so that renderers stay values to values.

Colour adds, never carries, meaning: the same text without paint says the same.
"""

from __future__ import annotations

from typing import Literal, Protocol

Style = Literal["good", "bad", "warn", "note", "dim", "strong", "place"]

_CODES: dict[str, str] = {
    "good": "32",
    "bad": "1;31",
    "warn": "33",
    "note": "36",
    "dim": "2",
    "strong": "1",
    "place": "34",
}


class Paint(Protocol):
    """Wraps a text in a style."""

    def __call__(self, style: Style, text: str, /) -> str: ...


def plain(style: Style, text: str, /) -> str:  # noqa: ARG001 -- the unpainted twin of `_ansi`
    """No paint."""
    return text


def _ansi(style: Style, text: str, /) -> str:
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if text else text


def painter(*, on: bool) -> Paint:
    """The paint of a terminal, or none."""
    return _ansi if on else plain


__all__ = ["Paint", "Style", "painter", "plain"]
