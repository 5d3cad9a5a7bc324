"""Unit `enclave`: the processes of a fleet's members; locally a simulated attester and its guest."""

from __future__ import annotations

from qnsp_policy.pipeline.plan.declaration import Declaration, Declared, Ref
from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.declared import run
from qnsp_stacks.shapes import process


def declare(unit: Unit) -> Declaration:
    """The processes; exports `members`."""
    made: list[Declared] = []
    earlier: dict[str, list[str]] = {}
    for shape in unit.inputs["processes"]:
        # `enclave-<name>-<n>-guest` comes after `enclave-<name>-<n>-simulator`; members do not wait for each other.
        member = earlier.setdefault(shape["name"].rpartition("-")[0], [])
        made.append(process(shape, after=member))
        member.append(shape["name"])
    return Declaration(tuple(made), {"members": [{"name": item.name, "pid": Ref(item.name, "pid")} for item in made]})


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    return declare(unit).outline


def program(unit: Unit) -> None:
    """Make them within a Pulumi program."""
    run(declare(unit))
