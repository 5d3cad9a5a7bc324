"""`refresh`: write what the world says into the recorded state."""

from __future__ import annotations

from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

EXAMPLES = examples("refresh --yes", "refresh --yes --format json")


def command(
    ctx: typer.Context, yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False
) -> None:
    """Write what the world says into the recorded state."""
    from qnsp_policy.workflows.state import refresh

    session: Session = ctx.obj
    if not yes and not (
        session.interactive and typer.confirm("Write what the world says into the recorded state?", err=True)
    ):
        raise typer.BadParameter("refresh writes state; say --yes")
    done = refresh(session.directory, now=session.now)
    emit(
        session,
        done,
        lambda: "\n".join(f"{unit['unit']:<32} {unit['result']}" for unit in done["units"]) or "nothing is applied",
    )
