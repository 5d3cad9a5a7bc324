"""A unit's declaration as a program of Pulumi's own SDK; where a unit also holds others' resources, and in users' programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qnsp_policy.pipeline.plan.declaration import Declaration, Declared, Ref
from qnsp_policy.pipeline.plan.values import Step

if TYPE_CHECKING:
    import pulumi


def outline_of(resources: Iterable[Declared]) -> tuple[Step, ...]:
    """The steps of an outline."""
    return tuple(item.step for item in resources)


def run(declaration: Declaration) -> None:
    """Make everything and export the outputs, within a running Pulumi program."""
    import pulumi

    made = make(declaration.resources)
    for name, value in declaration.outputs.items():
        pulumi.export(name, _known(value, made))


def _known(value: Any, made: Mapping[str, Any]) -> Any:
    if isinstance(value, Ref):
        return getattr(made[value.resource], value.member)
    if isinstance(value, Mapping):
        return {name: _known(member, made) for name, member in value.items()}
    return [_known(item, made) for item in value] if isinstance(value, list) else value


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


__all__ = ["make", "outline_of", "run"]
