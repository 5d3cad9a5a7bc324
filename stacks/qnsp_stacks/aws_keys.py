"""Unit `aws-keys`: the KMS keys of one key hierarchy."""

from __future__ import annotations

from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.aws_outline import keys_args, keys_steps, resources


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    return keys_steps(unit.inputs)


def program(unit: Unit) -> None:
    """Make them by the key administrator's role; export `keys`: name -> ARN."""
    import pulumi

    from pulumi_qnsp.components.aws import Keys, Providers

    inputs = unit.inputs
    made = Keys("keys", keys_args(inputs), Providers(inputs["platform"], inputs["keyAdmin"])).children
    pulumi.export("keys", {key["name"]: made[key["name"]].arn for key in inputs["keys"]})  # type: ignore[attr-defined]


__all__ = ["outline", "program", "resources"]
