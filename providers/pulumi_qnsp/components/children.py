"""Children of a component as values: one declaration serves the outline (no Pulumi) and the component that makes them.

`inputs` are argument names of the SDK (snake_case, plain values, `Ref` for an output of another child); a test holds them against
the installed SDK. `security` names those inputs that a preview under the lock must still show as the plan holds them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

_PLAIN_MAPS = frozenset({"tags"})
"""Members whose keys are the user's, not the schema's."""


@dataclass(frozen=True, slots=True)
class Ref:
    """An output of another child of the same component; `[Ref]` inside a list works too."""

    child: str
    output: str = "id"


@dataclass(frozen=True, slots=True)
class Child:
    """One resource of a component.

    Attributes:
        type: Pulumi token, e.g. `aws:kms/key:Key`.
        name: Pulumi name, unique in the unit.
        inputs: arguments of the SDK's class.
        security: names of arguments that decide about trust; none of them may hold a `Ref`.
        after: children that come first although no `Ref` says so.
        protect: Pulumi refuses to delete it until a plan lifts that.
        keeper: made by the key administrator's provider.
        ignore: arguments that others change and we leave to them.
    """

    type: str
    name: str
    inputs: Json
    security: tuple[str, ...] = ()
    after: tuple[str, ...] = field(default=())
    protect: bool = False
    keeper: bool = False
    ignore: tuple[str, ...] = ()

    def secured(self) -> Json:
        """The security properties as the engine shows them."""
        return {
            camel(name): as_engine(self.inputs[name]) for name in self.security if self.inputs.get(name) is not None
        }


def camel(name: str) -> str:
    """An argument's name as the engine writes it."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)


def _unknown(ref: Ref) -> Any:
    raise ValueError(f"a security property must be known at plan time, and {ref.child} is not")


def as_engine(value: Any, link: Callable[[Ref], Any] = _unknown) -> Any:
    """A plain value with the engine's member names.

    Args:
        value: plain, with `Ref`s.
        link: what stands in the place of a `Ref`.

    Raises:
        ValueError: it holds a `Ref`, so it is unknown at plan time, and no `link` was given.
    """
    if isinstance(value, Ref):
        return link(value)
    if isinstance(value, Mapping):
        return {
            camel(name): dict(member)
            if name in _PLAIN_MAPS and isinstance(member, Mapping)
            else as_engine(member, link)
            for name, member in value.items()
            if member is not None
        }
    if isinstance(value, list | tuple):
        return [as_engine(item, link) for item in value]
    return value


def refs(value: Any) -> Iterator[Ref]:
    """Every `Ref` in a value."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from refs(member)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from refs(item)


def ordered(children: Iterable[Child]) -> tuple[Child, ...]:
    """The same children, checked: every name once, every `Ref` to one that stands before.

    Raises:
        ValueError: they are not.
    """
    found: dict[str, Child] = {}
    for child in children:
        missing = [ref.child for ref in refs(child.inputs) if ref.child not in found]
        missing += [name for name in child.after if name not in found]
        if child.name in found or missing:
            raise ValueError(f"{child.name} stands twice, or before {', '.join(missing)}")
        found[child.name] = child
    return tuple(found.values())


__all__ = ["Child", "Json", "Ref", "as_engine", "camel", "ordered", "refs"]
