"""`explain ADDRESS`: the declaration, the defaults that its tier fills in, and what follows from it."""

from __future__ import annotations

from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

EXAMPLES = examples("explain Tenant/clinic", "explain Endpoint/clinic-embeddings")


def command(ctx: typer.Context, address: Annotated[str, typer.Argument(help="Kind/name, a unit or a rule.")]) -> None:
    """Everything that is known of one document, with defaults filled in."""
    from qnsp_policy.workflows.explain import explain

    session: Session = ctx.obj
    found = explain(session.directory, address)
    emit(session, found.to_json(), found.text)
