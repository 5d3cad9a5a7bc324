"""Outlines of components on AWS: the component itself, then each child under it. Imports no Pulumi."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pulumi_qnsp.components.aws_balancer import BalancerArgs, balancer
from pulumi_qnsp.components.aws_fleet import FleetArgs, fleet
from pulumi_qnsp.components.aws_foundation import FoundationArgs, foundation
from pulumi_qnsp.components.aws_keys import KeysArgs, keys
from pulumi_qnsp.components.children import Child
from qnsp_policy.pipeline.plan.values import Step

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


__all__ = ["balancer_steps", "fleet_steps", "foundation_steps", "keys_args", "keys_steps", "steps"]
