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
        return (
            "\n".join(
                f"{lock['holder']}   since {lock['since']}   until {lock['until']}   {lock['state']}" for lock in found
            )
            or "nobody holds it"
        )

    emit(session, found, text)


@app.command(epilog=examples("lock release --yes", "lock release --yes --format json"))
def release(ctx: typer.Context, yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False) -> None:
    """Take the lock from whoever holds it: fences it and records the takeover."""
    from qnsp_policy.workflows.state import lock_release

    session: Session = ctx.obj
    if not yes and not (session.interactive and typer.confirm("Take the lock from its holder?", err=True)):
        raise typer.BadParameter("releasing somebody's lock needs --yes")
    released = lock_release(session.directory, now=session.now)
    emit(session, released, lambda: str(released["text"]))
