"""Unit `broker` on AWS: a Nitro fleet behind TCP, the key of its store, and the objects that belong to the broker itself."""

from __future__ import annotations

from pulumi_qnsp.components.aws_balancer import BalancerArgs, balancer
from pulumi_qnsp.components.aws_fleet import FleetArgs, fleet
from pulumi_qnsp.components.aws_keys import keys
from qnsp_policy.pipeline.plan.declaration import Declaration
from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.aws_declared import component, member, providers
from qnsp_stacks.aws_outline import FLEET_TYPES, balancer_steps, fleet_steps, keys_args, keys_steps, resources
from qnsp_stacks.declared import make, outline_of
from qnsp_stacks.identity import key_id_of
from qnsp_stacks.shapes import objects


def declare(unit: Unit) -> Declaration:
    """Fleet, passage, keys and objects; exports `url`, `tlsKeyId` and the name under which the network reaches it."""
    inputs = unit.inputs
    args = FleetArgs.of(inputs["fleet"], inputs["network"])
    store = component("qnsp:aws:Keys", "keys", keys(keys_args(inputs))) if inputs.get("keys") else []
    way = component("qnsp:aws:Balancer", "passage", balancer(BalancerArgs.of(inputs["balancer"], inputs["network"])))
    members = component(FLEET_TYPES[args.kind], "fleet", fleet(args, target_groups=[member("targets", "arn")]))
    behind = [item.known_as for item in (*way, *members) if not item.component]
    held = objects(inputs["broker"], inputs.get("objects", []), after=behind)
    outputs = {
        "url": inputs["broker"]["url"],
        "tlsKeyId": key_id_of(inputs["broker"]["tls"].get("key")),
        "reachedAt": member("balancer", "dns_name"),
    }
    made = (*providers(inputs["platform"], inputs.get("keyAdmin")), *store, *way, *members, *held)
    return Declaration(made, outputs)


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    inputs = unit.inputs
    held = outline_of(objects(inputs["broker"], inputs.get("objects", [])))
    return (*keys_steps(inputs), *balancer_steps(inputs), *fleet_steps(inputs), *held)


def program(unit: Unit) -> None:
    """Make them within a Pulumi program."""
    import pulumi

    from pulumi_qnsp.components.aws import FLEETS, Balancer, Keys, Providers

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


__all__ = ["declare", "outline", "program", "resources"]
