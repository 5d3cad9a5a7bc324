"""Unit `broker`: the process of a key broker, then the objects that belong to the broker itself."""

from __future__ import annotations

from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.declared import Declared, make, outline_of
from qnsp_stacks.shapes import objects, process


def _resources(unit: Unit) -> list[Declared]:
    processes = [process(shape) for shape in unit.inputs["processes"]]
    names = [item.name for item in processes]
    return [*processes, *objects(unit.inputs["broker"], unit.inputs.get("objects", []), after=names)]


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    return outline_of(_resources(unit))


def program(unit: Unit) -> None:
    """Make them, and export `url` and `tlsKeyId`."""
    import pulumi

    from qnsp_stacks.identity import key_id_of

    make(_resources(unit))
    connection = unit.inputs["broker"]
    pulumi.export("url", connection["url"])
    pulumi.export("tlsKeyId", key_id_of(connection["tls"].get("key")))
