"""`tools install|list`: the programs that we run but did not write."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("list", epilog=examples("tools list", "tools list --format json"))
def list_(ctx: typer.Context) -> None:
    """Each program that we run: version, place, digest, end of support."""
    from qnsp_policy.workflows.tools import list_tools

    session: Session = ctx.obj
    found = list_tools()
    emit(session, found, lambda: "\n".join(_line(tool) for tool in found))


def _line(tool: dict[str, Any]) -> str:
    digest = f"   {tool['digest'][:19]}" if tool["digest"] else ""
    support = f"   support ended {tool['supportEnded']}" if tool["supportEnded"] else ""
    place = tool["path"] or "not installed"
    return f"{tool['name']:<11} {tool['version'] or '-':<9} {place}{digest}{support}"


@app.command(epilog=examples("tools install pulumi", "tools install nvidia-sdk"))
def install(
    ctx: typer.Context,
    name: Annotated[
        list[str] | None,
        typer.Argument(help="pulumi, opa, caddy, tofu, nvidia-sdk; pulumi and opa if none is named."),
    ] = None,
) -> None:
    """Put pinned programs into the user cache.

    Built from source, or installed with hashes.
    """
    from qnsp_policy.workflows.tools import install_tools

    session: Session = ctx.obj
    found = install_tools(tuple(name or ("pulumi", "opa")), progress=session.note)
    emit(session, found, lambda: "\n".join(f"{tool['name']} {tool['version']}: {tool['path']}" for tool in found))
    if any(tool["name"] == "nvidia-sdk" for tool in found):
        from qnsp_policy.workflows.tools import SUPPORT_NOTE

        session.note(SUPPORT_NOTE)
