"""`state list|show|export|import`: what was applied, unit by unit; and its backup."""

from __future__ import annotations

import json
from pathlib import Path
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


@app.command("export", epilog=examples("state export backup.json", "-C lab state export lab.json --format json"))
def export(
    ctx: typer.Context, file: Annotated[Path, typer.Argument(help="Where to write it (0600).", dir_okay=False)]
) -> None:
    """Back up the whole state into one file; secrets stay encrypted."""
    from qnsp_policy.workflows.state import state_export

    session: Session = ctx.obj
    made = state_export(session.directory, file, now=session.now)
    note = (
        f"Wrote {file}: {made['units']} units, serial {made['serial']}. Keep .qnsp/passphrase apart: it is not in it."
    )
    emit(session, made, lambda: note)


@app.command("import", epilog=examples("state import backup.json", "state import backup.json --force"))
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="An exported state.", exists=True, dir_okay=False)],
    force: Annotated[bool, typer.Option("--force", help="Also where the backend holds a newer state.")] = False,
) -> None:
    """Restore an exported state, also into another backend."""
    from qnsp_policy.workflows.state import state_import

    session: Session = ctx.obj
    found = state_import(session.directory, file, force=force, now=session.now)
    text = f"Restored serial {found['serial']} ({found['entries']} entries).   Next: qnsp-policy plan"
    emit(session, found, lambda: text)
