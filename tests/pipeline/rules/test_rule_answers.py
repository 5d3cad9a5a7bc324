"""What an engine returns is believed only if it is a complete answer of exactly the loaded rules."""

from __future__ import annotations

from typing import Any

import pytest

from qnsp_policy.errors import EngineError
from qnsp_policy.pipeline.rules import answers
from qnsp_policy.pipeline.rules.findings import Severity
from qnsp_policy.pipeline.rules.metadata import RuleMetadata, dump, fill, load

RULE = RuleMetadata("a/b", "Title", "Why.", Severity.HIGH, "things", "{address} is {x}.", "Mend {x}.", ("C 1",))
DOCUMENT: dict[str, Any] = {"things": [{}, {}]}
REFUSAL = {"index": 1, "path": ["spec", "x", 0], "args": {"x": 1}}
GOOD = {"a/b": {"pass": [0], "fail": [REFUSAL]}}


def test_a_complete_answer_is_read() -> None:
    """Every member is in one of the two sets."""
    (answer,) = answers.read(GOOD, DOCUMENT, [RULE])
    assert answer.population == 2
    assert [(f.index, f.path, f.arguments) for f in answer.failures] == [(1, ("spec", "x", 0), {"x": 1})]


@pytest.mark.parametrize(
    ("decision", "code"),
    [
        (None, "QNSP-RUL-010"),
        ([], "QNSP-RUL-010"),
        ({}, "QNSP-RUL-011"),
        ({**GOOD, "c/d": {"pass": [], "fail": []}}, "QNSP-RUL-011"),
        ({"a/b": {"pass": [0, 1]}}, "QNSP-RUL-012"),
        ({"a/b": {"pass": 2, "fail": []}}, "QNSP-RUL-012"),
        ({"a/b": {"pass": [0, 2], "fail": [REFUSAL]}}, "QNSP-RUL-012"),
        ({"a/b": {"pass": [0, True], "fail": []}}, "QNSP-RUL-012"),
        ({"a/b": {"pass": [0, -1], "fail": []}}, "QNSP-RUL-012"),
        ({"a/b": {"pass": [0], "fail": [{**REFUSAL, "path": "spec"}]}}, "QNSP-RUL-012"),
        ({"a/b": {"pass": [0], "fail": [{**REFUSAL, "args": []}]}}, "QNSP-RUL-012"),
        ({"a/b": {"pass": [0], "fail": [{"index": 1}]}}, "QNSP-RUL-012"),
        ({"a/b": {"pass": [0], "fail": []}}, "QNSP-RUL-013"),
        ({"a/b": {"pass": [], "fail": []}}, "QNSP-RUL-013"),
        ({"a/b": {"pass": [0, 1], "fail": [REFUSAL]}}, "QNSP-RUL-014"),
    ],
)
def test_anything_else_is_an_engine_error(decision: Any, code: str) -> None:
    """Each fault has its own code."""
    with pytest.raises(EngineError) as caught:
        answers.read(decision, DOCUMENT, [RULE])
    assert caught.value.code == code


def test_a_population_that_the_input_lacks_is_an_engine_error() -> None:
    """An unknown population is not an empty one."""
    with pytest.raises(EngineError) as caught:
        answers.read(GOOD, {"others": []}, [RULE])
    assert caught.value.code == "QNSP-RUL-015"


def test_a_text_without_its_argument_is_an_engine_error() -> None:
    """No placeholder ever reaches a reader."""
    assert fill("{x} of {y}", {"x": ["a", "b"], "y": 2.0}, rule="a/b") == "a, b of 2"
    with pytest.raises(EngineError) as caught:
        fill("{x}", {}, rule="a/b")
    assert caught.value.code == "QNSP-RUL-003"


def test_metadata_survives_its_file() -> None:
    """What is written is read back; anything else is refused."""
    read = load(dump([RULE], opa="1.22.0", wasm_digest="sha256:00"))
    assert read.rules == (RULE,)
    assert (read.opa, read.wasm_digest) == ("1.22.0", "sha256:00")
    for broken in (b"", b"{}", b'{"format": "other"}', b"[]"):
        with pytest.raises(EngineError) as caught:
            load(broken)
        assert caught.value.code == "QNSP-RUL-001"
