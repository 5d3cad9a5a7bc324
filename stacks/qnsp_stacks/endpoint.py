"""Unit `endpoint`: its configuration at the broker, then the wait for the attested gateway to answer."""

from __future__ import annotations

from qnsp_policy.pipeline.plan.declaration import Declaration, Declared, Ref
from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.declared import run
from qnsp_stacks.shapes import objects


def declare(unit: Unit) -> Declaration:
    """Configuration and gateway; exports `url`, `keyId` and `assurance`."""
    configuration = [item for entry in unit.inputs["brokers"] for item in objects(entry["broker"], entry["objects"])]
    endpoint = unit.inputs["endpoint"]
    gateway = Declared(
        "qnsp:gateway:Endpoint",
        endpoint["name"],
        {
            "name": endpoint["name"],
            "url": endpoint["url"],
            "tlsMode": endpoint["tls"]["mode"],
            "expected": endpoint["expected"],
            "readinessTimeoutSeconds": endpoint["readinessTimeoutSeconds"],
        },
        security=("url", "tlsMode"),
        after=tuple(item.name for item in configuration),
    )
    outputs = {
        "url": endpoint["url"],
        "keyId": Ref(endpoint["name"], "keyId"),
        "assurance": Ref(endpoint["name"], "assurance"),
    }
    return Declaration((*configuration, gateway), outputs)


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    return declare(unit).outline


def program(unit: Unit) -> None:
    """Make them within a Pulumi program."""
    run(declare(unit))
