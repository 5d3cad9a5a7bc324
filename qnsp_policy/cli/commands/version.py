"""`version`: versions of the program, the engine and the rules."""

from __future__ import annotations

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

EXAMPLES = examples("version", "version --format json")


def command(ctx: typer.Context) -> None:
    """Versions of the program, the engine and the rules."""
    from qnsp_policy.workflows.doctor import versions

    session: Session = ctx.obj
    found = versions()
    width = max(len(name) for name in found)
    emit(session, found, lambda: "\n".join(f"{name:<{width}}  {value}" for name, value in found.items()))
