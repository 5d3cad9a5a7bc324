"""What a unit on AWS declares to the engine, as a value: its providers, components and their children. Imports no Pulumi."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pulumi_qnsp.components import aws_provider
from pulumi_qnsp.components.children import Child, as_engine, camel
from pulumi_qnsp.components.children import Ref as ChildRef
from qnsp_policy.pipeline.plan.declaration import Declared, Ref

_DEFAULTS = {"skip_credentials_validation": False, "skip_region_validation": True}
"""What the SDK's class of the provider adds."""


def key_of(name: str) -> str:
    """The key of a resource on AWS; a unit's objects at a broker and its endpoint may be named as one."""
    return f"aws {name}"


def member(name: str, output: str = "id") -> Ref:
    """An output of a resource on AWS."""
    return Ref(key_of(name), camel(output))


def providers(platform: Mapping[str, Any], key_admin: str | None = None) -> list[Declared]:
    """The engine's own, and the key administrator's where one is named."""
    roles = {aws_provider.ENGINE: platform.get("role")} | ({aws_provider.KEEPER: key_admin} if key_admin else {})
    return [_provider(name, platform, role) for name, role in roles.items()]


def _provider(name: str, platform: Mapping[str, Any], role: str | None) -> Declared:
    told = aws_provider.provider(platform, role) | _DEFAULTS
    # A provider's configuration is text: what is more than that travels as JSON.
    inputs = {
        camel(argument): value if isinstance(value, str) else json.dumps(as_engine(value))
        for argument, value in told.items()
        if value is not None
    }
    return Declared(
        "pulumi:providers:aws", name, inputs, key=key_of(f"provider {name}"), version=aws_provider.VERSION, alone=None
    )


def component(token: str, name: str, children: Iterable[Child]) -> list[Declared]:
    """A component and its children."""
    whole = Declared(token, name, {}, key=key_of(f"component {name}"), component=True, alone=None)
    return [whole, *(resource(child, parent=whole.known_as) for child in children)]


def resource(child: Child, *, parent: str | None = None) -> Declared:
    """One resource on AWS as the engine is told of it."""
    given = {name: value for name, value in child.inputs.items() if value is not None}
    return Declared(
        child.type,
        child.name,
        as_engine(given, _link),
        tuple(camel(name) for name in child.security if name in given),
        tuple(key_of(name) for name in child.after),
        protect=child.protect,
        key=key_of(child.name),
        parent=parent,
        provider=key_of(f"provider {aws_provider.KEEPER if child.keeper else aws_provider.ENGINE}"),
        version=aws_provider.VERSION,
        ignore=tuple(camel(name) for name in child.ignore),
    )


def _link(ref: ChildRef) -> Ref:
    return member(ref.child, ref.output)


__all__ = ["component", "key_of", "member", "providers", "resource"]
