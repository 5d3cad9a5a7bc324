"""What a unit consists of, said once: its resources in the order of their making, and its outputs. Values only.

A stack module that offers `declare(unit)` has its outline, its Pulumi program and its run without Pulumi's SDK
(`engine/registration.py`) from this one value; so the three cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qnsp_policy.pipeline.plan.values import Step

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Declared:
    """One resource of a unit.

    Attributes:
        type: Pulumi type token.
        name: Pulumi name, unique in the unit.
        inputs: all of them, plain; of others' resources a `Ref` may stand anywhere in a value.
        security: names of the inputs that a preview under the lock must still show as the plan holds them.
        after: keys of resources that come first.
        protect: Pulumi refuses to delete it until a plan lifts that.
        key: what others of the unit call it; its name where that is unique.
        parent: key of the component that it is part of, None for the stack.
        component: whether it is only what others are part of.
        provider: key of the provider that makes it, "" for one that the engine finds itself.
        version: of the provider's plugin.
        ignore: names of inputs that others change and we leave to them.
        alone: whether the old one must go before a new one can be made; None leaves that to the provider.
    """

    type: str
    name: str
    inputs: Json
    security: tuple[str, ...] = ()
    after: tuple[str, ...] = field(default=())
    protect: bool = False
    key: str = ""
    parent: str | None = None
    component: bool = False
    provider: str = ""
    version: str = ""
    ignore: tuple[str, ...] = ()
    # A name of ours is one thing in the world: made before the old one is deleted, the new one would go with it.
    alone: bool | None = True

    @property
    def known_as(self) -> str:
        """Its key within the declaration."""
        return self.key or self.name

    @property
    def step(self) -> Step:
        """Its entry in an outline."""
        return Step(self.type, self.name, None, {name: self.inputs[name] for name in self.security})


@dataclass(frozen=True, slots=True)
class Ref:
    """A member of a resource's state that is known when it has been made; `id` is the resource's own."""

    resource: str
    member: str


@dataclass(frozen=True, slots=True)
class Declaration:
    """All of a unit.

    Attributes:
        resources: in the order of their making.
        outputs: of the stack; a `Ref` may stand anywhere in a value.
    """

    resources: tuple[Declared, ...]
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def outline(self) -> tuple[Step, ...]:
        """The steps of the unit's outline."""
        return tuple(item.step for item in self.resources)


__all__ = ["Declaration", "Declared", "Ref"]
