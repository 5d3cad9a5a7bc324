"""`attest inspect|verify|ask`: evidence, looked into and verified offline; and what a member may obtain, tried out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from qnsp_policy.cli.exits import OK, UNPROVEN
from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit, paint_of
from qnsp_policy.cli.tree import examples

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command(epilog=examples("attest inspect report.bin", "attest inspect report.bin --format json"))
def inspect(
    ctx: typer.Context, evidence: Annotated[Path, typer.Argument(help="A report or quote as it came.")]
) -> None:
    """What evidence says, unverified."""
    from qnsp_policy.workflows.attest import inspect_evidence

    session: Session = ctx.obj
    found = inspect_evidence(evidence)
    emit(session, found, lambda: json.dumps(found, ensure_ascii=False, indent=2))


@app.command(
    epilog=examples("attest verify report.bin --endorsements certs.bin", "attest verify report.bin --format json")
)
def verify(
    ctx: typer.Context,
    evidence: Annotated[Path, typer.Argument(help="A report or quote as it came.")],
    endorsements: Annotated[Path | None, typer.Option(help="Certificates that came with it.")] = None,
    allow_simulated: Annotated[
        bool, typer.Option("--allow-simulated", help="Use the workspace's simulated anchors too.")
    ] = False,
) -> None:
    """Verify evidence offline against the vendors' roots."""
    from qnsp_policy.pipeline.review.answer_text import render_verdict
    from qnsp_policy.workflows.attest import verify_evidence

    session: Session = ctx.obj
    found = verify_evidence(session.directory, evidence, endorsements, allow_simulated=allow_simulated, now=session.now)
    emit(session, found.to_json(), lambda: render_verdict(found.statements, paint=paint_of(session)))
    session.finish(OK if found.accepted else UNPROVEN)


@app.command(
    epilog=examples(
        "attest ask clinic/model/minilm --enclave research-enclave",
        "attest ask research/data/notes --enclave research-enclave",
    )
)
def ask(
    ctx: typer.Context,
    resource: Annotated[str, typer.Argument(help="tenant/type/name")],
    enclave: Annotated[str, typer.Option(help="Whose evidence is shown to the broker.")],
) -> None:
    """Ask the broker for a key as a member of an enclave would, and say what it answered; the key is thrown away."""
    from qnsp_policy.workflows.attest import ask_broker

    session: Session = ctx.obj
    found = ask_broker(session.directory, resource, enclave, now=session.now)
    emit(session, found, lambda: "\n".join(found["lines"]))
    session.finish(OK if found["released"] else UNPROVEN)
