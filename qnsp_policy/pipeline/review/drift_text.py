"""Drift as text: security first, then what does not run or could not be read, then cosmetic, then what was renewed by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from qnsp_policy.pipeline.review.escape import terminal
from qnsp_policy.pipeline.review.style import Paint, Style, plain

_ORDER: tuple[tuple[str, Style], ...] = (
    ("security", "bad"),
    ("availability", "warn"),
    ("unknown", "warn"),
    ("cosmetic", "dim"),
)
_REFRESHED = "refreshed"


def render_drift(found: Mapping[str, Any], *, paint: Paint = plain, healed_by: str = "") -> str:
    """Every difference with its unit, then one line that counts; `healed_by` is the plan that was saved."""
    lines: list[str] = []
    for name, style in (*_ORDER, (_REFRESHED, "dim")):
        lines += [
            f"{paint(style, f'{name:<12}')} {terminal(item['unit']):<28} {terminal(item['text'])}{_place(item, paint)}"
            for item in found["drift"]
            if item["class"] == name
        ]
    counted = Counter(item["class"] for item in found["drift"])
    parts = [f"{counted[name]} {name}" for name, _ in _ORDER if counted[name]]
    lines.append(f"{', '.join(parts) or 'no drift'} in {found['units']} units; nothing was changed.")
    if counted["security"] or counted["availability"] or counted["cosmetic"]:
        lines.append(
            f"Next: qnsp-policy {f'approve {terminal(healed_by)}' if healed_by else 'drift --heal-plan fix.plan'}"
        )
    elif counted[_REFRESHED]:
        lines.append("What was renewed by itself is no drift; `qnsp-policy refresh` records it.")
    return "\n".join(lines)


def _place(item: Mapping[str, Any], paint: Paint) -> str:
    place = item.get("place", "")
    return paint("dim", f"  {terminal(place)}") if place else ""


__all__ = ["render_drift"]
