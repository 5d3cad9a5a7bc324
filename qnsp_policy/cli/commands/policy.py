"""`policy list|explain|test`: the rules themselves."""

from __future__ import annotations

from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit, paint_of
from qnsp_policy.cli.tree import examples

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("list", epilog=examples("policy list", "policy list --format json"))
def list_(ctx: typer.Context) -> None:
    """Every rule of this workspace with its severity and title."""
    from qnsp_policy.workflows.rules import list_rules

    session: Session = ctx.obj
    rules = list_rules(session.directory)
    paint = paint_of(session)
    width = max((len(rule["id"]) for rule in rules), default=0)

    def text() -> str:
        lines = [f"{rule['severity']:<8}  {rule['id']:<{width}}  {paint('dim', rule['title'])}" for rule in rules]
        return "\n".join([*lines, "", f"{len(rules)} rules.  Next: qnsp-policy policy explain RULE"])

    emit(session, rules, text)


@app.command(epilog=examples("policy explain crypto/signature-below-tier", "policy explain tenancy/cross-tenant-grant"))
def explain(ctx: typer.Context, rule: Annotated[str, typer.Argument(help="The rule's id.")]) -> None:
    """What a rule asks for, why, and how to put a finding right."""
    from qnsp_policy.workflows.rules import explain_rule

    session: Session = ctx.obj
    found = explain_rule(session.directory, rule)
    emit(session, found, lambda: str(found["page"]), exact=True)


@app.command("test", epilog=examples("policy test", "policy test --coverage --threshold 90"))
def run_tests(
    ctx: typer.Context,
    coverage: Annotated[bool, typer.Option("--coverage", help="Show how much of the rules the tests reach.")] = False,
    threshold: Annotated[float, typer.Option(help="Least coverage in percent; below it the run fails.")] = 0.0,
    run: Annotated[str, typer.Option(metavar="REGEX", help="Only tests whose name matches.")] = "",
) -> None:
    """Run the rules' own tests with the real opa."""
    from qnsp_policy.workflows.rules import run_rule_tests

    session: Session = ctx.obj
    result = run_rule_tests(session.directory, coverage=coverage, threshold=threshold, run=run, progress=session.note)
    emit(session, result, lambda: str(result["output"]), exact=True)
    session.finish(0 if result["passed"] else 1)
