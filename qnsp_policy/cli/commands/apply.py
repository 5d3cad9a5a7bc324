"""`apply`: do what a signed and approved plan says, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

EXAMPLES = examples(
    "apply change.plan",
    "apply change.plan --format ndjson",
    ends="4 plan refused, 5 locked, 6 partly applied (state is saved)",
)


def command(
    ctx: typer.Context,
    plan: Annotated[Path, typer.Argument(help="The signed and approved plan.")],
    operator: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Whose keys speak to the broker; default: the operator's."),
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, max=8, help="Units at the same time.")] = 4,
    lock_timeout: Annotated[int, typer.Option(min=0, metavar="SECONDS", help="How long to wait for the lock.")] = 0,
) -> None:
    """Do what a signed and approved plan says, nothing else."""
    from qnsp_policy.cli.progress import apply_story
    from qnsp_policy.workflows.apply import ApplyOptions, apply_plan

    session: Session = ctx.obj
    options = ApplyOptions(operator=operator, parallel=parallel, lock_timeout=lock_timeout)
    with apply_story(session) as events:
        done = apply_plan(session.directory, plan, options, now=session.now, events=events)
    emit(session, done.to_json(), lambda: "\n".join(done.lines()))
    session.finish(done.exit_code)
