"""`import`: put a resource that exists into a unit's recorded state; nothing in the world is changed."""

from __future__ import annotations

from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

EXAMPLES = examples(
    "import platform/cloud role-triage triage",
    "import enclave/triage triage-log /qnsp/prod/triage",
    ends="5 locked",
)


def command(
    ctx: typer.Context,
    unit: Annotated[str, typer.Argument(metavar="UNIT", help="As `state list` names it, e.g. platform/cloud.")],
    name: Annotated[str, typer.Argument(metavar="RESOURCE", help="As the plan names it, e.g. role-triage.")],
    id_: Annotated[str, typer.Argument(metavar="ID", help="As its provider names it: a name, an id or an ARN.")],
) -> None:
    """Record a resource that exists; changes nothing in the world."""
    from qnsp_policy.cli.progress import apply_story
    from qnsp_policy.workflows.state import import_resource

    session: Session = ctx.obj
    with apply_story(session) as events:
        done = import_resource(session.directory, unit, name, id_, now=session.now, events=events)
    emit(session, done, lambda: f"{done['unit']} now holds {done['type']} {done['id']}.\nNext: qnsp-policy plan")
