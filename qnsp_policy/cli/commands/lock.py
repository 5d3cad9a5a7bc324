"""`lock list|release`: who holds the workspace."""

from __future__ import annotations

from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("list", epilog=examples("lock list", "lock list --format json"))
def list_(ctx: typer.Context) -> None:
    """Who holds the workspace, since when, until when."""
    from qnsp_policy.workflows.state import lock_list

    session: Session = ctx.obj
    found = lock_list(session.directory, now=session.now)

    def text() -> str:
        lines = [
            f"{lock['holder']}   {lock['purpose']}   since {lock['since']}   until {lock['until']}   {lock['state']}"
            for lock in found
        ]
        if any(lock["state"] != "held" for lock in found):
            lines.append("Its owner is gone; the next apply takes it over by itself.   Or: qnsp-policy lock release")
        return "\n".join(lines) or "nobody holds it"

    emit(session, found, text)


@app.command(epilog=examples("lock release", "lock release --force"))
def release(
    ctx: typer.Context,
    force: Annotated[
        bool, typer.Option("--force", help="Even from an owner that is at work; ends its engine.")
    ] = False,
) -> None:
    """Free a lock that somebody left behind; the ledger says so."""
    from qnsp_policy.workflows.state import lock_release

    session: Session = ctx.obj
    released = lock_release(session.directory, force=force, now=session.now)
    emit(session, released, lambda: str(released["text"]))
