"""`show`: print a saved plan and what its signatures are worth now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qnsp_policy.cli.exits import OK, REFUSED
from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit, paint_of
from qnsp_policy.cli.tree import examples

EXAMPLES = examples("show change.plan", "show change.plan --format json")


def command(
    ctx: typer.Context,
    plan: Annotated[Path, typer.Argument(help="The saved plan.")],
    full: Annotated[bool, typer.Option("--full", help="Show unchanged units, steps and properties too.")] = False,
) -> None:
    """Print a saved plan; exit 4 where apply would refuse it for more than missing approvals."""
    from qnsp_policy.pipeline.review.plan_text import render_plan
    from qnsp_policy.workflows.approve import show_plan

    session: Session = ctx.obj
    shown = show_plan(session.directory, plan, now=session.now)

    def text() -> str:
        return "\n".join(
            [render_plan(shown.payload, full=full, paint=paint_of(session)), "", *shown.signature_lines(plan)]
        )

    emit(session, shown.to_json(), text)
    session.finish(OK if shown.good else REFUSED)
