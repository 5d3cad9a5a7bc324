"""`doctor`: what is found on this machine and what is missing."""

from __future__ import annotations

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit, paint_of
from qnsp_policy.cli.tree import examples

EXAMPLES = examples("doctor", "doctor --format json")


def command(ctx: typer.Context) -> None:
    """What is found on this machine and what is missing."""
    from qnsp_policy.workflows.doctor import examine

    session: Session = ctx.obj
    found = examine(session.directory)
    paint = paint_of(session)

    def text() -> str:
        lines = []
        for item in found:
            word = paint("good", "ok     ") if item["ok"] else paint("warn", "missing")
            lines.append(f"{word}  {item['name']:<18} {item['detail']}")
            if item.get("next"):
                lines.append(f"         {'':<18} next: {item['next']}")
        return "\n".join(lines)

    emit(session, found, text)
    session.finish(0 if all(item["ok"] or not item["required"] for item in found) else 1)
