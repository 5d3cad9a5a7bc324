"""Unit `endpoint`: its configuration at the broker, then the wait for the attested gateway to answer."""

from __future__ import annotations

from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.declared import Declared, make, outline_of
from qnsp_stacks.shapes import objects


def _resources(unit: Unit) -> list[Declared]:
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
    return [*configuration, gateway]


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    return outline_of(_resources(unit))


def program(unit: Unit) -> None:
    """Make them, and export `url`, `keyId` and `assurance`."""
    import pulumi

    endpoint = make(_resources(unit))[unit.inputs["endpoint"]["name"]]
    pulumi.export("url", unit.inputs["endpoint"]["url"])
    pulumi.export("keyId", endpoint.keyId)  # type: ignore[attr-defined]
    pulumi.export("assurance", endpoint.assurance)  # type: ignore[attr-defined]
