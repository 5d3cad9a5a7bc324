"""`tools install|list`: the pinned programs that we run."""

from __future__ import annotations

from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("list", epilog=examples("tools list", "tools list --format json"))
def list_(ctx: typer.Context) -> None:
    """Each pinned program and where it is."""
    from qnsp_policy.workflows.doctor import list_tools

    session: Session = ctx.obj
    found = list_tools()
    emit(
        session,
        found,
        lambda: "\n".join(f"{tool['name']:<8} {tool['version']:<10} {tool['path'] or 'not built'}" for tool in found),
    )


@app.command(epilog=examples("tools install pulumi", "tools install opa"))
def install(
    ctx: typer.Context, name: Annotated[list[str] | None, typer.Argument(help="Default: pulumi and opa.")] = None
) -> None:
    """Build pinned programs into the user cache."""
    from qnsp_policy.workflows.doctor import install_tools

    session: Session = ctx.obj
    found = install_tools(tuple(name or ("pulumi", "opa")), progress=session.note)
    emit(session, found, lambda: "\n".join(f"{tool['name']} {tool['version']}: {tool['path']}" for tool in found))
