"""What kills struck, counted and noted cycle by cycle, so that a long run tells exact figures and goes on where it was ended.

    python -m tests.faults.tally NOTES

A cycle that failed is not noted; a run with the same notes begins with it again.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

NOTHING = "nothing"
"""What a kill struck that came when its victim had ended, or was not there."""


@dataclass(slots=True)
class Tally:
    """What was struck, by whatever name it has.

    Attributes:
        notes: a file that keeps it, one JSON line a cycle; none: it is kept in memory.
    """

    notes: Path | None = None
    cycles: dict[str, Counter[str]] = field(default_factory=dict)
    runs: int = 0

    @classmethod
    def read(cls, notes: Path | None) -> Tally:
        made = cls(notes)
        if notes is not None and notes.exists():
            for line in notes.read_text().splitlines():
                value = json.loads(line)
                if "run" in value:
                    made.runs += 1
                else:
                    made.cycles[value["cycle"]] = Counter(value["struck"])
        return made

    def begin(self) -> None:
        """A run begins, or goes on."""
        self.runs += 1
        self._write({"run": self.runs})

    def add(self, cycle: str, struck: Counter[str]) -> None:
        self.cycles[cycle] = struck
        self._write({"cycle": cycle, "struck": struck})

    def _write(self, value: object) -> None:
        if self.notes is not None:
            self.notes.parent.mkdir(parents=True, exist_ok=True)
            with self.notes.open("a") as file:
                file.write(json.dumps(value) + "\n")

    @property
    def struck(self) -> Counter[str]:
        return sum(self.cycles.values(), Counter[str]())

    @property
    def kills(self) -> int:
        """Those that struck something."""
        return kills(self.struck)

    def __str__(self) -> str:
        """The figures in words."""
        every = self.struck
        parts = ", ".join(f"{count} {name}" for name, count in every.most_common() if name != NOTHING)
        runs = "1 run" if self.runs == 1 else f"{self.runs} runs"
        return (
            f"{self.kills} kills in {len(self.cycles)} cycles and {runs}: {parts}; "
            f"{every[NOTHING]} more came when their victim was gone or not there yet"
        )


def kills(struck: Counter[str]) -> int:
    return struck.total() - struck[NOTHING]


class Ends(Protocol):
    """Something whose processes are ended."""

    def end(self) -> None: ...


T = TypeVar("T", bound=Ends)


def until_done(seeds: Iterable[int], make: Callable[[int], T], one: Callable[[T, int], str]) -> int:
    """One cycle a seed on one workspace; every failure is printed and the workspace begun anew. How many there were."""
    failures = 0
    made: T | None = None
    for seed in seeds:
        if made is None:
            made = make(seed)
        try:
            print(one(made, seed), flush=True)  # noqa: T201
        except Exception:  # noqa: BLE001 -- told, and on with the next
            failures += 1
            traceback.print_exc(file=sys.stdout, chain=False)
            made.end()
            made = None
    if made is not None:
        made.end()
    return failures


if __name__ == "__main__":
    print(Tally.read(Path(sys.argv[1])))  # noqa: T201

__all__ = ["NOTHING", "Ends", "Tally", "kills", "until_done"]
