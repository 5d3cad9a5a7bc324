"""`approve`: sign a saved plan as approver, after reading it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit, fitted, paint_of
from qnsp_policy.cli.tree import examples

EXAMPLES = examples("approve change.plan --as bob", "approve change.plan --as bob --yes")


def command(
    ctx: typer.Context,
    plan: Annotated[Path, typer.Argument(help="The saved plan; your signature is added to it.")],
    approver: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Who approves; default: the approver whose keys are here."),
    ] = None,
    ssh_key: Annotated[
        Path | None, typer.Option(help="Sign with this SSH key (its .pub; sk keys too) instead.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Sign a saved plan as approver."""
    from qnsp_policy.pipeline.review.plan_text import render_plan
    from qnsp_policy.workflows.approve import approve, show_plan

    session: Session = ctx.obj
    if not yes:
        if not session.interactive:
            raise typer.BadParameter(
                "approve asks before it signs, and there is nobody to ask here; read the plan with `show`, then add --yes"
            )
        shown = show_plan(session.directory, plan, now=session.now)
        session.say(fitted(session, render_plan(shown.payload, paint=paint_of(session))))
        if not typer.confirm("Approve this plan?", err=True):
            session.finish(1)
    done = approve(session.directory, plan, approver=approver, ssh_key=ssh_key, now=session.now)

    def text() -> str:
        lines = [f"{done.approver} approved {plan}."]
        lines += [f"  still needed: {need}" for need in done.missing]
        if not done.missing:
            lines.append(f"Next: qnsp-policy apply {plan}")
        return "\n".join(lines)

    emit(session, done.to_json(), text)
