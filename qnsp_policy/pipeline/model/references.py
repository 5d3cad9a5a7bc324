"""References between documents: `Kind/name`, with the kind left out where only one fits; found by type, not by name.

A field that refers to a document says so in its type, so the list of all reference fields of a kind is derived once
from its models and no walk ever guesses.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from qnsp_policy.pipeline.model.scalars import Address, IdentityName, ResourcePath

_NAME = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_REFERENCE = re.compile(rf"(?:([A-Z][A-Za-z]{{1,40}})/)?({_NAME})")


@dataclass(frozen=True, slots=True)
class RefTo:
    """Marks a text field as a reference.

    Attributes:
        kinds: the kinds that fit; empty means any.
        acyclic: following this field must never come back to where it began.
    """

    kinds: tuple[str, ...]
    acyclic: bool = False

    def normalise(self, text: str) -> str:
        """The full address that `text` means."""
        match = _REFERENCE.fullmatch(text) if len(text) <= 128 else None
        if match is None:
            raise PydanticCustomError(
                "QNSP-REF-004", "expected a reference such as {example}", {"example": self._example()}
            )
        kind, name = match.groups()
        if kind is None:
            if len(self.kinds) != 1:
                raise PydanticCustomError(
                    "QNSP-REF-004",
                    "expected a reference with its kind, such as {example}",
                    {"example": self._example()},
                )
            return f"{self.kinds[0]}/{name}"
        if self.kinds and kind not in self.kinds:
            raise PydanticCustomError(
                "QNSP-REF-001",
                "a {kind} cannot stand here; expected {example}",
                {"kind": kind, "example": self._example()},
            )
        return text

    def _example(self) -> str:
        return " or ".join(f"{kind}/<name>" for kind in self.kinds) or "Kind/<name>"

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.normalise, core_schema.str_schema(strict=True))

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        kinds = "|".join(self.kinds) or "[A-Z][A-Za-z]{1,40}"
        optional = "?" if len(self.kinds) == 1 else ""
        return {
            "type": "string",
            "maxLength": 128,
            "pattern": f"^(?:(?:{kinds})/){optional}{_NAME}$",
            "description": f"a reference: {self._example()}",
        }


AnyRef = Annotated[Address, RefTo(())]
ArtefactRef = Annotated[Address, RefTo(("Artefact",))]
BrokerRef = Annotated[Address, RefTo(("KeyBroker",))]
EnclaveRef = Annotated[Address, RefTo(("Enclave",))]
FrameworkRef = Annotated[Address, RefTo(("Framework",))]
HostRef = Annotated[Address, RefTo(("Host",))]
LineageRef = Annotated[Address, RefTo(("Artefact",), acyclic=True)]
ParentTierRef = Annotated[Address, RefTo(("CryptoTier",), acyclic=True)]
PeerRef = Annotated[Address, RefTo(("KeyBroker",), acyclic=True)]
PlatformRef = Annotated[Address, RefTo(("Platform",))]
ReferenceValuesRef = Annotated[Address, RefTo(("ReferenceValues",))]
SupersededRef = Annotated[Address, RefTo(("ReferenceValues",), acyclic=True)]
TenantRef = Annotated[Address, RefTo(("Tenant",))]
TierRef = Annotated[Address, RefTo(("CryptoTier",))]
WeakerTierRef = Annotated[Address, RefTo(("CryptoTier",), acyclic=True)]
TrustRootRef = Annotated[Address, RefTo(("TrustRoot",))]

EACH = "*"
"""A step of a field path that stands for every item of a list."""

KEYS = "%"
"""A step of a field path that stands for every key of a mapping."""


@dataclass(frozen=True, slots=True)
class FieldPath:
    """Where a kind holds references: camelCase steps below the document, EACH for every item."""

    steps: tuple[str, ...]
    target: RefTo | type[IdentityName | ResourcePath]


@lru_cache(maxsize=64)
def reference_fields(model: type[BaseModel]) -> tuple[FieldPath, ...]:
    """Every field below a model that refers to a document, an identity or a resource."""
    return tuple(_fields(model, (), 0))


def _fields(model: type[BaseModel], steps: tuple[str, ...], depth: int) -> Iterator[FieldPath]:
    if depth > 12:
        return
    for name, info in model.model_fields.items():
        step = info.alias or name
        for marker in info.metadata:
            if isinstance(marker, RefTo):
                yield FieldPath((*steps, step), marker)
        yield from _annotation(info.annotation, (*steps, step), depth + 1)


def _annotation(annotation: Any, steps: tuple[str, ...], depth: int) -> Iterator[FieldPath]:
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        inner, *markers = typing.get_args(annotation)
        for marker in markers:
            if isinstance(marker, RefTo):
                yield FieldPath(steps, marker)
        yield from _annotation(inner, steps, depth)
    elif origin in (typing.Union, types.UnionType):
        for inner in typing.get_args(annotation):
            yield from _annotation(inner, steps, depth)
    elif origin is tuple:
        yield from _annotation(typing.get_args(annotation)[0], (*steps, EACH), depth)
    elif origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        key, value = typing.get_args(annotation)
        yield from _annotation(key, (*steps, KEYS), depth)
        yield from _annotation(value, (*steps, EACH), depth)
    elif isinstance(annotation, type):
        if issubclass(annotation, BaseModel):
            yield from _fields(annotation, steps, depth)
        elif annotation in (IdentityName, ResourcePath):
            yield FieldPath(steps, annotation)


Hit = tuple[tuple[str | int, ...], str]
"""The path of a value in the document as written, and the value."""


def values_at(value: Any, steps: tuple[str, ...]) -> Iterator[Hit]:
    """Every text that stands at a field path of a plain value, with its own path."""
    yield from _values(value, steps, ())


def _values(value: Any, steps: tuple[str, ...], path: tuple[str | int, ...]) -> Iterator[Hit]:
    if not steps:
        if isinstance(value, str):
            yield path, value
        return
    step, rest = steps[0], steps[1:]
    if step == EACH:
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _values(item, rest, (*path, index))
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from _values(item, rest, (*path, key))
    elif step == KEYS:
        if isinstance(value, dict):
            for key in value:
                yield (*path, key), key
    elif isinstance(value, dict) and step in value:
        yield from _values(value[step], rest, (*path, step))


__all__ = [
    "EACH",
    "KEYS",
    "AnyRef",
    "ArtefactRef",
    "BrokerRef",
    "EnclaveRef",
    "FieldPath",
    "FrameworkRef",
    "HostRef",
    "LineageRef",
    "ParentTierRef",
    "PeerRef",
    "PlatformRef",
    "RefTo",
    "ReferenceValuesRef",
    "SupersededRef",
    "TenantRef",
    "TierRef",
    "TrustRootRef",
    "WeakerTierRef",
    "reference_fields",
    "values_at",
]
