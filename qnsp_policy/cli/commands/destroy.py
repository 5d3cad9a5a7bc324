"""`destroy`: the end of every unit, by a plan like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit, paint_of
from qnsp_policy.cli.tree import examples

EXAMPLES = examples(
    "destroy --approve-as bob", "destroy --save end.plan", ends="4 plan refused, 5 locked, 6 partly destroyed"
)


def command(
    ctx: typer.Context,
    save: Annotated[Path, typer.Option(metavar="FILE", help="Where the plan is written.")] = Path("destroy.plan"),
    author: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who writes the plan.")] = None,
    destroy_key: Annotated[
        list[str] | None,
        typer.Option(metavar="RESOURCE", help="Let the plan destroy this key or bucket of evidence (repeatable)."),
    ] = None,
    approve_as: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Approve at once with keys that are here (repeatable), then apply."),
    ] = None,
) -> None:
    """Plan, sign and apply the end of every unit."""
    from qnsp_policy.cli.progress import apply_story, narrator
    from qnsp_policy.pipeline.model.workspace_edge import load
    from qnsp_policy.pipeline.review.plan_text import render_plan
    from qnsp_policy.workflows.apply import ApplyOptions, apply_plan
    from qnsp_policy.workflows.approve import approve
    from qnsp_policy.workflows.journal import settle
    from qnsp_policy.workflows.plan import PlanOptions, make

    session: Session = ctx.obj
    with narrator(session) as progress:
        options = PlanOptions(author=author, destroy=True, destroy_keys=tuple(destroy_key or ()), save=save)
        made = make(session.directory, options, now=session.now, progress=progress)
    if session.text:
        session.say(render_plan(made.payload, paint=paint_of(session)))
    if not made.changes:
        settle(session.directory, load(session.directory), now=session.now)
        emit(session, made.to_json(), lambda: "Nothing is applied; there is nothing to destroy.")
        session.finish(0)
    if not approve_as:
        emit(session, made.to_json(), lambda: f"Saved {save}.   Next: qnsp-policy approve {save}, then apply {save}")
        session.finish(0)
    for name in approve_as:
        approve(session.directory, save, approver=name, ssh_key=None, now=session.now)
    with apply_story(session) as events:
        done = apply_plan(session.directory, save, ApplyOptions(), now=session.now, events=events)
    emit(session, done.to_json(), lambda: "\n".join(done.lines()))
    session.finish(done.exit_code)
