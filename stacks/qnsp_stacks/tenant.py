"""Unit `tenant`: what brokers hold of one tenant: the tenant itself, its sealed keys, its release policies."""

from __future__ import annotations

from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.declared import Declared, make, outline_of
from qnsp_stacks.shapes import objects


def _resources(unit: Unit) -> list[Declared]:
    return [item for entry in unit.inputs["brokers"] for item in objects(entry["broker"], entry["objects"])]


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    return outline_of(_resources(unit))


def program(unit: Unit) -> None:
    """Make them, and export `objects`: name -> digest."""
    import pulumi

    resources = _resources(unit)
    make(resources)
    pulumi.export("objects", {item.name: item.inputs["digest"] for item in resources})
