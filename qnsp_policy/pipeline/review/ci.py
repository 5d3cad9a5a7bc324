"""Findings for continuous integration: JUnit, GitLab Code Quality, GitHub annotations, Markdown for a pull request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qnsp_policy.pipeline.review.escape import code_span, markdown, visible, workflow_data, workflow_property, xml_text
from qnsp_policy.pipeline.review.findings_text import counts
from qnsp_policy.pipeline.review.trust_text import headline, render_trust_diff
from qnsp_policy.pipeline.rules.findings import Finding, RulesReport

MAX_COMMENT = 65_000  # characters; GitHub holds 65,535
MAX_ANNOTATIONS = 10  # of one level in one step
_GITLAB = {"critical": "blocker", "high": "critical", "medium": "major", "low": "minor", "info": "info"}
_ANNOTATION = {"critical": "error", "high": "error", "medium": "warning", "low": "notice", "info": "notice"}


def render_junit(report: RulesReport) -> str:
    """One case a rule and object that failed, and one a rule for what passed: a clean run is not an empty one."""
    open_ones = [finding for finding in report.findings if finding.waived_by is None]
    waived = [finding for finding in report.findings if finding.waived_by is not None]
    cases: list[str] = []
    for rule, tally in sorted(report.tallies.items()):
        if tally.passed or not tally.population:
            cases.append(
                f'    <testcase classname="{xml_text(rule)}" name="{tally.passed} of {tally.population} passed"/>'
            )
    cases += [_case(finding, "failure") for finding in open_ones]
    cases += [_case(finding, "skipped") for finding in waived]
    head = f'tests="{len(cases)}" failures="{len(open_ones)}" skipped="{len(waived)}" errors="0"'
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<testsuites name="qnsp-policy" {head}>',
            f'  <testsuite name="rules" {head}>',
            *cases,
            "  </testsuite>",
            "</testsuites>",
        ]
    )


def _case(finding: Finding, outcome: str) -> str:
    path = "/".join(str(step) for step in finding.path)
    text = f"{finding.place}: {finding.message} Fix: {finding.remediation}"
    message = finding.message if outcome == "failure" else f"waived by {finding.waived_by}"
    return (
        f'    <testcase classname="{xml_text(finding.rule)}" name="{xml_text(visible(f"{finding.address} {path}"))}" '
        f'file="{xml_text(finding.place.file)}" line="{finding.place.line}">'
        f'<{outcome} message="{xml_text(visible(message))}">{xml_text(text)}</{outcome}></testcase>'
    )


def render_gitlab(report: RulesReport) -> str:
    """GitLab Code Quality; every entry has a severity, since one without hides all that follow."""
    entries = [
        {
            "description": visible(f"{finding.address}: {finding.message}"),
            "check_name": finding.rule,
            "fingerprint": finding.fingerprint.removeprefix("sha256:"),
            "severity": _GITLAB[str(finding.severity)],
            "location": {"path": finding.place.file, "lines": {"begin": max(1, finding.place.line)}},
        }
        for finding in report.findings
        if finding.waived_by is None
    ]
    return json.dumps(entries, ensure_ascii=False, indent=2)


def render_annotations(report: RulesReport) -> str:
    """GitHub workflow commands, worst first; what does not fit is counted."""
    lines: list[str] = []
    shown: dict[str, int] = {}
    left = 0
    for finding in report.findings:
        if finding.waived_by is not None:
            continue
        level = _ANNOTATION[str(finding.severity)]
        shown[level] = shown.get(level, 0) + 1
        if shown[level] > MAX_ANNOTATIONS:
            left += 1
            continue
        properties = (
            f"file={workflow_property(finding.place.file)},line={finding.place.line},col={finding.place.column}"
        )
        title = workflow_property(f"{finding.rule} ({finding.severity})")
        message = workflow_data(f"{finding.address}: {finding.message} Fix: {finding.remediation}")
        lines.append(f"::{level} {properties},title={title}::{message}")
    if left:
        lines.append(f"::notice title=qnsp-policy::{left} more findings are in the job's log")
    return "\n".join(lines)


def render_markdown(
    report: RulesReport, *, diff: Mapping[str, Any] | None = None, new: frozenset[str] | None = None
) -> str:
    """A pull-request comment: one line to act on, the trust diff, new findings, the rest folded.

    Args:
        report: the findings of the head.
        diff: the trust diff's JSON twin, if there is a base.
        new: fingerprints that the base does not have; None where there is no base.
    """
    open_ones = [finding for finding in report.findings if finding.waived_by is None]
    fresh = [f for f in open_ones if new is None or f.fingerprint in new]
    old = [f for f in open_ones if f not in fresh]
    word = "findings" if new is None else "new findings"
    first = f"{headline(diff)}; {len(fresh)} {word}." if diff is not None else f"{len(fresh)} {word}."
    parts = ["<!-- qnsp-policy -->", f"**{markdown(first)}**", ""]
    if diff is not None and diff.get("changes"):
        parts += ["### Trust", "", "```diff", *_diff_lines(diff), "```", ""]
    if fresh:
        parts += [f"### {word.capitalize()}", "", *_table(fresh), ""]
    if old:
        parts += [
            f"<details><summary>{len(old)} findings that the base has too</summary>",
            "",
            *_table(old),
            "",
            "</details>",
            "",
        ]
    total = ", ".join(f"{number} {severity}" for severity, number in counts(open_ones).items()) or "none open"
    parts.append(f"{report.rules_evaluated} rules over {report.documents} documents: {total}.")
    return _cut("\n".join(parts))


def _diff_lines(diff: Mapping[str, Any]) -> list[str]:
    signs = {"!": "-", "+": "+", "^": "+", "-": "-", ">": "!", "~": " "}
    lines = []
    for line in render_trust_diff(diff).split("\n"):
        text = line.replace("`", "'")
        mark = signs.get(text.strip()[:1], " ") if text[:4].strip() else " "
        lines.append(f"{mark} {text.strip()}" if mark != " " else text)
    return lines


def _table(findings: list[Finding]) -> list[str]:
    rows = ["| severity | rule | where | what, and how to put it right |", "|---|---|---|---|"]
    for finding in findings:
        where = f"{code_span(finding.address)} {code_span(f'{finding.place.file}:{finding.place.line}')}"
        what = f"{markdown(finding.message)} **Fix:** {markdown(finding.remediation)}"
        rows.append(f"| {finding.severity} | {code_span(finding.rule)} | {where} | {what} |")
    return rows


def _cut(text: str) -> str:
    """Fit a comment by leaving out whole lines of the middle; an open fold is closed."""
    if len(text) <= MAX_COMMENT:
        return text
    lines = text.split("\n")
    head: list[str] = []
    size = 0
    for line in lines:
        if size + len(line) + 1 > MAX_COMMENT - 600:
            break
        head.append(line)
        size += len(line) + 1
    opened = sum("<details>" in line for line in head) - sum("</details>" in line for line in head)
    fenced = sum(line.startswith("```") for line in head) % 2
    tail = ["```"] * fenced + ["", "</details>"] * opened
    return "\n".join(
        [*head, *tail, "", f"{len(lines) - len(head)} lines left out; the full report is an artifact of the job."]
    )


__all__ = ["render_annotations", "render_gitlab", "render_junit", "render_markdown"]
