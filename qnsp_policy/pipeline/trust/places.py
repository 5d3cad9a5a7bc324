"""Places that are found when somebody asks: composing a document costs more than everything else about its grant.

A plan of ten thousand documents shows the lines of the few that changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from qnsp_policy.errors import Place

NOWHERE = Place("")
"""The place of a value that no document at hand holds; its file is empty."""

SELF = ""
"""The name under which a value's own place stands among its places."""


class LazyPlaces(Mapping[str, Place]):
    """Places by name, each found at its first use and kept."""

    __slots__ = ("_finders", "_found")

    def __init__(self, finders: Mapping[str, Callable[[], Place]]) -> None:
        self._finders = finders
        self._found: dict[str, Place] = {}

    def __getitem__(self, name: str) -> Place:
        if name not in self._found:
            self._found[name] = self._finders[name]()
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._finders

    def __iter__(self) -> Iterator[str]:
        return iter(self._finders)

    def __len__(self) -> int:
        return len(self._finders)


__all__ = ["NOWHERE", "SELF", "LazyPlaces"]
