"""The JSON Schema of documents, draft-07 since editors' language servers read that one.

Kinds and other alternatives are told apart by `if`/`then` on their discriminator, so an editor names the one field
that is wrong and not "matches none of twenty".
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from qnsp_policy.pipeline.model.field_docs import field_docs, reachable
from qnsp_policy.pipeline.model.kinds import KINDS
from qnsp_policy.pipeline.model.scalars import API_VERSION

SCHEMA_ID = "https://qnsp.example/schemas/qnsp.policy-v1.json"


def json_schema() -> dict[str, Any]:
    """One draft-07 schema for any document."""
    _, schema = models_json_schema(
        [(kind, "validation") for kind in KINDS.values()],
        by_alias=True,
        ref_template="#/definitions/{model}",
    )
    definitions = {name: _draft07(definition) for name, definition in sorted(schema["$defs"].items())}
    for model in {model for kind in KINDS.values() for model in reachable(kind)}:
        properties = definitions[model.__name__].get("properties", {})
        for field, doc in field_docs(model).items():
            _describe(properties, model.model_fields[field].alias or field, " ".join(doc.split()))
    for name in KINDS:
        definitions[name]["properties"]["apiVersion"] = {"const": API_VERSION}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": SCHEMA_ID,
        "title": "qnsp-policy documents",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"enum": list(KINDS)},
            "metadata": {"$ref": "#/definitions/Metadata"},
            "spec": {"type": "object"},
        },
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
                "then": {"$ref": f"#/definitions/{name}"},
            }
            for name in KINDS
        ],
        "definitions": definitions,
    }


def _describe(properties: dict[str, Any], name: str, doc: str) -> None:
    schema = properties[name]
    if "$ref" in schema:
        schema = {"allOf": [schema]}
    properties[name] = {**schema, "description": doc}


def _draft07(node: Any) -> Any:
    if isinstance(node, list):
        return [_draft07(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: value for key, value in node.items() if key not in ("title", "default")}
    discriminator = node.pop("discriminator", None)
    if discriminator is not None and "oneOf" in node:
        return _discriminated(node, discriminator["propertyName"], discriminator["mapping"])
    out = {
        key: {name: _draft07(inner) for name, inner in value.items()} if key == "properties" else _draft07(value)
        for key, value in node.items()
    }
    if "$ref" in out and len(out) > 1:
        # In draft-07 a `$ref` hides its neighbours.
        reference = {"$ref": out.pop("$ref")}
        out["allOf"] = [*out.get("allOf", []), reference]
    return out


def _discriminated(node: dict[str, Any], name: str, mapping: dict[str, str]) -> dict[str, Any]:
    rest = {key: _draft07(value) for key, value in node.items() if key != "oneOf"}
    return {
        **rest,
        "type": "object",
        "required": [name],
        "properties": {name: {"enum": list(mapping)}},
        "allOf": [
            {
                "if": {"properties": {name: {"const": value}}, "required": [name]},
                "then": {"$ref": reference},
            }
            for value, reference in mapping.items()
        ],
    }


__all__ = ["SCHEMA_ID", "json_schema"]
