"""Unit `tenant`: what brokers hold of one tenant: the tenant itself, its sealed keys, its release policies."""

from __future__ import annotations

from qnsp_policy.pipeline.plan.declaration import Declaration
from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.declared import run
from qnsp_stacks.shapes import objects


def declare(unit: Unit) -> Declaration:
    """The objects at each broker; exports `objects`: name -> digest."""
    resources = tuple(item for entry in unit.inputs["brokers"] for item in objects(entry["broker"], entry["objects"]))
    return Declaration(resources, {"objects": {item.name: item.inputs["digest"] for item in resources}})


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    return declare(unit).outline


def program(unit: Unit) -> None:
    """Make them within a Pulumi program."""
    run(declare(unit))
