"""Outlines of components on AWS: the component itself, then each child under it; and all of it for a reader. Imports no Pulumi."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pulumi_qnsp.components.aws_balancer import BalancerArgs, balancer
from pulumi_qnsp.components.aws_fleet import FleetArgs, fleet
from pulumi_qnsp.components.aws_foundation import FoundationArgs, foundation
from pulumi_qnsp.components.aws_keys import KeysArgs, keys
from pulumi_qnsp.components.children import Child, Ref, as_engine, camel
from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_policy.pipeline.world.declared import Link, Resource
from qnsp_policy.pipeline.world.recorded import RecordedUnit

FLEET_TYPES: Mapping[str, str] = {
    "nitro-enclave": "qnsp:aws:NitroEnclaveFleet",
    "nitro-tpm": "qnsp:aws:NitroTpmFleet",
    "sev-snp": "qnsp:aws:SevSnpFleet",
}


def steps(token: str, name: str, children: Iterable[Child]) -> tuple[Step, ...]:
    """A component's steps."""
    return (Step(token, name), *(Step(child.type, child.name, name, child.secured()) for child in children))


def foundation_steps(inputs: Mapping[str, Any]) -> tuple[Step, ...]:
    return steps("qnsp:aws:Foundation", "foundation", foundation(FoundationArgs.of(inputs["foundation"])))


def keys_args(inputs: Mapping[str, Any]) -> KeysArgs:
    """The keys of a unit; every one carries the platform's tags."""
    return KeysArgs(inputs.get("keys", ()), inputs["platform"].get("tags", {}))


def keys_steps(inputs: Mapping[str, Any]) -> tuple[Step, ...]:
    return steps("qnsp:aws:Keys", "keys", keys(keys_args(inputs))) if inputs.get("keys") else ()


def fleet_steps(inputs: Mapping[str, Any]) -> tuple[Step, ...]:
    args = FleetArgs.of(inputs["fleet"], inputs["network"])
    return steps(FLEET_TYPES[args.kind], "fleet", fleet(args))


def balancer_steps(inputs: Mapping[str, Any]) -> tuple[Step, ...]:
    args = BalancerArgs.of(inputs["balancer"], inputs["network"])
    return steps("qnsp:aws:Balancer", "passage", balancer(args))


def resources(unit: Unit | RecordedUnit) -> tuple[Resource, ...]:
    """Every resource of AWS that a unit's program makes, with all its inputs; what the reader of AWS compares."""
    inputs, made = unit.inputs, list[Child]()
    if "foundation" in inputs:
        made += foundation(FoundationArgs.of(inputs["foundation"]))
    if inputs.get("keys"):
        made += keys(keys_args(inputs))
    targets = []
    if "balancer" in inputs:
        made += balancer(BalancerArgs.of(inputs["balancer"], inputs["network"]))
        targets = [Link("targets", "arn")]
    if "fleet" in inputs:
        made += fleet(FleetArgs.of(inputs["fleet"], inputs["network"]), target_groups=targets)
    found = [
        Resource(child.type, child.name, as_engine(child.inputs, _link), tuple(camel(name) for name in child.ignore))
        for child in made
    ]
    if "group" in inputs:
        attached = {"autoscalingGroupName": inputs["group"], "lbTargetGroupArn": Link("targets", "arn")}
        found.append(Resource("aws:autoscaling/attachment:Attachment", "attachment", attached))
    return tuple(found)


def _link(ref: Ref) -> Link:
    return Link(ref.child, camel(ref.output))


__all__ = ["balancer_steps", "fleet_steps", "foundation_steps", "keys_args", "keys_steps", "resources", "steps"]
