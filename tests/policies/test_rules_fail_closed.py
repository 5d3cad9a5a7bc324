"""Every rule, on its own example, with every field removed and mistyped: a refusal never becomes a pass."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest

from qnsp_policy.errors import EngineError
from qnsp_policy.pipeline.model import build
from qnsp_policy.pipeline.rules import answers
from qnsp_policy.pipeline.rules.examples import RuleExample
from qnsp_policy.pipeline.rules.metadata import RuleMetadata
from qnsp_policy.pipeline.rules.normalise import build_input
from qnsp_policy.pipeline.rules.schema import input_schema
from qnsp_policy.pipeline.rules.wasm_edge import WasmEngine, shipped_rules
from qnsp_policy.testing.rule_examples import NOW, changed, files_of, signers_of

RULES = {rule.id: rule for rule in shipped_rules().rules}
SCHEMA = input_schema()
TYPES: Mapping[str, Any] = {
    "null": None,
    "boolean": True,
    "integer": 7,
    "string": "text",
    "array": [],
    "object": {},
}
"""One value of each JSON type; `number` is covered by integer."""
MORE: Mapping[str, tuple[Any, ...]] = {
    "boolean": (False,),
    "string": ("",),
    "array": ([1], ["x"]),
    "object": ({"x": 1},),
}


def _sites(value: Any, schema: Mapping[str, Any], path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Every place below a value with the JSON type that it must have."""
    for name, item in value.items() if isinstance(value, dict) else ():
        inner = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
        if isinstance(inner, dict):
            yield (*path, name), inner["type"]
            yield from _sites(item, inner, (*path, name))
    if isinstance(value, list) and value:
        inner = schema["items"]
        yield (*path, 0), inner["type"]
        yield from _sites(value[0], inner, (*path, 0))


def _mutants(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, type_ in _sites(document, SCHEMA):
        if not isinstance(path[-1], int):
            yield f"without {path}", _with(document, path, remove=True)
        for other, sample in TYPES.items():
            if other == type_ or (type_ == "number" and other == "integer"):
                continue
            for wrong in (sample, *MORE.get(other, ())):
                yield f"{path} = {wrong!r}", _with(document, path, wrong)


def _with(
    document: dict[str, Any], path: tuple[Any, ...], value: Any = None, *, remove: bool = False
) -> dict[str, Any]:
    mutant = copy.deepcopy(document)
    parent = mutant
    for step in path[:-1]:
        parent = parent[step]
    if remove:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return mutant


def _narrowed(document: Mapping[str, Any], rule: RuleMetadata, index: int) -> dict[str, Any]:
    """The input with one member: the one that the rule refuses."""
    member = document[rule.population][index]
    tables = ("now", "environment", "algorithms", "tiers", "roles")
    kept = {name: document[name] for name in tables}
    for table, field in (("algorithms", "algorithm"), ("tiers", "tier"), ("roles", "identity")):
        kept[table] = {name: value for name, value in document[table].items() if name == member.get(field)}
    return {**{name: [] for name in document if name not in tables}, **kept, "kinds": {}, rule.population: [member]}


@pytest.mark.slow
@pytest.mark.parametrize("rule_id", sorted(RULES))
def test_no_missing_or_mistyped_field_turns_a_refusal_into_a_pass(
    rule_id: str, wasm: WasmEngine, examples: Mapping[str, RuleExample]
) -> None:
    """The rule still refuses, or leaves the member without an answer, which is an engine error."""
    rule, example = RULES[rule_id], examples[rule_id]
    workspace = build(files_of(changed(example.change)))
    moment = type(NOW).fromisoformat(example.now) if example.now else NOW
    built = build_input(workspace, now=moment, signers=signers_of(workspace, example), rules=RULES)
    decision = wasm.decide(json.dumps(built.document).encode())
    (answer,) = answers.read({rule_id: decision[rule_id]}, built.document, [rule])
    document = _narrowed(cast("dict[str, Any]", built.document), rule, answer.failures[0].index)
    assert _verdict(wasm, document, rule) == "fail"
    verdicts = {what: _verdict(wasm, mutant, rule) for what, mutant in _mutants(document) if rule.population in mutant}
    assert len(verdicts) > 10
    assert {what for what, verdict in verdicts.items() if verdict == "pass"} == set()


def _verdict(engine: WasmEngine, document: dict[str, Any], rule: RuleMetadata) -> str:
    try:
        decision = engine.decide(json.dumps(document).encode())
        (answer,) = answers.read({rule.id: decision[rule.id]}, document, [rule])
    except EngineError:
        return "error"
    return "fail" if answer.failures else "pass"
