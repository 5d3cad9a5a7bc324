"""Structural differences of two JSON values, keeping the identity of list members.

A member of a list is named by what it is (`objects[release-policy/clinic/model/minilm]`), not by where it stands, so one
inserted member is one difference. Lists whose members have no name of their own are compared as sets when they hold
distinct scalars, else by index.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference; `op` is add, remove or change, and the absent side is None.

    Attributes:
        path: e.g. `brokers[KeyBroker/main].objects[tenant/clinic].object.quotas.gpus`.
        op: add, remove or change.
        before: JSON value on the recorded side.
        after: JSON value on the desired side.
    """

    path: str
    op: str
    before: Any
    after: Any

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path, "op": self.op, "before": self.before, "after": self.after}


def differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """Every leaf that differs, in the order of sorted member names; `differences(x, x)` is empty."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _members(before, after, path, ".")
    elif isinstance(before, Sequence) and isinstance(after, Sequence) and not isinstance(before, str | bytes):
        if isinstance(after, str | bytes):
            yield Difference(path, "change", before, after)
        else:
            yield from _lists(before, after, path)
    elif isinstance(before, str) and isinstance(after, str):  # a document's texts are subclasses of what was recorded
        if before != after:
            yield Difference(path, "change", before, after)
    elif type(before) is not type(after) or before != after:
        yield Difference(path, "change", before, after)


def _members(before: Mapping[str, Any], after: Mapping[str, Any], path: str, style: str) -> Iterator[Difference]:
    for name in sorted({*before, *after}):
        if style == "#":
            here = f"{path}[{int(name)}]"
        else:
            here = f"{path}[{name}]" if style == "[" else f"{path}.{name}".removeprefix(".")
        if name not in before:
            yield Difference(here, "add", None, after[name])
        elif name not in after:
            yield Difference(here, "remove", before[name], None)
        else:
            yield from differences(before[name], after[name], here)


def _lists(before: Sequence[Any], after: Sequence[Any], path: str) -> Iterator[Difference]:
    old, new = _named(before), _named(after)
    if old is not None and new is not None:
        yield from _members(old, new, path, "[")
    elif _is_set(before) and _is_set(after):
        yield from _members({str(v): v for v in before}, {str(v): v for v in after}, path, "[")
    else:
        yield from _members(
            {f"{n:06}": v for n, v in enumerate(before)}, {f"{n:06}": v for n, v in enumerate(after)}, path, "#"
        )


def _is_set(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values) and len(set(values)) == len(values)


def _named(values: Sequence[Any]) -> Mapping[str, Any] | None:
    """The members by their names; None if some member has no name or two have the same."""
    found = {identity(value): value for value in values}
    return None if None in found or len(found) != len(values) else {str(k): v for k, v in found.items()}


def identity(value: Any) -> str | None:
    """The name that a list member goes by: of an object, a grant, a connection, a thing with name, path or key id."""
    if not isinstance(value, Mapping):
        return None
    if "kind" in value and "name" in value and "object" in value:
        return f"{value['kind']}/{value['name']}"
    if "grant" in value and "enclave" in value:
        return f"{value['grant']} to {value['enclave']}"
    if isinstance(value.get("broker"), Mapping):
        return identity(value["broker"])
    for member in ("address", "name", "path", "keyId", "kid"):
        if isinstance(value.get(member), str):
            return str(value[member])
    if "kind" in value and "source" in value:
        return f"{value['kind']} of {value['source']}"
    return None


__all__ = ["Difference", "differences", "identity"]
