"""Which findings a waiver silences, decided in Python after every rule has answered.

Comes in: findings and the waivers of the rules input. Goes out: findings with `waived_by` or with a note, and the
waivers that silenced nothing. A waiver holds only if it names a rule and an object, ends within the project's
horizon, has not ended (its last second counts), and carries its approver's signature; anything else is as if it were
not there, and the finding says why. A waiver silences a finding, it never changes what a broker releases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qnsp_policy.pipeline.rules.findings import Finding
from qnsp_policy.pipeline.rules.inputs import WaiverMember

UNWAIVABLE = ("waivers/", "trust/")
"""Categories that no waiver silences: who may waive is not itself waivable."""


def apply(
    findings: Sequence[Finding], waivers: Sequence[WaiverMember], now: int
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Mark what is waived.

    Returns:
        The findings in the same order, and the addresses of waivers that matched no finding at all.
    """
    by_target: dict[tuple[str, str], list[WaiverMember]] = {}
    for waiver in waivers:
        by_target.setdefault((waiver["rule"], waiver["object"]), []).append(waiver)
    marked: list[Finding] = []
    used: set[str] = set()
    for finding in findings:
        same = by_target.get((finding.rule, finding.address), [])
        candidates = [waiver for waiver in same if not waiver["path"] or tuple(waiver["path"]) == finding.path]
        used.update(waiver["address"] for waiver in candidates)
        marked.append(_mark(finding, candidates, now))
    unused = tuple(sorted({waiver["address"] for waiver in waivers} - used))
    return tuple(marked), unused


def _mark(finding: Finding, candidates: Sequence[WaiverMember], now: int) -> Finding:
    notes: list[str] = []
    for waiver in candidates:
        fault = (
            "rules of this category cannot be waived" if finding.rule.startswith(UNWAIVABLE) else fault_of(waiver, now)
        )
        if fault is None:
            return replace(finding, waived_by=waiver["address"])
        notes.append(f"{waiver['address']} does not apply: {fault}")
    return replace(finding, note="; ".join(notes)) if notes else finding


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
