"""The reference page of all kinds, made from the models: `docs/formats/kinds.md` is this text.

Comes in: nothing. Goes out: Markdown, the same for the same models.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from qnsp_policy.pipeline.model.field_docs import field_docs, reachable
from qnsp_policy.pipeline.model.kinds import KINDS
from qnsp_policy.pipeline.model.references import RefTo
from qnsp_policy.pipeline.model.scalars import TextValue

_HEAD = """# Kinds of documents

Made from the models by `python -m qnsp_policy.pipeline.model.reference_edge docs/formats`; a test holds this page to them.
How documents are read, and what every error code means: [documents.md](documents.md).

Every document has `apiVersion: qnsp.policy/v1`, `kind`, `metadata` (`name`, a DNS label unique in its kind; `labels`;
`description`) and `spec`. Fields without a default must be given. A reference is `Kind/name`; the kind may be left
out where only one fits.
"""


def reference_markdown() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_kinds()]).rstrip() + "\n"


def _kinds() -> Iterator[str]:
    for name, kind in KINDS.items():
        yield f"## {name}\n\n{_sentence(kind)}\n"
        for model in reachable(kind.model_fields["spec"].annotation):
            yield _table(model)


def _table(model: type[BaseModel]) -> str:
    rows = [
        f"### {_title(model)}\n\n{_sentence(model)}\n",
        "| field | value | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, info in model.model_fields.items():
        rows.append(
            f"| `{info.alias or name}` | {_type(info.annotation, info.metadata)} | {_default(info)} | {_cell(field_docs(model).get(name))} |"
        )
    return "\n".join(rows) + "\n"


def _title(model: type[BaseModel]) -> str:
    return model.__name__


def _sentence(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().split("\n\n")[0]


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "**required**"
    value = info.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        return "its own defaults"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | dict):
        return "empty" if not value else "`[" + ", ".join(map(str, value)) + "]`"
    return f"`{value}`" if str(value) else "empty"


def _type(annotation: Any, metadata: Any = ()) -> str:
    for marker in metadata:
        if isinstance(marker, RefTo):
            return "reference to " + (" or ".join(marker.kinds) if marker.kinds else "any document")
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0], arguments[1:])
    if origin is Literal:
        return " \\| ".join(f"`{str(item).lower() if isinstance(item, bool) else item}`" for item in arguments)
    if origin in (typing.Union, types.UnionType):
        parts = [_type(item) for item in arguments if item is not type(None)]
        return " or ".join(dict.fromkeys(parts))
    if origin is tuple:
        return f"list of: {_type(arguments[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if arguments == (str, str):
            return "public JWK"
        return f"mapping of {_type(arguments[0])} to {_type(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{_title(annotation)}](#{_title(annotation).lower()})"
    if isinstance(annotation, type) and issubclass(annotation, TextValue):
        return annotation.SHAPE.replace("|", "\\|").replace("<", "&lt;")
    return {bool: "true or false", int: "whole number", str: "text"}.get(annotation, "text")


__all__ = ["reference_markdown"]
