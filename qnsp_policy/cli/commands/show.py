"""`show`: print a saved plan and what its signatures are worth now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qnsp_policy.cli.exits import OK, REFUSED
from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit, paint_of, write_outputs
from qnsp_policy.cli.tree import examples

if TYPE_CHECKING:
    from qnsp_policy.workflows.approve import ShownPlan

EXAMPLES = examples("show change.plan", "show change.plan --out html=change.html", ends="4 apply would refuse it")


def command(
    ctx: typer.Context,
    plan: Annotated[Path, typer.Argument(help="The saved plan.")],
    full: Annotated[bool, typer.Option("--full", help="Show unchanged units, steps and properties too.")] = False,
    out: Annotated[list[str] | None, typer.Option(metavar="KIND=PATH", help="html: its trust as a picture.")] = None,
) -> None:
    """Print a saved plan.

    Exit 4 where apply would refuse it for more than missing approvals.
    """
    from qnsp_policy.pipeline.review.plan_text import render_plan
    from qnsp_policy.workflows.approve import show_plan

    session: Session = ctx.obj
    shown = show_plan(session.directory, plan, now=session.now)

    def text() -> str:
        return "\n".join(
            [render_plan(shown.payload, full=full, paint=paint_of(session)), "", *shown.signature_lines(plan)]
        )

    write_outputs(session, out or [], {"html": lambda: _page(shown)})
    emit(session, shown.to_json(), text)
    session.finish(OK if shown.good else REFUSED)


def _page(shown: ShownPlan) -> str:
    from qnsp_policy.pipeline.review.picture_page import render_plan_page

    return render_plan_page(shown.payload, digest=shown.digest)
