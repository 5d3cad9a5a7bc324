"""Unit `platform` on AWS: one Foundation."""

from __future__ import annotations

from typing import Any

from pulumi_qnsp.components.aws_foundation import FoundationArgs, foundation
from qnsp_policy.pipeline.plan.declaration import Declaration
from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.aws_declared import component, member, providers
from qnsp_stacks.aws_outline import foundation_steps, resources


def declare(unit: Unit) -> Declaration:
    """Network, records and roles; exports what other units stand in."""
    inputs = unit.inputs
    network = inputs["foundation"]["network"]
    children = foundation(FoundationArgs.of(inputs["foundation"]))
    names = [child.name for child in children]
    subnets = [member(f"subnet-{zone}") for zone in network["zones"] if f"subnet-{zone}" in names]
    outputs: dict[str, Any] = {
        "vpcId": network["vpc"] or member("network"),
        "subnetIds": list(network["subnets"] or subnets),
        "storagePrefixListId": member("endpoint-s3", "prefix_list_id") if "endpoint-s3" in names else "",
        "organisationPolicies": inputs["foundation"]["organisationPolicies"],
    }
    made = component("qnsp:aws:Foundation", "foundation", children)
    return Declaration((*providers(inputs["platform"]), *made), outputs)


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    return foundation_steps(unit.inputs)


def program(unit: Unit) -> None:
    """Make them within a Pulumi program."""
    import pulumi

    from pulumi_qnsp.components.aws import Foundation, Providers

    inputs = unit.inputs
    network = inputs["foundation"]["network"]
    made = Foundation("foundation", FoundationArgs.of(inputs["foundation"]), Providers(inputs["platform"])).children
    subnets = [resource.id for name, resource in made.items() if name in {f"subnet-{z}" for z in network["zones"]}]
    gateway = made.get("endpoint-s3")
    pulumi.export("vpcId", network["vpc"] or made["network"].id)
    pulumi.export("subnetIds", network["subnets"] or subnets)
    pulumi.export("storagePrefixListId", gateway.prefix_list_id if gateway is not None else "")  # type: ignore[attr-defined]
    pulumi.export("organisationPolicies", inputs["foundation"]["organisationPolicies"])


__all__ = ["declare", "outline", "program", "resources"]
