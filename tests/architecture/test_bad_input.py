"""Every bad input that this project must have tried, and the test that tries it; a name that is not there fails."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PARSE = "pipeline/documents/test_parse_strict.py"
BUILD = "pipeline/model/test_build_workspace.py"
REFUSED = "pipeline/plan/test_plan_refusals.py"
ADMIN = "services/broker/test_admin.py"
PROTOCOL = "services/broker/test_protocol.py"
REVIEW = "pipeline/review/test_review_outputs.py"

TRIED: Mapping[str, tuple[str, ...]] = {
    "duplicate keys": (f"{PARSE}::test_wrong_text_has_its_own_code[duplicate-key]",),
    "aliases": (f"{PARSE}::test_wrong_text_has_its_own_code[alias]",),
    "a YAML bomb": (f"{PARSE}::test_alias_bomb_is_refused_at_once",),
    "tabs": (f"{PARSE}::test_wrong_text_has_its_own_code[tab]",),
    "NUL": (f"{PARSE}::test_wrong_text_has_its_own_code[nul]",),
    "BOM": (f"{PARSE}::test_wrong_text_has_its_own_code[bom]",),
    "non-UTF-8": (f"{PARSE}::test_wrong_text_has_its_own_code[not-utf-8]",),
    "unknown kind": (f"{BUILD}::test_one_mutation_one_code_at_its_place[unknown-kind]",),
    "cyclic references": (
        f"{BUILD}::test_one_mutation_one_code_at_its_place[tier-cycle]",
        f"{BUILD}::test_lineage_in_a_ring_is_refused",
    ),
    "two documents of the same name": (f"{BUILD}::test_one_mutation_one_code_at_its_place[same-name-twice]",),
    "a reference to another tenant's key": (
        "pipeline/trust/test_effective_grants.py::test_a_grant_that_crosses_a_tenant_is_named",
        "policies/test_rule_examples.py",
    ),
    "a plan with one byte changed": (f"{REFUSED}::test_one_byte_changed",),
    "a plan signed by an unknown key": (f"{REFUSED}::test_signed_by_an_unknown_key",),
    "an expired plan": (f"{REFUSED}::test_expired",),
    "a plan against an older state": (f"{REFUSED}::test_planned_against_an_older_state",),
    "a plan for another workspace": (f"{REFUSED}::test_another_workspace",),
    "a plan with an approval missing": (f"{REFUSED}::test_an_approval_is_missing",),
    "a change that adds an approver and uses it": (f"{REFUSED}::test_a_change_that_adds_an_approver_and_uses_it",),
    "a change that lowers the threshold": (f"{REFUSED}::test_a_change_that_lowers_the_threshold",),
    "a change that turns production into development": (
        f"{REFUSED}::test_a_change_that_turns_production_into_development",
    ),
    "a missing genesis record": (f"{REFUSED}::test_a_missing_genesis_record_is_never_a_first_apply",),
    "a release policy set with the admin token alone": (
        f"{ADMIN}::test_the_administrators_signature_alone_sets_no_policy",
    ),
    "evidence for another key": (f"{PROTOCOL}::test_evidence_for_another_key_is_refused",),
    "a replayed nonce": (f"{PROTOCOL}::test_a_replayed_nonce_is_refused",),
    "another tenant's path": (
        "services/broker/test_release.py::test_another_tenants_path_is_denied",
        "workflows/test_whole_line.py::test_another_tenant_is_refused_with_the_reason",
    ),
    "a resource policy that would release everything": (
        f"{ADMIN}::test_a_policy_that_would_release_everything_is_refused_even_with_a_plan",
    ),
    "names with newlines, escapes, Markdown and shell": (
        f"{BUILD}::test_hostile_names_are_refused_and_printed_safely",
        f"{REVIEW}::test_terminal_text_holds_no_control_character",
        f"{REVIEW}::test_workflow_commands_cannot_be_forged",
        f"{REVIEW}::test_markdown_is_inert",
        "pipeline/trust/test_trust_root_and_text.py::test_a_name_cannot_forge_a_line",
    ),
    "a foreign gateway on the endpoint's port": (
        "pipeline/world/test_gateway_identity.py::test_a_foreign_gateway_is_refused[other code]",
        "pipeline/world/test_gateway_identity.py::test_another_tls_key_than_the_evidence_binds_is_refused",
    ),
}


def _texts(tree: ast.Module) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("item", TRIED)
def test_it_is_tried(item: str) -> None:
    """The tests are there, and so are their cases."""
    for name in TRIED[item]:
        file, _, rest = name.partition("::")
        function, _, case = rest.rstrip("]").partition("[")
        tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert not function or function in functions, f"{item}: {function} is not in {file}"
        assert not case or case in _texts(tree), f"{item}: {function} has no case {case}"
