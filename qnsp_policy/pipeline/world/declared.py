"""What a unit declares, resource by resource, as the engine names it: what a bulk reader holds against what it found.

A stack module that can be read in bulk offers `resources(unit)`; the same declaration makes its outline and its program, so that
nothing a program sets goes uncompared by oversight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qnsp_policy.pipeline.world.recorded import RecordedUnit


@dataclass(frozen=True, slots=True)
class Link:
    """An output of another resource of the same unit, known in the world only."""

    name: str
    output: str = "id"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of a unit.

    Attributes:
        type: Pulumi token.
        name: Pulumi name, unique in the unit.
        inputs: all of them with the engine's member names; a `Link` stands where another resource's output goes.
        ignore: names of inputs that others may change.
    """

    type: str
    name: str
    inputs: Mapping[str, Any]
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Left:
    """What exists of a unit although its stack does not hold it.

    Attributes:
        ours: type and name -> id, to be taken on.
        strangers: type, name and id of what bears our name and not our mark.
    """

    ours: Mapping[tuple[str, str], str] = field(default_factory=dict)
    strangers: tuple[tuple[str, str, str], ...] = ()


Declares = Callable[[RecordedUnit], Sequence[Resource]]

__all__ = ["Declares", "Left", "Link", "Resource"]
