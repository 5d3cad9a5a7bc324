"""Ten thousand errors of one kind stay readable."""

from __future__ import annotations

from qnsp_policy.errors import DocumentError, Place
from qnsp_policy.pipeline.review.findings_text import render_report
from qnsp_policy.pipeline.review.most import SHOWN, not_shown
from qnsp_policy.pipeline.review.problems import render_problems
from qnsp_policy.pipeline.rules.findings import Finding, RulesReport, Severity


def test_many_errors_are_bounded_and_counted() -> None:
    """The first ones are shown, the others told by code, all of them counted."""
    many = [DocumentError("QNSP-DOC-001", f"error {n}", place=Place("x.yaml", n + 1)) for n in range(SHOWN + 2)]
    text = render_problems(many)
    assert f"error {SHOWN - 1}\n" in text
    assert f"error {SHOWN}\n" not in text
    assert "2 more are not shown (2 QNSP-DOC-001); `--format json` has all." in text
    assert text.endswith(f"{SHOWN + 2} errors in 1 file. Nothing was evaluated.")


def test_many_findings_are_bounded_and_counted() -> None:
    """The worst are shown, the summary counts all."""
    findings = [
        Finding(f"keys/r{n % 7}", Severity.HIGH, f"Tenant/t-{n}", (), Place("x.yaml", n + 1), f"message {n}.", "", ())
        for n in range(SHOWN + 70)
    ]
    text = render_report(RulesReport(tuple(findings), 1, 1, "wasm", "1", "sha256:0"))
    assert f"message {SHOWN - 1}." in text
    assert f"message {SHOWN}." not in text
    assert "70 more are not shown (10 keys/r4, 10 keys/r5, 10 keys/r6, 10 keys/r0, 10 keys/r1, ...)" in text
    assert f"{SHOWN + 70} high." in text


def test_nothing_left_out_says_nothing() -> None:
    """Where all is shown no line speaks of more."""
    assert not_shown(()) == ""
