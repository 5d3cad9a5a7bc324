"""`init`: make a workspace from a template, or adopt a cloned one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit, paint_of
from qnsp_policy.cli.tree import examples

EXAMPLES = examples("init --template quickstart lab", "-C lab init --adopt sha256:7d02...")


def command(
    ctx: typer.Context,
    directory: Annotated[Path | None, typer.Argument(help="The folder to make; default: the -C folder.")] = None,
    template: Annotated[
        str, typer.Option(help="Which template to start from; `bare` has no documents.")
    ] = "quickstart",
    adopt: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="Adopt a cloned workspace whose TrustRoot has this digest.")
    ] = None,
) -> None:
    """Make a workspace, or adopt a cloned one."""
    from qnsp_policy.workflows.init import GITIGNORE, adopt_workspace, init_workspace

    session: Session = ctx.obj
    paint = paint_of(session)
    if template == "bare" and adopt is None:
        from qnsp_policy.workflows.init_bare import prepare

        bare = prepare(directory or session.directory, gitignore=GITIGNORE, now=session.now, progress=session.note)
        emit(
            session,
            bare.to_json(),
            lambda: "\n".join([*bare.wrote, f"Next: write documents; Undo: rm -r {bare.directory}"]),
        )
        return
    if adopt is not None:
        made = adopt_workspace(directory or session.directory, digest=adopt, now=session.now)
    else:
        made = init_workspace(directory or session.directory, template=template, now=session.now, progress=session.note)

    # An adopted clone was not made here, so its folder is not what an undo removes.
    here = "" if made.directory == "." else f"-C {made.directory} "
    undo = f"rm -r {made.directory}" if adopt is None else "remove the genesis record from the backend"

    def text() -> str:
        lines = [f"{line}" for line in made.wrote]
        lines += [
            "",
            f"TrustRoot {paint('strong', made.trust_root_digest)}",
            "Keep this digest outside the repository: CI and brokers are told it, and it says who judges the first plan.",
            f"Next: qnsp-policy {here}validate      Undo: {undo}",
        ]
        return "\n".join(lines)

    emit(session, made.to_json(), text)
