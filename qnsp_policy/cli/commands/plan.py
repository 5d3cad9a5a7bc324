"""`plan`: what would change, infrastructure and trust in one view, saved as one signed file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qnsp_policy.cli.exits import CHANGES, OK, VIOLATIONS, worst
from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit, paint_of, write_outputs
from qnsp_policy.cli.tree import Engine, FailOn, examples

if TYPE_CHECKING:
    from qnsp_policy.workflows.plan import MadePlan

EXAMPLES = examples(
    "plan --save change.plan",
    "plan --target enclave/clinic-enclave --full",
    ends="2 changes (with --detailed-exitcode), 3 findings or weakened trust that block",
)


def command(
    ctx: typer.Context,
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Sign the plan and write it here.")] = None,
    author: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Who writes it; default: the author whose keys are here.")
    ] = None,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 2 where something would change.")
    ] = False,
    target: Annotated[
        list[str] | None, typer.Option(metavar="UNIT", help="Only this unit and what it needs (repeatable).")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="UNIT", help="Not this unit (repeatable).")] = None,
    no_refresh: Annotated[
        bool, typer.Option("--no-refresh", help="Trust the recorded state; the plan says so.")
    ] = False,
    destroy: Annotated[bool, typer.Option("--destroy", help="Plan the end of every unit.")] = False,
    replace: Annotated[
        list[str] | None,
        typer.Option(metavar="UNIT", help="Make this unit anew although nothing asks for it (repeatable)."),
    ] = None,
    destroy_key: Annotated[
        list[str] | None,
        typer.Option(metavar="RESOURCE", help="Let the plan destroy this key or bucket of evidence (repeatable)."),
    ] = None,
    preflight: Annotated[
        bool, typer.Option("--preflight", help="Ask the cloud, read-only, what a preview never asks it.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Show unchanged units, steps and properties too.")] = False,
    fail_on: FailOn = None,
    engine: Engine = "wasm",
    opa_url: Annotated[str | None, typer.Option(metavar="URL", help="Ask this OPA server for the rules.")] = None,
    out: Annotated[list[str] | None, typer.Option(metavar="KIND=PATH", help="html, json, markdown or text.")] = None,
) -> None:
    """What would change: infrastructure and trust in one view."""
    from qnsp_policy.cli.progress import narrator, on_terminal
    from qnsp_policy.pipeline.review.plan_text import render_plan, render_plan_markdown
    from qnsp_policy.workflows.plan import PlanOptions, make
    from qnsp_policy.workflows.progress import nobody

    session: Session = ctx.obj
    options = PlanOptions(
        author=author,
        targets=tuple(target or ()),
        excludes=tuple(exclude or ()),
        refresh=not no_refresh,
        destroy=destroy,
        destroy_keys=tuple(destroy_key or ()),
        replace=tuple(replace or ()),
        fail_on=fail_on,
        engine=engine,
        opa_url=opa_url,
        save=save,
    )
    with narrator(session) as progress:
        passing = progress if on_terminal(session) else nobody
        made = make(session.directory, options, now=session.now, progress=progress, passing=passing)
    paint = paint_of(session)
    asked = _preflight(made.payload) if preflight else []

    def text() -> str:
        lines = [render_plan(made.payload, full=full, paint=paint)]
        if preflight:
            lines.append("Preflight" if asked else "Preflight   no unit is on a cloud that can be asked")
            lines += [f"  {item['verdict']:<8} {item['unit']} {item['check']}: {item['text']}" for item in asked]
        if save is not None:
            lines.append(
                f"Saved {save} (signed by {made.author} as author, expires {made.payload['expiresAt']}).   "
                + _next(made, save)
            )
        elif made.changes:
            lines.append("Not saved.   Next: qnsp-policy plan --save change.plan")
        else:
            lines.append("Nothing to do: the documents, what was applied and what runs agree.")
        return "\n".join(lines)

    write_outputs(
        session,
        out or [],
        {
            "html": lambda: _page(made),
            "json": lambda: _json(made.to_json()),
            "text": lambda: render_plan(made.payload, full=full),
            "markdown": lambda: render_plan_markdown(made.payload),
        },
    )
    refused = any(item["verdict"] != "ok" for item in asked)
    emit(session, made.to_json() | ({"preflight": asked} if preflight else {}), text)
    session.finish(
        worst(VIOLATIONS if made.blocked or refused else OK, CHANGES if detailed_exitcode and made.changes else OK)
    )


def _page(made: MadePlan) -> str:
    from qnsp_policy.pipeline.review.picture_page import render_plan_page

    return render_plan_page(made.payload, digest=made.digest)


def _next(made: MadePlan, saved: Path) -> str:
    if not made.changes:
        return "Nothing to do: it changes nothing."
    return f"Next: qnsp-policy {'approve' if made.payload['approvalsNeeded'] else 'apply'} {saved}"


def _preflight(payload: Mapping[str, Any]) -> list[dict[str, str]]:
    if not any(str(unit["program"]).startswith("aws-") for unit in payload["units"]):
        return []
    from qnsp_policy.errors import OperatorError

    try:
        from qnsp_policy.pipeline.world.aws_preflight_edge import preflight
    except ImportError as error:
        raise OperatorError(
            "QNSP-OPS-120", f"{error.name} is not installed", next_step="pip install 'qnsp-policy[aws]'"
        ) from error
    return [checked.to_json() for checked in preflight(payload["units"], actions=payload["actions"])]


def _json(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, indent=2)
