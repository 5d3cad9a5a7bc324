"""`state list|show`: what was applied, unit by unit."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("list", epilog=examples("state list", "state list --format json"))
def list_(ctx: typer.Context) -> None:
    """Every unit that is applied."""
    from qnsp_policy.workflows.state import state_list

    session: Session = ctx.obj
    found = state_list(session.directory)

    def text() -> str:
        lines = [
            f"{unit['id']:<32} {unit['appliedAt'] or '':<22} plan {unit['planDigest'][7:15]}" for unit in found["units"]
        ]
        return "\n".join(
            [*lines, f"{len(found['units'])} units, serial {found['serial']}, TrustRoot {found['trustRootDigest']}"]
        )

    emit(session, found, text)


@app.command(epilog=examples("state show broker/main", "state show enclave/clinic-enclave --format json"))
def show(ctx: typer.Context, unit: Annotated[str, typer.Argument(help="The unit's id.")]) -> None:
    """One unit as it was last applied."""
    from qnsp_policy.workflows.state import state_show

    session: Session = ctx.obj
    found = state_show(session.directory, unit)
    emit(session, found, lambda: json.dumps(found, ensure_ascii=False, indent=2), exact=True)
