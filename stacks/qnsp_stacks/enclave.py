"""Unit `enclave`: the processes of a fleet's members; locally a simulated attester and its guest."""

from __future__ import annotations

from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.declared import Declared, make, outline_of
from qnsp_stacks.shapes import process


def _resources(unit: Unit) -> list[Declared]:
    made: list[Declared] = []
    for shape in unit.inputs["processes"]:
        # `enclave-<name>-<n>-guest` comes after `enclave-<name>-<n>-simulator`; members do not wait for each other.
        member = shape["name"].rpartition("-")[0]
        made.append(process(shape, after=[item.name for item in made if item.name.rpartition("-")[0] == member]))
    return made


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    return outline_of(_resources(unit))


def program(unit: Unit) -> None:
    """Make them, and export `members`."""
    import pulumi

    made = make(_resources(unit))
    pulumi.export("members", [{"name": name, "pid": item.pid} for name, item in made.items()])  # type: ignore[attr-defined]
