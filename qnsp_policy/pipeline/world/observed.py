"""What was observed of the running world, held against recorded state. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Json = dict[str, Any]


class Concern(StrEnum):
    """What a difference touches; `refreshed` is none: what is renewed by itself, as it should be, and holds."""

    SECURITY = "security"
    AVAILABILITY = "availability"
    COSMETIC = "cosmetic"
    REFRESHED = "refreshed"


@dataclass(frozen=True, slots=True)
class Deviation:
    """One difference between what was applied and what is.

    Attributes:
        unit: id of the unit it belongs to.
        resource: what differs, e.g. `release-policy/clinic/model/minilm at main`.
        concern: what it touches.
        text: one sentence for people.
        expected, got: the two sides, "" where there is none.
    """

    unit: str
    resource: str
    concern: Concern
    text: str
    expected: str = ""
    got: str = ""

    def to_json(self) -> Json:
        return {
            "unit": self.unit,
            "resource": self.resource,
            "concern": self.concern.value,
            "text": self.text,
            "expected": self.expected,
            "got": self.got,
        }


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at the world.

    Attributes:
        deviations: in the order of units.
        unknown: unit id -> why it could not be read; never read as "no drift".
        read: ids of units that were read whole.
    """

    deviations: tuple[Deviation, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)
    read: tuple[str, ...] = ()

    @property
    def drifted(self) -> Mapping[str, tuple[str, ...]]:
        """By unit id, what differs or could not be read, in words: plan previews these."""
        found: dict[str, list[str]] = {}
        for deviation in self.deviations:
            if deviation.concern is not Concern.REFRESHED:
                found.setdefault(deviation.unit, []).append(deviation.text)
        for unit, why in self.unknown.items():
            found.setdefault(unit, []).append(f"could not be read ({why})")
        return {unit: tuple(texts) for unit, texts in sorted(found.items())}

    def joined(self, other: Observation) -> Observation:
        """Two looks as one; a unit that either could not read is unknown."""
        unknown = {**self.unknown, **other.unknown}
        read = tuple(name for name in dict.fromkeys((*self.read, *other.read)) if name not in unknown)
        return Observation((*self.deviations, *other.deviations), unknown, read)

    def to_json(self) -> Json:
        return {
            "deviations": [deviation.to_json() for deviation in self.deviations],
            "unknown": dict(sorted(self.unknown.items())),
            "read": list(self.read),
        }


__all__ = ["Concern", "Deviation", "Observation"]
