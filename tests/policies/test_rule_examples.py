"""Each shipped rule's example, run from YAML to finding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from qnsp_policy.pipeline.rules.examples import RuleExample
from qnsp_policy.pipeline.rules.wasm_edge import shipped_rules

Judge = Callable[[RuleExample], Any]
RULES = [rule.id for rule in shipped_rules().rules]


def test_the_good_workspace_has_no_finding(judge: Judge) -> None:
    """No rule refuses the workspace that examples are changes to."""
    judged = judge(RuleExample("none", "nothing is wrong", {}, ()))
    assert [(f.rule, f.address, f.message) for f in judged.report.findings] == []
    assert judged.report.rules_evaluated == len(RULES) + 1


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_finds_its_example_and_says_so_in_whole_sentences(
    rule: str, judge: Judge, examples: Mapping[str, RuleExample]
) -> None:
    """The change that the rule's page shows is found at the fields that it shows."""
    assert rule in examples, f"policies/{rule}/example.yaml is missing"
    example = examples[rule]
    found = [finding for finding in judge(example).report.findings if finding.rule == rule]
    assert sorted((f.address, f.path) for f in found) == sorted(example.finds)
    for finding in found:
        assert "{" not in finding.message + finding.remediation
        assert finding.message.endswith(".")
        assert finding.remediation.endswith((".", "`"))
