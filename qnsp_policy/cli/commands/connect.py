"""`connect`: a door on this machine for programs that can neither sign requests nor speak hybrid TLS."""

from __future__ import annotations

from typing import Annotated

import typer

from qnsp_policy.cli.exits import INTERRUPTED
from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

EXAMPLES = examples(
    "connect clinic-embeddings --allow-simulated",
    "connect clinic-embeddings --listen 127.0.0.1:8080 --allow-simulated",
)


def command(
    ctx: typer.Context,
    endpoint: Annotated[str, typer.Argument(help="The endpoint's name.")],
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="A loopback address.")] = "127.0.0.1:8080",
    key: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="API key of the tenant; default: the one that is here.")
    ] = None,
    allow_simulated: Annotated[
        bool, typer.Option("--allow-simulated", help="Accept answers from simulated hardware.")
    ] = False,
) -> None:
    """Serve an endpoint on loopback for plain clients such as curl.

    Requests are signed, answers verified before they are handed on; until interrupted.
    """
    from qnsp_policy.workflows.call import connect

    session: Session = ctx.obj

    def listening(url: str) -> None:
        emit(session, {"url": url, "endpoint": endpoint}, lambda: f"{endpoint} answers at {url}; Ctrl-C ends this")

    try:
        connect(
            session.directory, endpoint, listen=listen, key=key, allow_simulated=allow_simulated, listening=listening
        )
    except KeyboardInterrupt:  # how it is meant to end
        session.note("closed")
        session.finish(INTERRUPTED)
