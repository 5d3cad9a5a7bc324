"""`call`: ask an endpoint and verify its signed answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qnsp_policy.cli.exits import OK, UNPROVEN
from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit, paint_of
from qnsp_policy.cli.tree import examples

EXAMPLES = examples(
    'call clinic-embeddings --input "chest pain" --allow-simulated',
    'call clinic-embeddings --input "chest pain" --save answer.http',
)


def command(
    ctx: typer.Context,
    endpoint: Annotated[str, typer.Argument(help="The endpoint's name.")],
    input_: Annotated[list[str], typer.Option("--input", help="Text to embed or to ask (repeatable).")],
    key: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="API key of the tenant; default: the one that is here.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the answer as it came, for verify-response.")
    ] = None,
    allow_simulated: Annotated[
        bool, typer.Option("--allow-simulated", help="Accept an answer from simulated hardware.")
    ] = False,
) -> None:
    """Ask an endpoint and verify its signed answer."""
    from qnsp_policy.pipeline.review.answer_text import render_verdict
    from qnsp_policy.workflows.call import call

    session: Session = ctx.obj
    done = call(
        session.directory, endpoint, list(input_), key=key, save=save, allow_simulated=allow_simulated, now=session.now
    )

    def text() -> str:
        return "\n".join([*done.summary_lines(), "", render_verdict(done.statements, paint=paint_of(session))])

    emit(session, done.to_json(), text)
    session.finish(OK if done.accepted else UNPROVEN)
