"""Members that are alike are asked about once, and no finding, count or order differs for it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from qnsp_policy.pipeline.model import build
from qnsp_policy.pipeline.rules.alike import folded
from qnsp_policy.pipeline.rules.evaluate import evaluate
from qnsp_policy.pipeline.rules.normalise import build_input
from qnsp_policy.pipeline.rules.wasm_edge import WasmEngine, shipped_rules
from qnsp_policy.testing.generator import RULE_FAULTS, generated_files, with_faults
from qnsp_policy.testing.rule_examples import NOW

TABLES = {"now", "environment", "algorithms", "tiers", "roles"}


def test_every_shipped_rule_judges_a_member_by_itself() -> None:
    """Beside the tables a rule reads its own population only, one member at a time: what folding rests on."""
    shipped = shipped_rules()
    assert shipped.one_by_one
    own = {rule.id: rule.population for rule in shipped.rules}
    read = set()
    for path, text in shipped.modules.items():
        rule = path.rpartition("/")[0].removeprefix("policies/")
        code = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
        for line in code.split("\n"):
            for name in re.findall(r"\binput\b\.?(\w*)", line):
                if name not in TABLES:
                    assert line == f"\tsome index, member in input.{own[rule]}", (path, line)
                    assert name == own[rule]
                    read.add(rule)
    assert read == set(own)


@pytest.mark.parametrize("seed", range(3))
def test_the_report_is_the_same_as_without_folding(seed: int) -> None:
    """Over a generated workspace with faults strewn into it at random."""
    files = with_faults(generated_files(240), RULE_FAULTS, share=0.2, seed=seed)
    workspace = build(files)
    shipped = shipped_rules()
    with WasmEngine([shipped]) as folding, WasmEngine([replace(shipped, one_by_one=False)]) as whole:
        ours = evaluate(workspace, engine=folding, now=NOW)
        theirs = evaluate(workspace, engine=whole, now=NOW)
    assert ours == theirs
    assert len({finding.rule for finding in ours.findings}) > 8


def test_folding_leaves_repeats_out_and_places_alone() -> None:
    """The input gets smaller, no table and no small population changes, and each position is stood for once."""
    built = build_input(build(generated_files(240)), now=NOW, signers={}, rules=set())
    made = folded(built.document)
    assert {"keys", "algorithmUses", "tierSets"} <= set(made.standing)
    for name, members in built.document.items():
        if name not in made.standing:
            assert made.document[name] is members  # type: ignore[literal-required]
            continue
        asked, standing = made.document[name], made.standing[name]  # type: ignore[literal-required]
        assert len(asked) == len(standing) < len(members)  # type: ignore[arg-type]
        assert sorted(index for where in standing for index in where) == list(range(len(members)))  # type: ignore[arg-type]
        for member, where in zip(asked, standing, strict=True):
            assert all(members[index] == member for index in where)  # type: ignore[index]
