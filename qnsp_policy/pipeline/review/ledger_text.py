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
    """What a denial says to the tenant's owner: the claim, what was seen, what was required, who set it."""
    lines = []
    if data.get("code"):
        lines.append(f"{terminal(str(data['code']))}  {terminal(str(data.get('reason', '')))}".rstrip())
    for mismatch in data.get("mismatches", []):
        lines.append(
            f"claim {terminal(str(mismatch.get('claim', '')))} = {terminal(str(mismatch.get('seen', mismatch.get('got', ''))))}, "
            f"required {terminal(str(mismatch.get('required', mismatch.get('expected', ''))))}"
        )
    return lines


__all__ = ["denial_lines", "render_records"]
