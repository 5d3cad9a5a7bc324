"""Unit `platform` on AWS: one Foundation."""

from __future__ import annotations

from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.aws_outline import foundation_steps, resources


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    return foundation_steps(unit.inputs)


def program(unit: Unit) -> None:
    """Make it; export what other units stand in."""
    import pulumi

    from pulumi_qnsp.components.aws import Foundation, Providers
    from pulumi_qnsp.components.aws_foundation import FoundationArgs

    inputs = unit.inputs
    network = inputs["foundation"]["network"]
    made = Foundation("foundation", FoundationArgs.of(inputs["foundation"]), Providers(inputs["platform"])).children
    subnets = [resource.id for name, resource in made.items() if name in {f"subnet-{z}" for z in network["zones"]}]
    gateway = made.get("endpoint-s3")
    pulumi.export("vpcId", network["vpc"] or made["network"].id)
    pulumi.export("subnetIds", network["subnets"] or subnets)
    pulumi.export("storagePrefixListId", gateway.prefix_list_id if gateway is not None else "")  # type: ignore[attr-defined]
    pulumi.export("organisationPolicies", inputs["foundation"]["organisationPolicies"])


__all__ = ["outline", "program", "resources"]
