"""Unit `endpoint` on AWS: TCP through to its fleet, its configuration at the broker, the wait for the attested answer."""

from __future__ import annotations

from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks import endpoint as local
from qnsp_stacks.aws_outline import balancer_steps, resources
from qnsp_stacks.declared import make


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    attachment = Step(
        "aws:autoscaling/attachment:Attachment", "attachment", None, {"autoscalingGroupName": unit.inputs["group"]}
    )
    return (*balancer_steps(unit.inputs), attachment, *local.outline(unit))


def program(unit: Unit) -> None:
    """Make them; export `url`, `keyId`, `assurance` and the name under which the network reaches it."""
    import pulumi
    import pulumi_aws

    from pulumi_qnsp.components.aws import Balancer, Providers
    from pulumi_qnsp.components.aws_balancer import BalancerArgs

    inputs = unit.inputs
    providers = Providers(inputs["platform"])
    way = Balancer("passage", BalancerArgs.of(inputs["balancer"], inputs["network"]), providers)
    passage = way.children
    attached = pulumi_aws.autoscaling.Attachment(
        "attachment",
        autoscaling_group_name=inputs["group"],
        lb_target_group_arn=passage["targets"].arn,  # type: ignore[attr-defined]
        opts=pulumi.ResourceOptions(provider=providers.default),
    )
    both = make(local.declare(unit).resources, behind=[way, attached])
    made = both[inputs["endpoint"]["name"]]
    pulumi.export("url", inputs["endpoint"]["url"])
    pulumi.export("keyId", made.keyId)  # type: ignore[attr-defined]
    pulumi.export("assurance", made.assurance)  # type: ignore[attr-defined]
    pulumi.export("reachedAt", passage["balancer"].dns_name)  # type: ignore[attr-defined]


__all__ = ["outline", "program", "resources"]
