"""`graph`: units and grants as a drawing, in dot or mermaid."""

from __future__ import annotations

from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

EXAMPLES = examples("graph", "graph --dot | dot -Tsvg > trust.svg")


def command(
    ctx: typer.Context,
    dot: Annotated[bool, typer.Option("--dot", help="Graphviz instead of Mermaid.")] = False,
) -> None:
    """The units and grants as a drawing."""
    from qnsp_policy.pipeline.review.graph import render_dot, render_mermaid
    from qnsp_policy.workflows.explain import graph_of

    session: Session = ctx.obj
    graph = graph_of(session.directory)
    emit(session, graph.to_json(), lambda: render_dot(graph) if dot else render_mermaid(graph), exact=True)
