"""`graph`: units and grants as a drawing: a page to look at, or text for Mermaid and Graphviz."""

from __future__ import annotations

from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

EXAMPLES = examples("graph", "graph --html > trust.html")


def command(
    ctx: typer.Context,
    dot: Annotated[bool, typer.Option("--dot", help="Graphviz instead of Mermaid.")] = False,
    html: Annotated[bool, typer.Option("--html", help="A page with a picture, for a browser.")] = False,
) -> None:
    """The units and grants as a drawing."""
    if html and ctx.obj.text:
        from qnsp_policy.pipeline.review.picture_page import render_trust_page
        from qnsp_policy.workflows.explain import picture_of_workspace

        found: Session = ctx.obj
        picture, statements = picture_of_workspace(found.directory)
        found.say(render_trust_page(picture, statements))
        return
    from qnsp_policy.pipeline.review.graph import render_dot, render_mermaid
    from qnsp_policy.workflows.explain import graph_of

    session: Session = ctx.obj
    graph = graph_of(session.directory)
    emit(session, graph.to_json(), lambda: render_dot(graph) if dot else render_mermaid(graph), exact=True)
