"""Units of a plan made on an AWS-shaped server without an engine, by the stand-in's own kinds: for tests of readers, and benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from qnsp_policy.pipeline.engine.programs import resources
from qnsp_policy.pipeline.engine.waves import levels, resolve
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.pipeline.world.declared import Link, Resource
from qnsp_policy.pipeline.world.recorded import RecordedUnit
from tests.plugins.aws.session import Aws
from tests.plugins.aws.stand_in import KINDS

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """One resource that was made."""

    resource: Resource
    id: str
    inputs: Json
    outputs: Json


def made_units(units: Iterable[Unit], connect: Any) -> tuple[dict[str, RecordedUnit], dict[str, dict[str, Made]]]:
    """Make every unit in the order of their dependencies.

    Args:
        units: those on AWS.
        connect: the platform's `Aws`.

    Returns:
        The units as an apply would have recorded them, and what each made, by name.
    """
    by_id = {unit.id: unit for unit in units}
    recorded: dict[str, RecordedUnit] = {}
    made: dict[str, dict[str, Made]] = {}
    for wave in levels({unit.id: unit.depends_on for unit in by_id.values()}):
        for name in wave:
            unit = resolve(by_id[name], recorded)
            made[name] = _made(resources(unit), connect(unit.inputs["platform"]))
            outputs = _network(unit, made[name]) if "foundation" in unit.inputs else {}
            recorded[name] = RecordedUnit(name, unit.program, unit.digest, unit.inputs, unit.depends_on, outputs)
    return recorded, made


def _made(wanted: Iterable[Resource], aws: Aws) -> dict[str, Made]:
    found: dict[str, Made] = {}
    for item in wanted:
        inputs = {name: _linked(value, found) for name, value in item.inputs.items()}
        name, outputs = KINDS[item.type].create(aws, inputs)
        found[item.name] = Made(item, name, inputs, outputs)
    return found


def _linked(value: Any, found: Mapping[str, Made]) -> Any:
    if isinstance(value, Link):
        one = found[value.name]
        return one.id if value.output == "id" else {**one.inputs, **one.outputs}[value.output]
    if isinstance(value, Mapping):
        return {name: _linked(member, found) for name, member in value.items()}
    return [_linked(item, found) for item in value] if isinstance(value, list) else value


def _network(unit: Unit, made: Mapping[str, Made]) -> Json:
    """What the platform's program exports."""
    network = unit.inputs["foundation"]["network"]
    subnets = [made[f"subnet-{zone}"].id for zone in network["zones"] if f"subnet-{zone}" in made]
    gateway = made.get("endpoint-s3")
    return {
        "vpcId": network["vpc"] or made["network"].id,
        "subnetIds": network["subnets"] or subnets,
        "storagePrefixListId": gateway.outputs["prefixListId"] if gateway else "",
    }


__all__ = ["Made", "made_units"]
