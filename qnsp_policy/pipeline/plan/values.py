"""The values of a plan: units, steps, actions, and the port by which an engine previews changed units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Protocol

from qnsp_policy.errors import Place
from qnsp_policy.pipeline.plan.structure import Difference
from qnsp_policy.pipeline.trust.objects import unit_digest
from qnsp_policy.pipeline.trust.places import NOWHERE, SELF
from qnsp_policy.pipeline.world.recorded import RecordedUnit

Json = dict[str, Any]


class Op(StrEnum):
    """What happens to a unit or to one resource of it."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    REPLACE = "replace"
    NO_OP = "no-op"


@dataclass(frozen=True, slots=True)
class Reference:
    """An output of another unit that replaces the member at `pointer` (RFC 6901) of a unit's inputs."""

    unit: str
    output: str
    pointer: str

    def to_json(self) -> Json:
        return {"unit": self.unit, "output": self.output, "pointer": self.pointer}


@dataclass(frozen=True)
class Unit:
    """One Pulumi stack's worth of desired state (docs/formats/units.md).

    Attributes:
        id: `<program>/<name>`.
        program: the stack module that builds it.
        inputs: plain JSON; everything the program needs.
        depends_on: ids of units that come before it, those of `references` included, sorted.
        references: outputs of other units.
        places: where it is declared (""), and by a prefix of a difference's path where that part of the inputs is; not
            part of the digest.
    """

    id: str
    program: str
    inputs: Json
    depends_on: tuple[str, ...]
    references: tuple[Reference, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict, compare=False, repr=False)

    @property
    def place(self) -> Place:
        """The document it comes from; `NOWHERE` when it was read back from JSON."""
        return self.places.get(SELF, NOWHERE)

    @cached_property
    def digest(self) -> str:
        return unit_digest(self.program, self.inputs, self.depends_on, [r.to_json() for r in self.references])

    def to_json(self) -> Json:
        return {
            "id": self.id,
            "program": self.program,
            "inputs": self.inputs,
            "dependsOn": list(self.depends_on),
            "references": [reference.to_json() for reference in self.references],
            "digest": self.digest,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Unit:
        """Read one member of a verified plan's `units`; raises `ValueError` when the digest is not that of the rest."""
        unit = cls(
            id=value["id"],
            program=value["program"],
            inputs=value["inputs"],
            depends_on=tuple(value["dependsOn"]),
            references=tuple(Reference(r["unit"], r["output"], r["pointer"]) for r in value["references"]),
        )
        if unit.digest != value["digest"]:
            raise ValueError(f"the digest of unit {unit.id} is not that of its inputs")
        return unit

    def place_of(self, path: str) -> Place:
        """Where the part of the inputs at `path` is declared: the longest known prefix, else the unit's document."""
        known = [prefix for prefix in self.places if prefix and path.startswith(prefix)]
        return self.places[max(known, key=len)] if known else self.place


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of a unit's outline: a resource that its program makes.

    Attributes:
        type: Pulumi type token, e.g. `qnsp:local:Process`.
        name: Pulumi name, unique within the unit.
        parent: name of the parent step, None under the stack itself.
        security: the properties that a preview under the lock must still show.
    """

    type: str
    name: str
    parent: str | None = None
    security: Json = field(default_factory=dict)

    def to_json(self) -> Json:
        return {"type": self.type, "name": self.name, "parent": self.parent, "security": self.security}


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step with what happens to it.

    Attributes:
        op: create, update, delete or replace; unchanged resources are not listed.
        step: which resource.
        properties: for update and replace, the changed input properties, sorted.
    """

    op: Op
    step: Step
    properties: tuple[str, ...] = ()

    def to_json(self) -> Json:
        return {"op": self.op.value, **self.step.to_json(), "properties": list(self.properties)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PlannedStep:
        step = Step(value["type"], value["name"], value["parent"], value["security"])
        return cls(Op(value["op"]), step, tuple(value["properties"]))


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something changes: in words, and the document line that causes it (no file: it is not a document's doing)."""

    text: str
    place: Place = NOWHERE

    def to_json(self) -> Json:
        return {"text": self.text, "place": str(self.place) if self.place.file else None}


@dataclass(frozen=True, slots=True)
class Action:
    """What a plan does to one unit.

    Attributes:
        unit: its id.
        op: of the unit as a whole.
        reasons: at least one unless `no-op`.
        differences: of its inputs, recorded to desired.
        steps: resources in the order of the outline or of the preview.
        skipped: True when the unit would change but `--target` or `--exclude` left it out.
    """

    unit: str
    op: Op
    reasons: tuple[Reason, ...] = ()
    differences: tuple[Difference, ...] = ()
    steps: tuple[PlannedStep, ...] = ()
    skipped: bool = False

    def to_json(self) -> Json:
        return {
            "unit": self.unit,
            "op": self.op.value,
            "reasons": [reason.to_json() for reason in self.reasons],
            "differences": [difference.to_json() for difference in self.differences],
            "steps": [step.to_json() for step in self.steps],
            "skipped": self.skipped,
        }


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """A unit that changed or drifted: what it should be and what was applied last."""

    unit: Unit
    recorded: RecordedUnit


class Previews(Protocol):
    """Port: how the engine would change units; implemented by `pipeline/engine`, faked by `testing`."""

    def preview(self, requests: Sequence[PreviewRequest]) -> Mapping[str, tuple[PlannedStep, ...]]:
        """The steps for each unit id of `requests`; unchanged resources are left out.

        Raises:
            EngineError: a preview failed; never answered with an empty tuple.
        """
        ...


class Outline(Protocol):
    """A stack module's `outline`: the steps of a unit, without Pulumi."""

    def __call__(self, unit: Unit) -> tuple[Step, ...]: ...


__all__ = [
    "Action",
    "Json",
    "Op",
    "Outline",
    "PlannedStep",
    "PreviewRequest",
    "Previews",
    "Reason",
    "Reference",
    "Step",
    "Unit",
]
