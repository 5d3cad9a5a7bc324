"""The verdict on an answer or on evidence: ok, claimed, simulated, not checked, refused; no word is stretched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qnsp_policy.kernel.attestation.values import Statement, Verdict
from qnsp_policy.pipeline.review.escape import terminal
from qnsp_policy.pipeline.review.style import Paint, Style, plain

_STYLES: Mapping[Verdict, Style] = {
    Verdict.OK: "good",
    Verdict.CLAIMED: "note",
    Verdict.SIMULATED: "warn",
    Verdict.NOT_CHECKED: "dim",
    Verdict.REFUSED: "bad",
}


def render_verdict(statements: Iterable[Statement], *, paint: Paint = plain) -> str:
    """One line a statement: its word, what it is about, what was compared."""
    lines = []
    for statement in statements:
        word = paint(_STYLES[statement.verdict], f"{statement.verdict.value:<12}")
        code = f"   {statement.code}" if statement.code else ""
        lines.append(f"{word} {terminal(statement.name)}: {terminal(statement.detail)}{code}")
    return "\n".join(lines)


def statements_json(statements: Iterable[Statement]) -> list[dict[str, str]]:
    """The JSON twin."""
    return [
        {"name": s.name, "verdict": s.verdict.value, "detail": s.detail} | ({"code": s.code} if s.code else {})
        for s in statements
    ]


__all__ = ["render_verdict", "statements_json"]
