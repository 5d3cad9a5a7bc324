"""`verify-response`: a saved answer, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qnsp_policy.cli.exits import OK, UNPROVEN
from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit, paint_of
from qnsp_policy.cli.tree import examples

EXAMPLES = examples(
    "verify-response answer.http --allow-simulated",
    "verify-response answer.http --trust trust.json",
    ends="7 answer refused",
)


def command(
    ctx: typer.Context,
    answer: Annotated[Path, typer.Argument(help="What `call --save` or `curl -i` wrote.")],
    trust: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What you trust; default: this workspace's documents.")
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The endpoint's evidence document, for what `curl -i` wrote."),
    ] = None,
    allow_simulated: Annotated[
        bool, typer.Option("--allow-simulated", help="Accept an answer from simulated hardware.")
    ] = False,
) -> None:
    """Verify a saved answer offline."""
    from qnsp_policy.pipeline.review.answer_text import render_verdict
    from qnsp_policy.workflows.call import verify_response

    session: Session = ctx.obj
    found = verify_response(
        session.directory, answer, trust=trust, evidence=evidence, allow_simulated=allow_simulated, now=session.now
    )
    emit(session, found.to_json(), lambda: render_verdict(found.statements, paint=paint_of(session)))
    session.finish(OK if found.accepted else UNPROVEN)
