"""Unit `enclave` on AWS: one fleet of attesters."""

from __future__ import annotations

from pulumi_qnsp.components.aws_fleet import FleetArgs, fleet
from qnsp_policy.pipeline.plan.declaration import Declaration
from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.aws_declared import component, providers
from qnsp_stacks.aws_outline import FLEET_TYPES, fleet_steps, resources


def declare(unit: Unit) -> Declaration:
    """The fleet; exports `group`."""
    args = FleetArgs.of(unit.inputs["fleet"], unit.inputs["network"])
    made = component(FLEET_TYPES[args.kind], "fleet", fleet(args))
    return Declaration((*providers(unit.inputs["platform"]), *made), {"group": args.group})


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    return fleet_steps(unit.inputs)


def program(unit: Unit) -> None:
    """Make it within a Pulumi program."""
    import pulumi

    from pulumi_qnsp.components.aws import FLEETS, Providers

    inputs = unit.inputs
    args = FleetArgs.of(inputs["fleet"], inputs["network"])
    FLEETS[args.kind]("fleet", args, Providers(inputs["platform"]))
    pulumi.export("group", args.group)


__all__ = ["declare", "outline", "program", "resources"]
