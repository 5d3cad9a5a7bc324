"""wasm in process and a real OPA server give the same answers: over random workspaces, and over random inputs."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.errors import DocumentErrors
from qnsp_policy.pipeline.model import build
from qnsp_policy.pipeline.rules.evaluate import evaluate
from qnsp_policy.pipeline.rules.examples import RuleExample
from qnsp_policy.pipeline.rules.opa_edge import OpaEngine, local_opa
from qnsp_policy.pipeline.rules.schema import input_schema
from qnsp_policy.pipeline.rules.wasm_edge import WasmEngine
from qnsp_policy.testing.rule_examples import NOW, changed, files_of, merged, shipped_examples, signers_of

pytestmark = pytest.mark.functional

WORDS: tuple[str, ...] = (
    "",
    "A",
    "Tenant/a",
    "Tenant/b",
    "tls",
    "kem",
    "signature",
    "required",
    "forbidden",
    "transport-only",
    "root",
)
WORDS += (
    "hsm",
    "software",
    "passed",
    "active",
    "shared",
    "exclusive",
    "on",
    "security",
    "author",
    "model",
    "per-version",
)
NUMBERS = (-1, 0, 1, 2, 999, 1000, 1001, 86_400, 7_776_000, 1 << 40)


@pytest.fixture(scope="module")
def server(opa: Path, wasm: WasmEngine) -> Iterator[OpaEngine]:
    """The pinned `opa` as a server with the shipped rules."""
    with local_opa(opa, wasm.rule_sets) as url:
        yield OpaEngine(url, wasm.rule_sets)


def _random_example(seed: int, examples: Mapping[str, RuleExample]) -> RuleExample:
    """Several rules' faults in one workspace."""
    chance = random.Random(seed)
    chosen = [examples[rule] for rule in chance.sample(sorted(examples), chance.randint(1, 6))]
    change: dict[str, Any] = {}
    for example in chosen:
        for address, patch in example.change.items():
            change[address] = None if patch is None else _joined(change.get(address), patch)
    unsigned = tuple(address for example in chosen for address in example.unsigned)
    return RuleExample("random", "random", change, (), unsigned=unsigned, now=chance.choice([e.now for e in chosen]))


def _joined(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{name: _joined(one.get(name), item) for name, item in other.items()}}
    return other


@pytest.mark.parametrize("seed", range(40))
def test_random_workspaces_get_the_same_findings(seed: int, wasm: WasmEngine, server: OpaEngine) -> None:
    """The reports differ in the engine's name only."""
    example = _random_example(seed, shipped_examples())
    try:
        workspace = build(files_of(changed(example.change)))
    except (DocumentErrors, KeyError):
        workspace = build(files_of(changed({})))
    signers = signers_of(workspace, example)
    now = type(NOW).fromisoformat(example.now) if example.now else NOW
    ours = evaluate(workspace, engine=wasm, now=now, signers=signers)
    theirs = evaluate(workspace, engine=server, now=now, signers=signers)
    assert ours.findings == theirs.findings
    assert ours.tallies == theirs.tallies
    assert ours.bundle_digest == theirs.bundle_digest
    assert (ours.engine, theirs.engine) == ("wasm", "opa")


def _value(schema: Mapping[str, Any], chance: random.Random, depth: int = 0) -> Any:
    if chance.random() < 0.01:
        return chance.choice([None, True, "text", 7, [], {}])
    match schema.get("type"):
        case "boolean":
            return chance.random() < 0.5
        case "integer":
            return chance.choice(NUMBERS)
        case "string":
            return chance.choice(WORDS)
        case "array":
            return [_value(schema["items"], chance, depth + 1) for _ in range(chance.randint(0, 4))]
        case "object" if "properties" in schema:
            return {name: _value(inner, chance, depth + 1) for name, inner in schema["properties"].items()}
        case _:
            inner = schema.get("additionalProperties")
            inner = inner if isinstance(inner, dict) else {"type": "string"}
            return {word: _value(inner, chance, depth + 1) for word in chance.sample(WORDS, 4)}


@pytest.mark.parametrize("seed", range(40))
def test_random_inputs_get_the_same_decision(seed: int, wasm: WasmEngine, server: OpaEngine) -> None:
    """Also for inputs that no workspace makes, mistyped fields included, both decide alike or both fail."""
    chance = random.Random(seed)
    document = _value(input_schema(), chance)
    document = merged(document if isinstance(document, dict) else {}, {"now": 1000})
    encoded = json.dumps(document).encode()
    assert _canonical(wasm.decide(encoded)) == _canonical(server.decide(encoded))


def _canonical(decision: Mapping[str, Any]) -> dict[str, Any]:
    def key(item: Any) -> str:
        return json.dumps(item, sort_keys=True)

    return {
        rule: {"pass": sorted(answer["pass"]), "fail": sorted(answer["fail"], key=key)}
        for rule, answer in decision.items()
    }
