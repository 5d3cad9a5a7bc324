"""`fmt`: one layout for documents; comments and order stay."""

from __future__ import annotations

from typing import Annotated

import typer

from qnsp_policy.cli.exits import OK, VIOLATIONS
from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

EXAMPLES = examples("fmt", "fmt --check --diff", ends="3 a file would change (with --check)")


def command(
    ctx: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 3 if a file would change.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what changes.")] = False,
) -> None:
    """Bring the documents into their one layout."""
    from qnsp_policy.workflows.fmt import format_folder

    session: Session = ctx.obj
    changes = format_folder(session.directory, write=not check)

    def text() -> str:
        lines = [change.diff if diff else f"{'would change' if check else 'wrote'} {change.file}" for change in changes]
        return "\n".join(lines) or "nothing to change"

    emit(session, {"changed": [change.to_json() for change in changes], "written": not check}, text)
    session.finish(VIOLATIONS if check and changes else OK)
