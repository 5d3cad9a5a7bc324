"""How long an apply will still take, by what its units, and units like them, have taken.

Comes in: what is to be done to which unit, records of earlier applies, the engine's events. Goes out: the same events, each with the
seconds that are left, or with none where nothing is known: at first, and where the engine works at other units than the plan names (it goes on
after a failure, or replaces fleets in steps). Nothing is kept: earlier durations stand in the state anyway.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from qnsp_policy.pipeline.engine.events import Event, EventKind, Listener
from qnsp_policy.pipeline.engine.order import ApplyRecord, Status

_ENDS = frozenset({EventKind.UNIT_DONE, EventKind.UNIT_FAILED, EventKind.UNIT_SKIPPED})
_BEAT = 1.0
"""Seconds for which an estimate is good: thousands of units end within one, and each estimate looks at all that are left."""

Work = tuple[str, str]
"""A unit, a kind of units, or "" for any; and what is done to it."""


@dataclass(slots=True)
class _Mean:
    total: float = 0.0
    count: int = 0


class Estimate:
    """A listener that hands every event on with the seconds that are left.

    Args:
        units: what is to be done, by unit.
        earlier: records of applies before this one.
        parallel: units at the same time, at most.
        events: who listens.
        clock: seconds.
    """

    def __init__(
        self,
        units: Mapping[str, str],
        earlier: Iterable[ApplyRecord],
        *,
        parallel: int,
        events: Listener,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._todo = dict(units)
        self._parallel = parallel
        self._events = events
        self._clock = clock
        self._began: dict[str, float] = {}
        self._here: dict[Work, _Mean] = {}
        self._before: dict[Work, _Mean] = {}
        self._lock = threading.Lock()
        self._last = (float("-inf"), 0.0)
        for record in earlier:
            for unit in record.units:
                if unit.status is Status.APPLIED:
                    _note(self._before, (unit.unit, unit.op.value), unit.seconds)
                    _note(self._before, (_kind(unit.unit), unit.op.value), unit.seconds)

    def __call__(self, event: Event) -> None:
        """Hear an event and hand it on."""
        with self._lock:
            now = self._clock()
            if event.kind is EventKind.WAVE and event.wave == 1 and event.of != len(self._todo):
                self._todo.clear()
            if event.kind is EventKind.UNIT_STARTED:
                self._began[event.unit] = now
            elif event.kind in _ENDS:
                self._began.pop(event.unit, None)
                op = self._todo.pop(event.unit, event.op)
                if event.kind is EventKind.UNIT_DONE:
                    _note(self._here, (_kind(event.unit), op), event.seconds)
                    _note(self._here, ("", ""), event.seconds)
            if now - self._last[0] >= _BEAT or not self._last[1]:
                self._last = (now, self._left(now))
            left = max(self._last[1] - (now - self._last[0]), 0.0) if self._todo else 0.0
        self._events(replace(event, left=left))

    def _left(self, now: float) -> float:
        """Seconds; 0 where nothing is known, or where all that is known has taken longer than expected."""
        rest = [0.0]
        for unit, op in self._todo.items():
            seconds = self._expected(unit, op)
            if seconds is None:
                return 0.0
            rest.append(max(seconds - (now - self._began.get(unit, now)), 0.0))
        return max(*rest, sum(rest) / self._parallel)

    def _expected(self, unit: str, op: str) -> float | None:
        """What this very unit took, else what units of its kind take now or took before, else what any unit takes now."""
        kind = (_kind(unit), op)
        found = (
            self._before.get((unit, op)) or self._here.get(kind) or self._before.get(kind) or self._here.get(("", ""))
        )
        return found.total / found.count if found else None


def _note(durations: dict[Work, _Mean], work: Work, seconds: float) -> None:
    mean = durations.setdefault(work, _Mean())
    mean.total += seconds
    mean.count += 1


def _kind(unit: str) -> str:
    """`enclave` of `enclave/clinic-gpu`."""
    return unit.partition("/")[0]


__all__ = ["Estimate"]
