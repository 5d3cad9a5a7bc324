"""Unit `broker`: the process of a key broker, then the objects that belong to the broker itself."""

from __future__ import annotations

from qnsp_policy.pipeline.plan.declaration import Declaration
from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.declared import run
from qnsp_stacks.identity import key_id_of
from qnsp_stacks.shapes import objects, process


def declare(unit: Unit) -> Declaration:
    """Processes and objects; exports `url` and `tlsKeyId`."""
    connection = unit.inputs["broker"]
    processes = [process(shape) for shape in unit.inputs["processes"]]
    held = objects(connection, unit.inputs.get("objects", []), after=[item.name for item in processes])
    return Declaration(
        (*processes, *held), {"url": connection["url"], "tlsKeyId": key_id_of(connection["tls"].get("key"))}
    )


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    return declare(unit).outline


def program(unit: Unit) -> None:
    """Make them within a Pulumi program."""
    run(declare(unit))
