"""The shared shapes of units (docs/formats/units.md) as resources: Process, Object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulumi_qnsp.broker import TYPES, object_inputs
from qnsp_policy.pipeline.plan.declaration import Declared
from qnsp_policy.pipeline.world.local import process_inputs

# What comes first within a tenant: a resource without a policy is released to nobody.
_ORDER = ("trust-root", "revocation", "reference-values", "tenant", "resource", "release-policy", "endpoint")


def process(shape: Mapping[str, Any], *, after: Sequence[str] = ()) -> Declared:
    """A `qnsp:local:Process`."""
    return Declared(
        "qnsp:local:Process",
        shape["name"],
        process_inputs(shape),
        security=("argv", "env", "filesDigest"),
        after=tuple(after),
    )


def objects(
    connection: Mapping[str, Any], shapes: Sequence[Mapping[str, Any]], *, after: Sequence[str] = ()
) -> list[Declared]:
    """The `qnsp:broker:*` of one broker, each kind after the kinds it leans on."""
    made: list[Declared] = []
    before: list[str] = list(after)
    for kind in _ORDER:
        names = []
        for shape in shapes:
            if shape["kind"] == kind:
                names.append(f"{connection['name']}/{kind}/{shape['name']}")
                made.append(
                    Declared(
                        TYPES[kind],
                        names[-1],
                        object_inputs(dict(connection), dict(shape)),
                        security=("broker", "kind", "name", "digest"),
                        after=tuple(before),
                        protect=bool(shape.get("protect", False)),
                    )
                )
        before += names
    if len(made) != len(shapes):
        unknown = sorted({shape["kind"] for shape in shapes} - set(_ORDER))
        raise ValueError(f"a broker takes no object of kind {', '.join(unknown)}")
    return made


__all__ = ["objects", "process"]
