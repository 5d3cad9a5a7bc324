"""The Rego sources: format, strict checks against the input's schema, tests, coverage; and what is generated of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from qnsp_policy.pipeline.rules.build_edge import differences, generate
from qnsp_policy.pipeline.rules.metadata import arguments_of
from qnsp_policy.pipeline.rules.wasm_edge import shipped_rules
from qnsp_policy.resources_edge import data_path

ROOT = data_path("policies")


def _run(opa: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(opa), *arguments], cwd=ROOT.parent, capture_output=True, text=True, check=False, timeout=500
    )


@pytest.mark.functional
def test_sources_are_formatted(opa: Path) -> None:
    """`opa fmt` would change nothing."""
    assert _run(opa, "fmt", "--list", "policies").stdout == ""


@pytest.mark.functional
def test_sources_pass_strict_checks_against_the_schema(opa: Path) -> None:
    """No rule reads a field that the input does not have."""
    modules = [str(path) for path in ROOT.rglob("*.rego") if not path.name.endswith("_test.rego")]
    done = _run(opa, "check", "--strict", "--schema", "policies/schema/input.json", *modules)
    assert done.returncode == 0, done.stderr


@pytest.mark.functional
def test_a_misspelt_field_is_an_error_of_the_check(opa: Path, tmp_path: Path) -> None:
    """The schema is closed: one letter off and the check names the field."""
    good = (ROOT / "attestation/debug-on/rule.rego").read_text()
    bad = tmp_path / "rule.rego"
    bad.write_text(good.replace("member.debug", "member.debgu"))
    done = _run(opa, "check", "--strict", "--schema", "policies/schema/input.json", "policies/lib", str(bad))
    assert done.returncode != 0
    assert "debgu" in done.stderr


@pytest.mark.functional
def test_rego_tests_pass_and_cover_the_rules(opa: Path) -> None:
    """`opa test` passes and at least 98 of 100 expressions are covered."""
    assert _run(opa, "test", "policies").returncode == 0
    done = _run(opa, "test", "policies", "--coverage", "--threshold", "98")
    assert done.returncode == 0, json.loads(done.stdout or "{}").get("coverage", done.stderr)


@pytest.mark.functional
def test_the_committed_bundle_schema_and_pages_are_what_would_be_made_now(opa: Path) -> None:
    """policy.wasm, metadata.json, the schema and docs/rules follow from the sources, byte for byte."""
    assert differences(ROOT.parent, generate(ROOT.parent, opa)) == ()


def test_every_rule_lies_where_its_id_says() -> None:
    """Folder, package, test and example bear one name."""
    for rule in shipped_rules().rules:
        folder = ROOT / rule.id
        assert {path.name for path in folder.iterdir()} == {"rule.rego", "rule_test.rego", "example.yaml"}, rule.id
        package = f'package qnsp.rules.{rule.category}["{rule.name}"]'
        quoted = f'package qnsp.rules["{rule.category}"]["{rule.name}"]'
        plain = f"package qnsp.rules.{rule.category}.{rule.name}"
        lines = (folder / "rule.rego").read_text().splitlines()
        assert {package, quoted, plain} & set(lines), rule.id


def test_texts_use_only_arguments_that_the_rule_gives() -> None:
    """A placeholder without an argument is an engine error at run time; here it is one at build time."""
    for rule in shipped_rules().rules:
        source = (ROOT / rule.id / "rule.rego").read_text()
        for name in arguments_of(rule.message, rule.remediation) - {"address"}:
            assert f'"{name}": ' in source, f"{rule.id}: {name}"


def test_remediations_never_propose_a_weaker_tier() -> None:
    """No way out of a finding goes down."""
    for rule in shipped_rules().rules:
        assert "lower tier" not in rule.remediation
        assert "weaker tier" not in rule.remediation


def test_there_are_rules_for_each_topic_of_the_issue() -> None:
    """At least 35 rules, and every category has some."""
    rules = shipped_rules().rules
    assert len(rules) >= 35
    categories = {rule.category for rule in rules}
    assert categories >= {"crypto", "tenancy", "attestation", "keys", "endpoints", "platform", "supply-chain", "grants"}
    assert categories >= {"waivers", "trust", "compliance"}
    assert all(rule.controls for rule in rules)
