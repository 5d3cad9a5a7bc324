"""Turns what pydantic says into problems at their place: unknown fields with "did you mean", wrong types, shapes.

The positions come from the document, worked out only here, so a good document never pays for them.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from qnsp_policy.errors import DocumentError
from qnsp_policy.pipeline.documents.problems import nearest, shown
from qnsp_policy.pipeline.documents.source import PathPart, SourceDocument

_TYPES = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "tuple_type": "a list",
    "list_type": "a list",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
}

_NEXT = {
    "QNSP-DOC-018": "write it so",
    "QNSP-DOC-019": "write `true`",
    "QNSP-DOC-021": "write it in that form",
    "QNSP-DOC-041": "lower the threshold or name more people",
    "QNSP-DOC-042": "keep it once",
    "QNSP-DOC-043": "add it, or choose otherwise",
    "QNSP-DOC-039": "keep one of the two",
    "QNSP-DOC-038": "take the private key out of the document and out of its history; keep only the public JWK",
    "QNSP-REF-001": "name a document of the right kind",
    "QNSP-REF-004": "write the reference as `Kind/name`",
}


def problems_of(error: ValidationError, document: SourceDocument, model: type[BaseModel]) -> list[DocumentError]:
    """Every problem that a validation found, at its place in the document."""
    return [
        _problem(detail, document, model)
        for detail in error.errors(include_url=False, include_context=True, include_input=True)
        if not _echo(detail)
    ]


def _echo(detail: Any) -> bool:
    """Whether it only repeats that an item is wrong: a list is long enough, but not with its good items alone."""
    given = detail.get("input")
    return (
        detail["type"] == "too_short"
        and isinstance(given, list | dict)
        and len(given) >= (detail.get("ctx") or {}).get("min_length", 0)
    )


def _problem(detail: Any, document: SourceDocument, model: type[BaseModel]) -> DocumentError:
    kind = str(detail["type"])
    context: Mapping[str, Any] = detail.get("ctx") or {}
    path, siblings = _resolve(detail["loc"], document.value, model, missing=kind == "missing")
    name = _name(path)
    at_key = detail["loc"][-1:] == ("[key]",)
    got = detail.get("input")
    if kind == "extra_forbidden":
        guess = nearest(name, siblings)
        fields = ", ".join(f"`{field}`" for field in sorted(siblings))
        return document.problem(
            "QNSP-DOC-014",
            f"unknown field `{shown(name)}`",
            *path,
            key=True,
            label=f"did you mean `{guess}`?" if guess else "",
            next_step=None if guess else f"known here: {fields}",
        )
    if kind == "missing":
        return document.problem(
            "QNSP-DOC-017", f"the field `{name}` is missing", *path, next_step=f"add `{name}:` here"
        )
    if kind in _TYPES:
        return document.problem(
            "QNSP-DOC-018",
            f"`{shown(name)}` must be {_TYPES[kind]}, not {described(got)}",
            *path,
            next_step='put the value in quotes, such as "1"'
            if kind == "string_type" and _scalar(got)
            else f"write {_TYPES[kind]}",
        )
    if kind in ("literal_error", "enum"):
        allowed = [item.strip("'") for item in str(context.get("expected", "")).replace(" or ", ", ").split(", ")]
        allowed = [{"True": "true", "False": "false"}.get(item, item) for item in allowed]
        guess = nearest(got, allowed) if isinstance(got, str) else None
        return document.problem(
            "QNSP-DOC-019",
            f"`{shown(name)}` cannot be {described(got)}",
            *path,
            label=f"did you mean `{guess}`?" if guess else "",
            next_step="one of: " + ", ".join(allowed),
        )
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        allowed = [item.strip("'") for item in str(context.get("expected_tags", "")).split(", ") if item]
        if not allowed:
            return document.problem(
                "QNSP-DOC-017", "the field `type` is missing", *path, "type", next_step="add `type:`"
            )
        tag = context.get("tag")
        guess = nearest(str(tag), allowed)
        return document.problem(
            "QNSP-DOC-019",
            f"`type` cannot be {described(tag)}",
            *path,
            "type",
            label=f"did you mean `{guess}`?" if guess else "",
            next_step="one of: " + ", ".join(allowed),
        )
    if kind.startswith("QNSP-"):
        return document.problem(
            kind, f"`{shown(name)}`: {shown(detail['msg'], 400)}", *path, key=at_key, next_step=_NEXT.get(kind)
        )
    return document.problem(
        "QNSP-DOC-021",
        f"`{shown(name)}`: {shown(_bounds(kind, context, detail), 300)}",
        *path,
        next_step="choose a value within these bounds",
    )


def _name(path: tuple[PathPart, ...]) -> str:
    if not path:
        return "the document"
    if isinstance(path[-1], str):
        return path[-1]
    return f"{_name(path[:-1])}[{path[-1]}]"


def _bounds(kind: str, context: Mapping[str, Any], detail: Any) -> str:
    words = {
        "greater_than_equal": ("ge", "must be at least"),
        "less_than_equal": ("le", "must be at most"),
        "too_short": ("min_length", "must hold at least"),
        "too_long": ("max_length", "must hold at most"),
        "string_too_short": ("min_length", "must have at least this many characters:"),
        "string_too_long": ("max_length", "must have at most this many characters:"),
    }
    if kind in words:
        member, text = words[kind]
        bound = context.get(member)
        counted = kind.startswith("too_")
        unit = (" character" if isinstance(detail.get("input"), str) else " entry") if counted else ""
        plural = {" entry": " entries"}.get(unit, unit + "s") if counted and bound != 1 else unit
        return f"{text} {bound}{plural}"
    return str(detail["msg"])


def _scalar(value: Any) -> bool:
    return isinstance(value, bool | int | float)


def described(value: Any) -> str:
    """A value in words that are safe to print, for "not ..."."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f'the text "{shown(value, 60)}"'
    if isinstance(value, list | tuple):
        return "a list"
    return "a mapping"


