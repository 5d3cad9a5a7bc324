"""One declaration serves both faces of a stack module: its outline (no Pulumi) and its program.

A module says once which resources a unit has (`Declared`, in the order of their making); `outline` lists them for the plan,
`program` makes them. A test under Pulumi's mocks holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qnsp_policy.pipeline.plan.values import Step

if TYPE_CHECKING:
    import pulumi

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Declared:
    """One resource of a unit.

    Attributes:
        type: Pulumi type token.
        name: Pulumi name, unique in the unit.
        inputs: all of them, plain.
        security: names of the inputs that a preview under the lock must still show as the plan holds them.
        after: names of resources that come first.
        protect: Pulumi refuses to delete it until a plan lifts that.
    """

    type: str
    name: str
    inputs: Json
    security: tuple[str, ...] = ()
    after: tuple[str, ...] = field(default=())
    protect: bool = False


def outline_of(resources: Iterable[Declared]) -> tuple[Step, ...]:
    """The steps of an outline."""
    return tuple(
        Step(item.type, item.name, None, {name: item.inputs[name] for name in item.security}) for item in resources
    )


def make(
    resources: Iterable[Declared], *, behind: Sequence[pulumi.Resource] = ()
) -> Mapping[str, pulumi.CustomResource]:
    """Register the resources with the running Pulumi program, by name; each after everything in `behind`."""
    import pulumi

    from pulumi_qnsp import resources as classes

    made: dict[str, pulumi.CustomResource] = {}
    for item in resources:
        # A name is one thing in the world: made before the old one is deleted, the new one would be deleted with it.
        options = pulumi.ResourceOptions(
            depends_on=[*behind, *(made[name] for name in item.after)], protect=item.protect, delete_before_replace=True
        )
        match item.type.split(":"):
            case ["qnsp", "local", "Supervisor"]:
                made[item.name] = classes.Supervisor(item.name, item.inputs, options)
            case ["qnsp", "local", "Process"]:
                made[item.name] = classes.Process(item.name, item.inputs, options)
            case ["qnsp", "broker", _]:
                made[item.name] = classes.BrokerObject(item.name, item.inputs, options)
            case ["qnsp", "gateway", "Endpoint"]:
                made[item.name] = classes.Endpoint(item.name, item.inputs, options)
            case _:
                raise ValueError(f"no resource class for {item.type}")
    return made


__all__ = ["Declared", "make", "outline_of"]
