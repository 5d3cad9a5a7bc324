"""Pulumi's property values to plain JSON and back.

Pulumi knows one kind of number (a double) and drops null members of objects, so whatever must keep its exact bytes crosses
as RFC 8785 text; what remains are texts, lists, maps and small numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulumi.provider.experimental.property_value import Computed, PropertyValue

Json = dict[str, Any]
UNKNOWN = "\0unknown"
"""Stands for a value that is not known before other resources exist; only a preview ever holds one."""


def plain(value: PropertyValue) -> Any:
    """The JSON value; whole doubles become integers; secrecy and dependencies are dropped.

    Raises:
        TypeError: assets, archives and resource references, which no resource of ours takes.
    """
    inner = value.value
    if inner is None or isinstance(inner, bool | str):
        return inner
    if isinstance(inner, float):
        return int(inner) if inner.is_integer() else inner
    if isinstance(inner, Computed):
        return UNKNOWN
    if isinstance(inner, Mapping):
        return {name: plain(member) for name, member in inner.items()}
    if isinstance(inner, Sequence):
        return [plain(member) for member in inner if isinstance(member, PropertyValue)]
    raise TypeError(f"{type(inner).__name__} is not a value of a resource of ours")


def plain_map(values: Mapping[str, PropertyValue]) -> Json:
    """The JSON object of a property map."""
    return {name: plain(value) for name, value in values.items()}


def wrap(value: Any) -> PropertyValue:
    """The property value of a JSON value."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return PropertyValue(value)
    if isinstance(value, int | float):
        return PropertyValue(float(value))
    if isinstance(value, Mapping):
        return PropertyValue({name: wrap(member) for name, member in value.items()})
    return PropertyValue([wrap(member) for member in value])


def wrap_map(values: Mapping[str, Any]) -> dict[str, PropertyValue]:
    """The property map of a JSON object."""
    return {name: wrap(value) for name, value in values.items()}


__all__ = ["UNKNOWN", "Json", "plain", "plain_map", "wrap", "wrap_map"]
