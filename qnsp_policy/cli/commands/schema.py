"""`schema export`: the JSON Schema of the documents, for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import deliver
from qnsp_policy.cli.tree import examples

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """The JSON Schema of the documents, for editors."""


@app.command(epilog=examples("schema export", "schema export --out qnsp.schema.json"))
def export(
    ctx: typer.Context,
    out: Annotated[Path | None, typer.Option(help="Write it here instead of printing it.")] = None,
) -> None:
    """Print the schema (draft-07)."""
    from qnsp_policy.pipeline.model.schema import json_schema

    session: Session = ctx.obj
    deliver(session, json_schema(), out, note=f"name it in a file's first line: # yaml-language-server: $schema={out}")
