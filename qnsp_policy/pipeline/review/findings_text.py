"""What the rules say, as terminal text: worst first, each with its place, its way out and its controls."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from qnsp_policy.pipeline.review.escape import terminal
from qnsp_policy.pipeline.review.most import SHOWN, not_shown
from qnsp_policy.pipeline.review.style import Paint, Style, plain
from qnsp_policy.pipeline.rules.findings import Finding, RulesReport, Severity

WIDTH = 98
_PAD = " " * 9
_STYLES: Mapping[str, Style] = {"critical": "bad", "high": "bad", "medium": "warn", "low": "note", "info": "dim"}


def render_report(
    report: RulesReport, *, seconds: float | None = None, show_waived: bool = False, paint: Paint = plain
) -> str:
    """The findings that are not waived (waived ones too with `show_waived`), the worst `SHOWN` of them, then one line that counts all."""
    shown = [finding for finding in report.findings if show_waived or finding.waived_by is None]
    blocks = [render_finding(finding, paint=paint) for finding in shown[:SHOWN]]
    if rest := not_shown(terminal(finding.rule) for finding in shown[SHOWN:]):
        blocks.append(rest)
    blocks += [
        f"{paint('note', 'note')}  {terminal(waiver)} silences nothing any more; remove it"
        for waiver in report.unused_waivers[:SHOWN]
    ]
    return "\n\n".join([*blocks, summary(report, seconds=seconds)])


def render_finding(finding: Finding, *, paint: Paint = plain) -> str:
    """One finding: severity, rule, place and address; then message, fix, controls."""
    severity = str(finding.severity)
    head = (
        f"{paint(_STYLES[severity], f'{severity:<8}')} {terminal(finding.rule)}   "
        f"{paint('place', terminal(str(finding.place)))}  {terminal(finding.address)}"
    )
    lines = [head, *_wrapped(finding.message)]
    if finding.waived_by is not None:
        until = f" until {finding.waived_until}" if finding.waived_until else ""
        lines += _wrapped(f"Waived by {finding.waived_by}{until}.")
    else:
        lines += _wrapped(f"Fix: {finding.remediation}") if finding.remediation else []
    if finding.note:
        lines += _wrapped(f"Note: {finding.note}")
    if finding.controls:
        lines += _wrapped(f"Controls: {', '.join(finding.controls)}.")
    if not finding.rule.startswith("plan/"):  # a refusal of the planner is no rule
        more = f"More: qnsp-policy explain {terminal(finding.rule)}"
        if finding.controls and len(lines[-1]) + 3 + len(more) <= WIDTH:
            lines[-1] += f"   {more}"
        else:  # a command stays on one line, to be copied
            lines.append(_PAD + more)
    return "\n".join(lines)


@lru_cache(maxsize=1024)
def _wrapped(text: str) -> Sequence[str]:
    wrapped = textwrap.wrap(
        terminal(text),
        WIDTH,
        initial_indent=_PAD,
        subsequent_indent=_PAD,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return tuple(wrapped) or (_PAD,)


def counts(findings: Iterable[Finding]) -> Mapping[str, int]:
    """How many findings of each severity, waived ones left out; severities without one are left out."""
    found = Counter(str(finding.severity) for finding in findings if finding.waived_by is None)
    return {str(severity): found[str(severity)] for severity in Severity if found[str(severity)]}


def summary(report: RulesReport, *, seconds: float | None = None) -> str:
    """One line: how many findings, how many waived, what was evaluated."""
    found = counts(report.findings)
    waived = [finding for finding in report.findings if finding.waived_by is not None]
    parts = [f"{number} {severity}" for severity, number in found.items()] or ["no findings"]
    if waived:
        first = min((finding.waived_until for finding in waived if finding.waived_until), default="")
        parts.append(f"{len(waived)} waived" + (f" (the first until {first})" if first else ""))
    took = f" in {seconds:.1f} s" if seconds is not None else ""
    return f"{', '.join(parts)}.  {report.rules_evaluated} rules over {report.documents} documents{took} ({report.engine})."


def report_json(report: RulesReport, *, fail_on: Severity, exit_code: int) -> dict[str, Any]:
    """The JSON twin; names are stable."""
    return {
        "formatVersion": "1.0",
        "findings": [finding.to_json() for finding in report.findings],
        "counts": dict(counts(report.findings)),
        "waived": sum(finding.waived_by is not None for finding in report.findings),
        "unusedWaivers": list(report.unused_waivers),
        "failOn": str(fail_on),
        "violations": bool(report.blocking(fail_on)),
        "rulesEvaluated": report.rules_evaluated,
        "documents": report.documents,
        "engine": {"name": report.engine, "version": report.engine_version, "bundleDigest": report.bundle_digest},
        "exitCode": exit_code,
    }


__all__ = ["counts", "render_finding", "render_report", "report_json", "summary"]
