"""What the source says below each field of a model; read only for the schema and the reference page.

Pydantic can collect these at import, which costs every command a third of its start.
"""

from __future__ import annotations

import ast
import inspect
import sys
import typing
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel


@lru_cache(maxsize=512)
def field_docs(model: type[BaseModel]) -> Mapping[str, str]:
    """The docstring of each field of a model by its Python name; fields without one are absent."""
    docs: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if base is not BaseModel and issubclass(base, BaseModel):
            docs.update(_own(base))
    return docs


def _own(model: type[BaseModel]) -> dict[str, str]:
    definition = _classes(model.__module__).get(model.__qualname__)
    found: dict[str, str] = {}
    for statement, below in pairwise(definition.body if definition else ()):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            found[statement.target.id] = inspect.cleandoc(below.value.value)
    return found


@lru_cache(maxsize=64)
def _classes(module: str) -> Mapping[str, ast.ClassDef]:
    """The classes at the top of a module: each file is parsed once, not once a class."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {item.name: item for item in tree.body if isinstance(item, ast.ClassDef)}


def reachable(annotation: Any) -> list[type[BaseModel]]:
    """Every model below an annotation, outermost first, each once."""
    found: dict[type[BaseModel], None] = {}
    waiting = [annotation]
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, type) and issubclass(item, BaseModel):
            if item not in found:
                found[item] = None
                waiting.extend(info.annotation for info in item.model_fields.values())
        else:
            waiting.extend(typing.get_args(item))
    return list(found)


__all__ = ["field_docs", "reachable"]
