"""Unit `endpoint` on AWS: TCP through to its fleet, its configuration at the broker, the wait for the attested answer."""

from __future__ import annotations

from dataclasses import replace

from pulumi_qnsp.components.aws_balancer import BalancerArgs, balancer
from pulumi_qnsp.components.children import Child
from pulumi_qnsp.components.children import Ref as ChildRef
from qnsp_policy.pipeline.plan.declaration import Declaration
from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks import endpoint as local
from qnsp_stacks.aws_declared import component, member, providers, resource
from qnsp_stacks.aws_outline import balancer_steps, resources
from qnsp_stacks.declared import make


def declare(unit: Unit) -> Declaration:
    """Passage, attachment, configuration and gateway; exports `url`, `keyId`, `assurance` and the name in the network."""
    inputs = unit.inputs
    way = component("qnsp:aws:Balancer", "passage", balancer(BalancerArgs.of(inputs["balancer"], inputs["network"])))
    attached = resource(
        Child(
            "aws:autoscaling/attachment:Attachment",
            "attachment",
            {"autoscaling_group_name": inputs["group"], "lb_target_group_arn": ChildRef("targets", "arn")},
            ("autoscaling_group_name",),
        )
    )
    behind = tuple(item.known_as for item in (*way, attached) if not item.component)
    told = local.declare(unit)
    both = [replace(item, after=(*behind, *item.after)) for item in told.resources]
    outputs = {**told.outputs, "reachedAt": member("balancer", "dns_name")}
    return Declaration((*providers(inputs["platform"]), *way, attached, *both), outputs)


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    attachment = Step(
        "aws:autoscaling/attachment:Attachment", "attachment", None, {"autoscalingGroupName": unit.inputs["group"]}
    )
    return (*balancer_steps(unit.inputs), attachment, *local.outline(unit))


def program(unit: Unit) -> None:
    """Make them within a Pulumi program."""
    import pulumi
    import pulumi_aws

    from pulumi_qnsp.components.aws import Balancer, Providers

    inputs = unit.inputs
    providers = Providers(inputs["platform"])
    way = Balancer("passage", BalancerArgs.of(inputs["balancer"], inputs["network"]), providers)
    passage = way.children
    attached = pulumi_aws.autoscaling.Attachment(
        "attachment",
        autoscaling_group_name=inputs["group"],
        lb_target_group_arn=passage["targets"].arn,  # type: ignore[attr-defined]
        opts=pulumi.ResourceOptions(provider=providers.default, delete_before_replace=True),
    )
    both = make(local.declare(unit).resources, behind=[way, attached])
    made = both[inputs["endpoint"]["name"]]
    pulumi.export("url", inputs["endpoint"]["url"])
    pulumi.export("keyId", made.keyId)  # type: ignore[attr-defined]
    pulumi.export("assurance", made.assurance)  # type: ignore[attr-defined]
    pulumi.export("reachedAt", passage["balancer"].dns_name)  # type: ignore[attr-defined]


__all__ = ["declare", "outline", "program", "resources"]