def _resolve(
    loc: tuple[PathPart, ...], value: Any, model: type[BaseModel], *, missing: bool
) -> tuple[tuple[PathPart, ...], frozenset[str]]:
    """The path in the document that a pydantic location means, and the field names known beside its last part.

    Union tags and validator names stand in locations but in no document: a part that fits neither the value nor the
    model is passed over.
    """
    path: list[PathPart] = []
    siblings: frozenset[str] = frozenset()
    annotation: Any = model
    for position, part in enumerate(loc):
        last = position == len(loc) - 1
        models = _models(annotation)
        named = {key: inner for m in models for key, inner in _fields(m).items()}
        tagged = [m for m in models if isinstance(part, str) and _tag(m) == part]
        if isinstance(value, dict) and isinstance(part, str) and tagged and len(models) > 1 and not last:
            annotation = tagged[0]
            continue
        if isinstance(value, dict) and isinstance(part, str) and (part in value or (last and missing)):
            siblings = frozenset(named)
            path.append(part)
            value = value.get(part)
            annotation = named.get(part, _items(annotation))
        elif isinstance(value, list) and isinstance(part, int):
            path.append(part)
            value = value[part] if part < len(value) else None
            annotation = _items(annotation)
    return tuple(path), siblings


@lru_cache(maxsize=256)
def _fields(model: type[BaseModel]) -> Mapping[str, Any]:
    return {info.alias or name: info.annotation for name, info in model.model_fields.items()}


@lru_cache(maxsize=256)
def _tag(model: type[BaseModel]) -> str | None:
    info = model.model_fields.get("type")
    if info is not None and typing.get_origin(info.annotation) is Literal:
        return str(typing.get_args(info.annotation)[0])
    return None


def _models(annotation: Any) -> list[type[BaseModel]]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _models(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [model for inner in typing.get_args(annotation) for model in _models(inner)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return []


def _items(annotation: Any) -> Any:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _items(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        for inner in typing.get_args(annotation):
            found = _items(inner)
            if found is not None:
                return found
    arguments = typing.get_args(annotation)
    if origin is tuple:
        return arguments[0]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return arguments[1]
    return None


__all__ = ["described", "problems_of"]
