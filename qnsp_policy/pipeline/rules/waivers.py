"""Which findings a waiver silences, decided in Python after every rule has answered.

Comes in: findings and the waivers of the rules input. Goes out: findings with `waived_by` or with a note, and the
waivers that silenced nothing. A waiver holds only if it names a rule and an object, ends within the project's
horizon, has not ended (its last second counts), and carries its approver's signature; anything else is as if it were
not there, and the finding says why. A waiver silences a finding, it never changes what a broker releases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from qnsp_policy.pipeline.rules.findings import Finding
from qnsp_policy.pipeline.rules.inputs import WaiverMember

UNWAIVABLE = ("waivers/", "trust/")
"""Categories that no waiver silences: who may waive is not itself waivable."""


def apply(
    findings: Sequence[Finding], waivers: Sequence[tuple[str, WaiverMember]], now: int
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Mark what is waived.

    Args:
        findings: of all rules.
        waivers: (address, waiver) pairs.
        now: Unix seconds.

    Returns:
        The findings in the same order, and the addresses of waivers that matched no finding at all.
    """
    by_target: dict[tuple[str, str], list[tuple[str, WaiverMember]]] = {}
    for address, waiver in waivers:
        by_target.setdefault((waiver["rule"], waiver["object"]), []).append((address, waiver))
    marked: list[Finding] = []
    used: set[str] = set()
    for finding in findings:
        field = [str(step) for step in finding.path]
        same = by_target.get((finding.rule, finding.address), ())
        candidates = [(address, waiver) for address, waiver in same if waiver["field"] in ([], field)]
        used.update(address for address, _ in candidates)
        marked.append(_mark(finding, candidates, now))
    return tuple(marked), tuple(sorted({address for address, _ in waivers} - used))


def _mark(finding: Finding, candidates: Sequence[tuple[str, WaiverMember]], now: int) -> Finding:
    notes: list[str] = []
    for address, waiver in candidates:
        unwaivable = finding.rule.startswith(UNWAIVABLE)
        fault = "rules of this category cannot be waived" if unwaivable else fault_of(waiver, now)
        if fault is None:
            return replace(finding, waived_by=address, waived_until=_day(waiver["expires"]))
        notes.append(f"{address} does not apply: {fault}")
    return replace(finding, note="; ".join(notes)) if notes else finding


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def fault_of(waiver: WaiverMember, now: int) -> str | None:
    """Why a waiver does not hold, or None if it does."""
    if waiver["expires"] < now:
        return "it has expired"
    if waiver["expires"] - now > waiver["horizon"]:
        return f"it ends more than {waiver['horizon'] // 86_400} days from now"
    if waiver["approver"] not in waiver["mayWaive"]:
        return "its approver does not hold the role security"
    if waiver["approver"] not in waiver["signers"]:
        return "its approver has not signed it"
    return None


__all__ = ["UNWAIVABLE", "apply", "fault_of"]
