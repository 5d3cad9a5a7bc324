"""Unit `broker` on AWS: a Nitro fleet behind TCP, the key of its store, and the objects that belong to the broker itself."""

from __future__ import annotations

from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.aws_outline import balancer_steps, fleet_steps, keys_args, keys_steps, resources
from qnsp_stacks.declared import make, outline_of
from qnsp_stacks.shapes import objects


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    inputs = unit.inputs
    held = outline_of(objects(inputs["broker"], inputs.get("objects", [])))
    return (*keys_steps(inputs), *balancer_steps(inputs), *fleet_steps(inputs), *held)


def program(unit: Unit) -> None:
    """Make them; export `url`, `tlsKeyId` and the name under which the network reaches it."""
    import pulumi

    from pulumi_qnsp.components.aws import FLEETS, Balancer, Keys, Providers
    from pulumi_qnsp.components.aws_balancer import BalancerArgs
    from pulumi_qnsp.components.aws_fleet import FleetArgs
    from qnsp_stacks.identity import key_id_of

    inputs = unit.inputs
    providers = Providers(inputs["platform"], inputs.get("keyAdmin"))
    if inputs.get("keys"):
        Keys("keys", keys_args(inputs), providers)
    way = Balancer("passage", BalancerArgs.of(inputs["balancer"], inputs["network"]), providers)
    passage = way.children
    args = FleetArgs.of(inputs["fleet"], inputs["network"])
    members = FLEETS[args.kind]("fleet", args, providers, target_groups=[passage["targets"].arn])  # type: ignore[attr-defined]
    make(objects(inputs["broker"], inputs.get("objects", [])), behind=[way, members])
    pulumi.export("url", inputs["broker"]["url"])
    pulumi.export("tlsKeyId", key_id_of(inputs["broker"]["tls"].get("key")))
    pulumi.export("reachedAt", passage["balancer"].dns_name)  # type: ignore[attr-defined]


__all__ = ["outline", "program", "resources"]
