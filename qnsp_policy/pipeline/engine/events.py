"""What an apply says while it works: our own events, whatever the engine under it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """What happened."""

    WAVE = "wave"
    UNIT_STARTED = "unit-started"
    STEP_STARTED = "step-started"
    STEP_DONE = "step-done"
    STEP_FAILED = "step-failed"
    MESSAGE = "message"
    UNIT_DONE = "unit-done"
    UNIT_FAILED = "unit-failed"
    UNIT_SKIPPED = "unit-skipped"
    TAKEOVER = "takeover"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: what.
        unit: the unit's id, "" for what concerns the whole run.
        op: what is done to the unit or resource: create, update, delete, replace, refresh.
        resource: `<type> <name>` of a step.
        text: for people; no secrets.
        wave: number of the wave, from 1.
        seconds: how long it took, where something ended.
        of: how many units the run works at, told with each wave.
        left: seconds that the run will still take, by what is known (`workflows.estimate`); 0 where nothing is.
    """

    kind: EventKind
    unit: str = ""
    op: str = ""
    resource: str = ""
    text: str = ""
    wave: int = 0
    seconds: float = 0.0
    of: int = 0
    left: float = 0.0


Listener = Callable[[Event], None]


def where(outputs: Mapping[str, object]) -> str:
    """What a unit that is done says of itself in a few words: where it answers, its key, how far its hardware is to be believed."""
    key = str(outputs.get("keyId") or "")
    said = (str(outputs.get("url") or ""), f"key {key[:12]}..." if key else "", str(outputs.get("assurance") or ""))
    return "  ".join(part for part in said if part)


def ignore(event: Event) -> None:
    """A listener that listens to nothing."""
    del event


__all__ = ["Event", "EventKind", "Listener", "ignore", "where"]
