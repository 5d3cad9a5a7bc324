"""Unit `aws-keys`: the KMS keys of one key hierarchy."""

from __future__ import annotations

from pulumi_qnsp.components.aws_keys import keys
from qnsp_policy.pipeline.plan.declaration import Declaration
from qnsp_policy.pipeline.plan.values import Step, Unit
from qnsp_stacks.aws_declared import component, member, providers
from qnsp_stacks.aws_outline import keys_args, keys_steps, resources


def declare(unit: Unit) -> Declaration:
    """Keys and aliases by the key administrator's role; exports `keys`: name -> ARN."""
    inputs = unit.inputs
    made = component("qnsp:aws:Keys", "keys", keys(keys_args(inputs)))
    outputs = {"keys": {key["name"]: member(key["name"], "arn") for key in inputs["keys"]}}
    return Declaration((*providers(inputs["platform"], inputs["keyAdmin"]), *made), outputs)


def outline(unit: Unit) -> tuple[Step, ...]:
    """The steps of this unit, without Pulumi."""
    return keys_steps(unit.inputs)


def program(unit: Unit) -> None:
    """Make them within a Pulumi program."""
    import pulumi

    from pulumi_qnsp.components.aws import Keys, Providers

    inputs = unit.inputs
    made = Keys("keys", keys_args(inputs), Providers(inputs["platform"], inputs["keyAdmin"])).children
    pulumi.export("keys", {key["name"]: made[key["name"]].arn for key in inputs["keys"]})  # type: ignore[attr-defined]


__all__ = ["declare", "outline", "program", "resources"]
