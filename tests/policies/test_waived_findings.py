"""Waivers silence what they name, for a time, under their approver's signature; anything less leaves the finding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from qnsp_policy.pipeline.rules.examples import RuleExample
from qnsp_policy.pipeline.rules.findings import Severity

Judge = Callable[[RuleExample], Any]
TARGET = "tenancy/no-quota"


def _example(waiver: Mapping[str, Any] | None = None, **more: Any) -> RuleExample:
    spec = {
        "rule": TARGET,
        "object": "Tenant/clinic",
        "reason": "the tenant measures its own use",
        "approver": "bob",
        "expires": "2026-12-21",
        **(waiver or {}),
    }
    change = {"Waiver/w": {"spec": spec}, "Tenant/clinic": {"spec": {"quotas": None}}}
    return RuleExample(TARGET, "no quota", change, (), **more)


def _target(judged: Any) -> Any:
    (finding,) = [f for f in judged.report.findings if f.rule == TARGET]
    return finding


def test_a_signed_waiver_silences_its_finding(judge: Judge) -> None:
    """The finding stays in the report with the waiver's address, and blocks nothing."""
    judged = judge(_example())
    assert (_target(judged).waived_by, _target(judged).waived_until) == ("Waiver/w", "2026-12-21")
    assert judged.report.blocking(Severity.INFO) == ()
    assert judged.report.unused_waivers == ()


@pytest.mark.parametrize("moment", ["2026-12-21T23:59:59Z"])
def test_a_waiver_holds_until_the_last_second_of_its_day(moment: str, judge: Judge) -> None:
    """The date is inclusive."""
    assert _target(judge(_example(now=moment))).waived_by == "Waiver/w"


@pytest.mark.parametrize(
    ("example", "why"),
    [
        (_example(now="2026-12-22T00:00:00Z"), "it has expired"),
        (_example({"expires": "2027-11-21"}), "it ends more than 90 days from now"),
        (_example(unsigned=("Waiver/w",)), "its approver has not signed it"),
        (_example(signed={"Waiver/w": ("carol",)}), "its approver has not signed it"),
        (
            _example({"approver": "carol"}, signed={"Waiver/w": ("carol",)}),
            "its approver does not hold the role security",
        ),
    ],
    ids=["expired", "beyond the horizon", "unsigned", "signed by another", "approver without the role"],
)
def test_a_waiver_that_does_not_hold_leaves_the_finding_with_a_note(
    example: RuleExample, why: str, judge: Judge
) -> None:
    """The finding is back, and says why the waiver does not apply."""
    finding = _target(judge(example))
    assert finding.waived_by is None
    assert finding.note == f"Waiver/w does not apply: {why}"


def test_a_waiver_of_one_field_leaves_the_others(judge: Judge) -> None:
    """`path` narrows a waiver to the finding at that field."""
    assert _target(judge(_example({"path": ["spec", "quotas"]}))).waived_by == "Waiver/w"
    judged = judge(_example({"path": ["spec", "tier"]}))
    assert _target(judged).waived_by is None
    assert judged.report.unused_waivers == ("Waiver/w",)


def test_a_waiver_that_silences_nothing_is_itself_a_finding(judge: Judge) -> None:
    """It would silence the fault silently if it came back."""
    judged = judge(_example({"object": "Tenant/research"}))
    assert [f.rule for f in judged.report.findings if f.address == "Waiver/w"] == ["waivers/unused"]


def test_who_may_waive_is_not_waivable(judge: Judge) -> None:
    """A waiver of a rule about the TrustRoot or about waivers changes nothing."""
    change = {
        "Waiver/w": {
            "spec": {
                "rule": "trust/classical-signer",
                "object": "TrustRoot/hospital",
                "reason": "a hardware key comes next month",
                "approver": "bob",
                "expires": "2026-12-21",
            }
        },
        "TrustRoot/hospital": {"spec": {"identities": {"ruth": {"signers": {0: {"keys": ["@ruth-ed25519"]}}}}}},
    }
    judged = judge(RuleExample("trust", "trust", change, ()))
    (finding,) = [f for f in judged.report.findings if f.rule == "trust/classical-signer"]
    assert finding.waived_by is None
    assert "cannot be waived" in finding.note


def test_fingerprints_do_not_move_with_lines(judge: Judge) -> None:
    """They are of rule, document and field."""
    one, other = judge(_example()), judge(_example({"reason": "a longer reason\nover\nseveral\nlines"}))
    assert _target(one).fingerprint == _target(other).fingerprint
