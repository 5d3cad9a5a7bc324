"""`explain ADDRESS|RULE`: a declaration with the defaults filled in and what follows from it, or a rule's page."""

from __future__ import annotations

from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

EXAMPLES = examples("explain Endpoint/clinic-embeddings", "explain crypto/signature-below-tier")


def command(
    ctx: typer.Context,
    address: Annotated[str, typer.Argument(help="Kind/name of a document, or category/name of a rule.")],
) -> None:
    """All that is known of a document, or the page of a rule.

    Defaults are filled in and named; what follows for keys stands below.
    """
    from qnsp_policy.workflows.explain import explain

    session: Session = ctx.obj
    if address[:1].islower():  # kinds begin with a capital, categories of rules do not
        from qnsp_policy.workflows.rules import explain_rule

        rule = explain_rule(session.directory, address)
        emit(session, rule, lambda: str(rule["page"]), exact=True)
        return
    found = explain(session.directory, address)
    emit(session, found.to_json(), found.text)
