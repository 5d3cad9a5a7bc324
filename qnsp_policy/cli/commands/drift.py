"""`drift`: the running world against what was applied; reads only, holds no lock."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from qnsp_policy.cli.exits import CHANGES, OK
from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit, paint_of
from qnsp_policy.cli.tree import examples, one_of

EXAMPLES = examples("drift", "drift --fail-on security --heal-plan fix.plan", ends="2 drift")


def command(
    ctx: typer.Context,
    ignore: Annotated[list[str] | None, typer.Option(metavar="UNIT", help="Leave this unit out (repeatable).")] = None,
    fail_on: Annotated[
        str,
        typer.Option(metavar="any|security", help="What makes the exit code 2.", **one_of(("any", "security"))),
    ] = "any",
    heal_plan: Annotated[Path | None, typer.Option(metavar="FILE", help="Save a plan that puts it right.")] = None,
) -> None:
    """Compare the running world with what was applied.

    Reads only: nothing is changed, no lock is taken.
    """
    from qnsp_policy.pipeline.review.drift_text import render_drift
    from qnsp_policy.workflows.drift import drift

    session: Session = ctx.obj
    found = drift(session.directory, ignore=tuple(ignore or ()), now=session.now)
    healed_by = ""
    if heal_plan is not None and found["drifted"]:
        from qnsp_policy.workflows.plan import PlanOptions, make

        make(session.directory, PlanOptions(save=heal_plan), now=session.now, progress=session.note)
        healed_by = shlex.quote(str(heal_plan))
        session.note(f"saved {heal_plan}")
    emit(session, found, lambda: render_drift(found, paint=paint_of(session), healed_by=healed_by))
    classes = {item["class"] for item in found["drift"]} - {"refreshed"}
    counted = classes if fail_on == "any" else classes & {"security", "unknown"}
    session.finish(CHANGES if counted else OK)
