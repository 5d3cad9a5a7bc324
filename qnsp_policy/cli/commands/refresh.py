"""`refresh`: write what the world says into the recorded state."""

from __future__ import annotations

from typing import Annotated

import typer

from qnsp_policy.cli.exits import OK, PARTIAL
from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

EXAMPLES = examples("refresh --yes", "refresh --yes --format json", ends="5 locked, 6 partly refreshed")


def command(
    ctx: typer.Context, yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False
) -> None:
    """Write what the world says into the recorded state."""
    from qnsp_policy.cli.progress import apply_story
    from qnsp_policy.workflows.state import refresh

    session: Session = ctx.obj
    asked = "Write what the world says into the recorded state?"
    if not yes and not (session.interactive and typer.confirm(asked, err=True)):
        raise typer.BadParameter("refresh writes state; say --yes")
    with apply_story(session) as events:
        done = refresh(session.directory, now=session.now, events=events)

    def text() -> str:
        lines = [f"{unit['unit']:<32} {unit['result']}  {unit['error']}".rstrip() for unit in done["units"]]
        return "\n".join(lines) or "nothing is applied"

    emit(session, done, text)
    session.finish(PARTIAL if done["failed"] else OK)
