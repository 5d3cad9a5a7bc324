"""Ledger records as text: one line each; a denial says the claim, what was seen and what was required."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qnsp_policy.pipeline.review.escape import terminal
from qnsp_policy.pipeline.review.style import Paint, Style, plain

_STYLES: Mapping[str, Style] = {"denial": "bad", "release": "good", "apply": "strong", "genesis": "strong"}


def render_records(records: Iterable[Mapping[str, Any]], *, paint: Paint = plain) -> str:
    """Oldest first."""
    lines: list[str] = []
    for record in records:
        kind = record["type"]
        lines.append(
            f"{record['time']}  {terminal(record['log']):<12} {record['index']:>4}  "
            f"{paint(_STYLES.get(kind, 'dim'), f'{kind:<11}')} {terminal(record['subject'])}  {terminal(record['actor'])}"
        )
        if kind == "denial":
            lines += [f"    {line}" for line in denial_lines(record["data"])]
    return "\n".join(lines) or "the ledger is empty"


def denial_lines(data: Mapping[str, Any]) -> list[str]:
    """What a denial says to the tenant's owner: the claim, what was seen, what was required, who set it, since when."""
    lines = []
    plan = str(data.get("plan") or "").removeprefix("sha256:")[:8]
    since = f", in force since plan {plan}" if plan else ""
    for mismatch in data.get("mismatches", []):
        lines.append(f"  claim     {_said(mismatch, 'claim')} = {_said(mismatch, 'seen')}")
        by = f"   by {_said(mismatch, 'setBy')} of {terminal(str(data.get('nearestGrant') or 'no grant'))}{since}"
        lines.append(f"  required  {_said(mismatch, 'required')}{by}")
    return lines or [f"  {terminal(str(data.get('code', '')))}: no grant comes near{since}"]


def _said(mismatch: Mapping[str, Any], member: str) -> str:
    text = terminal(str(mismatch.get(member, "")))
    return text if len(text) <= 32 else f"{text[:16]}..."


__all__ = ["denial_lines", "render_records"]
