"""Unit `enclave` on AWS: one fleet of attesters."""

from __future__ import annotations

from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.aws_outline import fleet_steps, resources


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    return fleet_steps(unit.inputs)


def program(unit: Unit) -> None:
    """Make it; export `group`."""
    import pulumi

    from pulumi_qnsp.components.aws import FLEETS, Providers
    from pulumi_qnsp.components.aws_fleet import FleetArgs

    inputs = unit.inputs
    args = FleetArgs.of(inputs["fleet"], inputs["network"])
    FLEETS[args.kind]("fleet", args, Providers(inputs["platform"]))
    pulumi.export("group", args.group)


__all__ = ["outline", "program", "resources"]
