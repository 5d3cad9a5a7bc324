"""Models and schema agree: an editor never marks what `validate` takes, whatever is changed in a document."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from qnsp_policy.pipeline.documents import parse
from qnsp_policy.pipeline.model.kinds import KINDS
from qnsp_policy.pipeline.model.schema import json_schema
from qnsp_policy.testing.every_kind import every_kind_files

DOCUMENTS = [d.value for file, data in sorted(every_kind_files().items()) for d in parse(file, data).documents]
VALIDATOR = jsonschema.Draft7Validator(json_schema())
VALUES = st.sampled_from(
    [None, True, False, 0, 1, -1, 3, 1.5, "", "x", "12h", "Tenant/x", "2027-01-01", [], ["x"], {}, {"a": 1}]
)


def paths(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [prefix] if prefix else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found.extend(paths(inner, (*prefix, key)))
    return found


@st.composite
def mutants(draw: st.DrawFn) -> dict[str, Any]:
    """A good document with one value replaced, removed or added."""
    document: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(DOCUMENTS)))
    path = draw(st.sampled_from(paths(document)))
    parent: Any = document
    for part in path[:-1]:
        parent = parent[part]
    match draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            parent[path[-1]] = draw(VALUES)
        case "remove":
            del parent[path[-1]]
        case _:
            target = parent[path[-1]]
            if isinstance(target, dict):
                target["extra"] = draw(VALUES)
            elif isinstance(target, list):
                target.append(draw(VALUES))
    return document


@settings(max_examples=600, deadline=None)
@given(mutants())
def test_what_the_models_take_the_schema_takes(document: dict[str, Any]) -> None:
    """No false alarm in an editor."""
    model = KINDS.get(document.get("kind", "")) if isinstance(document.get("kind"), str) else None
    if model is None:
        assert not VALIDATOR.is_valid(document)
        return
    try:
        model.model_validate(document)
    except ValidationError:
        return
    assert VALIDATOR.is_valid(document), [error.message for error in VALIDATOR.iter_errors(document)]
