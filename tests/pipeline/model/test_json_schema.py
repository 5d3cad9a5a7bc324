"""The exported schema is draft-07, takes what the models take and names the one field that is wrong."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest

from qnsp_policy.catalog.files_edge import catalog_files
from qnsp_policy.pipeline.documents import parse
from qnsp_policy.pipeline.model.kinds import KINDS
from qnsp_policy.pipeline.model.schema import json_schema
from qnsp_policy.testing.every_kind import every_kind_files


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json_schema())


def documents() -> dict[str, dict[str, Any]]:
    files = every_kind_files() | {f"catalog/{name}": data for name, data in catalog_files().items()}
    return {d.address: d.value for file, data in files.items() for d in parse(file, data).documents}


def test_it_is_a_draft_07_schema() -> None:
    """It says so, its meta-schema agrees, and nothing of later drafts is in it."""
    schema = json_schema()
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(schema)
    text = json.dumps(schema)
    for later in ("$defs", "prefixItems", "unevaluatedProperties", "dependentRequired", "discriminator"):
        assert f'"{later}"' not in text


@pytest.mark.parametrize("address", documents())
def test_every_example_document_validates(validator: jsonschema.Draft7Validator, address: str) -> None:
    """Whatever the models take, the schema takes."""
    assert [error.message for error in validator.iter_errors(documents()[address])] == []


def test_every_reference_of_the_schema_resolves() -> None:
    """No `$ref` points to nothing, and none stands beside keywords it would hide."""
    schema = json_schema()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node and isinstance(node["$ref"], str):
                assert node["$ref"].removeprefix("#/definitions/") in schema["definitions"]
                assert len(node) == 1
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(schema)
    assert set(KINDS) <= set(schema["definitions"])


def test_patterns_are_regular_expressions_of_ecma_262() -> None:
    """Patterns use no Python-only syntax, so that editors can compile them."""
    for pattern in re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', json.dumps(json_schema())):
        text = json.loads(f'"{pattern}"')
        assert not re.search(r"\(\?[aiLmsux]+\)|\(\?P<|\\A|\\Z", text), text


@pytest.mark.parametrize(
    ("address", "path", "value", "message"),
    [
        ("Platform/lab", ("spec", "foo"), 1, "'foo' was unexpected"),
        ("Platform/lab", ("spec", "type"), "loca", "is not one of"),
        ("Tenant/clinic", ("spec", "tier"), "Tenant/x", "does not match"),
        ("Enclave/training", ("spec", "size", "members"), 0, "less than the minimum"),
        ("Revocation/old-tcb", ("spec", "revokes", "below"), {}, "should be non-empty"),
        ("Tenant/clinic", ("kind",), "Tennant", "is not one of"),
    ],
)
def test_one_mistake_is_told_precisely(
    validator: jsonschema.Draft7Validator, address: str, path: tuple[str, ...], value: object, message: str
) -> None:
    """A wrong field is named itself, not as "none of twenty alternatives"."""
    document = json.loads(json.dumps(documents()[address]))
    inner = document
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    errors = list(validator.iter_errors(document))
    assert len(errors) == 1
    assert message in errors[0].message
