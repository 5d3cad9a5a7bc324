"""The JSON Schema of the rules input, generated from its types, in the form that `opa check --schema` reads.

Comes in: `inputs.RulesInput`. Goes out: the bytes of policies/schema/input.json. References are written out in place
and every object is closed, so that a misspelt field of a rule is an error of `make check`, not an undefined value.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from qnsp_policy.pipeline.rules.inputs import RulesInput


def input_schema() -> dict[str, Any]:
    """The schema, without references."""
    generated = TypeAdapter(RulesInput).json_schema()
    definitions = generated.pop("$defs", {})
    resolved: dict[str, Any] = _resolve(generated, definitions)
    return {"$schema": "http://json-schema.org/draft-07/schema#", **resolved}


def input_schema_bytes() -> bytes:
    """The file's bytes: two-space indented, one trailing newline."""
    return (json.dumps(input_schema(), indent=1, ensure_ascii=False) + "\n").encode()


def _resolve(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_resolve(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _resolve(definitions[node["$ref"].rsplit("/", 1)[-1]], definitions)
    kept = {
        name: value
        for name, value in node.items()
        if name not in {"title", "description"} or not isinstance(value, str)
    }
    return {name: _resolve(value, definitions) for name, value in kept.items()}


__all__ = ["input_schema", "input_schema_bytes"]
