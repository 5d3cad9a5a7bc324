"""`check`: documents against rules; the command of a pull request."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from qnsp_policy.cli.exits import OK, VIOLATIONS
from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit, paint_of, write_outputs
from qnsp_policy.cli.tree import Engine, FailOn, examples

EXAMPLES = examples(
    "check", "check --base HEAD~1 --fail-on medium --out sarif=findings.sarif", ends="3 findings that block"
)


def command(
    ctx: typer.Context,
    fail_on: FailOn = None,
    engine: Engine = "wasm",
    opa_url: Annotated[str | None, typer.Option(metavar="URL", help="Ask this OPA server instead.")] = None,
    base: Annotated[
        str | None, typer.Option(metavar="REF", help="Folder or git revision to compare with: new findings first.")
    ] = None,
    baseline: Annotated[Path | None, typer.Option(help="File of findings that are known; it may only shrink.")] = None,
    show_waived: Annotated[bool, typer.Option("--show-waived", help="Show waived findings too.")] = False,
    out: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND=PATH", help="json, sarif, sarif-github, junit, gitlab, markdown, annotations."),
    ] = None,
) -> None:
    """Hold the documents against the rules."""
    from qnsp_policy import __version__
    from qnsp_policy.cli.progress import patient
    from qnsp_policy.pipeline.review import ci, findings_text, sarif
    from qnsp_policy.workflows.check import check

    session: Session = ctx.obj
    started = time.perf_counter()
    with patient(session) as progress:
        checked = check(
            session.directory,
            now=session.now,
            engine=engine,
            opa_url=opa_url,
            base=base,
            baseline=baseline,
            fail_on=fail_on,
            progress=progress,
        )
    seconds = time.perf_counter() - started
    code = VIOLATIONS if checked.blocking else OK
    report = checked.report
    paint = paint_of(session)

    def twin() -> dict[str, Any]:
        return {**findings_text.report_json(report, fail_on=checked.fail_on, exit_code=code), **checked.to_json()}

    def text() -> str:
        text = findings_text.render_report(report, seconds=seconds, show_waived=show_waived, paint=paint)
        notes = checked.notes()
        return "\n".join([text, *notes]) if notes else text

    write_outputs(
        session,
        out or [],
        {
            "json": lambda: _json(twin()),
            "sarif": lambda: sarif.render_sarif(report, version=__version__),
            "sarif-github": lambda: sarif.render_sarif(report, version=__version__, profile="github"),
            "junit": lambda: ci.render_junit(report),
            "gitlab": lambda: ci.render_gitlab(report),
            "markdown": lambda: ci.render_markdown(report, diff=checked.trust_diff, new=checked.new),
            "annotations": lambda: ci.render_annotations(report),
        },
    )
    emit(session, None if session.text else twin(), text)
    session.finish(code)


def _json(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, indent=2)
