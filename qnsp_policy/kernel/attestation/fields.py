"""One field of evidence as inspection shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """One field of evidence: offset and size in bytes, name in the standard's spelling, value as text."""

    offset: int
    size: int
    name: str
    value: str


__all__ = ["Field"]
