"""`validate`: documents against schema and references."""

from __future__ import annotations

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

EXAMPLES = examples("validate", "validate --format json")


def command(ctx: typer.Context) -> None:
    """Hold the documents against schema and references.

    All errors are told at once, each at its place.
    """
    from qnsp_policy.cli.progress import patient
    from qnsp_policy.workflows.validate import validate

    session: Session = ctx.obj
    with patient(session) as progress:
        found = validate(session.directory, progress)
    emit(
        session,
        found.to_json(),
        lambda: f"{found.documents} documents in {found.files} files are valid ({', '.join(found.kinds_text)}).",
    )
