"""Ledger records as text: one line each; a denial says the claim, what was seen and what was required."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from qnsp_policy.pipeline.review.escape import terminal
from qnsp_policy.pipeline.review.style import Paint, Style, plain

_STYLES: Mapping[str, Style] = {"denial": "bad", "release": "good", "apply": "strong", "genesis": "strong"}

_DIGEST = 71
_THUMBPRINT = 43
_SUBJECT = 48
"""Columns for a subject; a longer one pushes its own line only."""


def render_records(records: Iterable[Mapping[str, Any]], *, paint: Paint = plain) -> str:
    """Oldest first; records that say the same one after the other are one line with their number."""
    lines: list[str] = []
    runs = list(_runs(records))
    width = max((len(_short(same[-1]["subject"])) for same in runs), default=0)
    for same in runs:
        record, kind = same[-1], same[-1]["type"]
        often = f"   {len(same)} times since {same[0]['time']}" if len(same) > 1 else ""
        lines.append(
            f"{record['time']}  {terminal(record['log']):<12} {record['index']:>4}  "
            f"{paint(_STYLES.get(kind, 'dim'), f'{kind:<12}')} {_short(record['subject']):<{min(width, _SUBJECT)}}  "
            f"{_short(record.get('actorName') or record['actor'])}{often}"
        )
        if kind == "denial":
            lines += [f"    {line}" for line in denial_lines(record["data"])]
    return "\n".join(lines) or "the ledger is empty"


def _runs(records: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Neighbours that differ in nothing that is shown."""

    def shown(record: Mapping[str, Any]) -> tuple[str, ...]:
        told = denial_lines(record["data"]) if record["type"] == "denial" else [str(record["index"])]
        return (record["log"], record["type"], record["subject"], record["actor"], *told)

    for _, same in groupby(records, key=shown):
        yield list(same)


def _short(text: str) -> str:
    """A digest or a key's thumbprint cut to what tells it from its neighbours; names stay whole."""
    digest = text.startswith("sha256:") and len(text) == _DIGEST
    thumbprint = len(text) == _THUMBPRINT and not set(text) & set(" /.@:")
    return terminal(f"{text[:15]}..." if digest else f"key {text[:8]}..." if thumbprint else text)


def denial_lines(data: Mapping[str, Any]) -> list[str]:
    """What a denial says to the tenant's owner: the claim, what was seen, what was required, who set it, since when."""
    lines = []
    plan = str(data.get("plan") or "").removeprefix("sha256:")[:8]
    since = f", in force since plan {plan}" if plan else ""
    for mismatch in data.get("mismatches", []):
        lines.append(f"  claim     {_said(mismatch, 'claim')} = {_said(mismatch, 'seen')}")
        of = [_said(mismatch, "setBy"), terminal(str(data.get("nearestGrant") or ""))]
        by = " of ".join(part for part in of if part)
        lines.append(f"  required  {_said(mismatch, 'required')}{'   by ' + by if by else ''}{since}")
    return lines or [f"  {terminal(str(data.get('code', '')))}: no grant comes near{since}"]


def _said(mismatch: Mapping[str, Any], member: str) -> str:
    text = terminal(str(mismatch.get(member, "")))
    return text if len(text) <= 32 else f"{text[:16]}..."


__all__ = ["denial_lines", "render_records"]
