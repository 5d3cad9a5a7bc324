"""`trust show|diff`: who may get which key, and what a change does to it. Needs documents only, no credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qnsp_policy.cli.exits import OK, VIOLATIONS
from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import deliver, emit, paint_of
from qnsp_policy.cli.tree import examples, one_of

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command(epilog=examples("trust show", "trust show --tenant clinic"))
def show(
    ctx: typer.Context,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's keys.")] = None,
    enclave: Annotated[str | None, typer.Option(help="Only what this enclave may obtain.")] = None,
) -> None:
    """Who may get which key under which evidence."""
    from qnsp_policy.pipeline.review.trust_text import render_grants, render_homes
    from qnsp_policy.workflows.trust import trust_show

    session: Session = ctx.obj
    shown = trust_show(session.directory, tenant=tenant, enclave=enclave)

    def text() -> str:
        paint = paint_of(session)
        homes = [render_homes(shown.brokers, paint=paint), ""] if shown.brokers else []
        return "\n".join([render_grants(shown.grants, paint=paint), "", *homes, *shown.statements])

    emit(session, shown.to_json(), text)


@app.command(
    epilog=examples(
        "trust diff HEAD~1", "trust diff ../before . --fail-on weaken", ends="3 weakened (with --fail-on weaken)"
    )
)
def diff(
    ctx: typer.Context,
    base: Annotated[str, typer.Argument(help="Folder or git revision.")],
    head: Annotated[str | None, typer.Argument(help="Folder or git revision; default: the workspace as it is.")] = None,
    fail_on: Annotated[
        str | None, typer.Option(metavar="weaken", help="Exit 3 where trust is weakened.", **one_of(("weaken",)))
    ] = None,
) -> None:
    """What a change does to who may get which key."""
    from qnsp_policy.pipeline.review.trust_text import headline, render_trust_diff
    from qnsp_policy.workflows.trust import trust_diff_of

    session: Session = ctx.obj
    found = trust_diff_of(session.directory, base, head)

    def text() -> str:
        return f"{headline(found)}.\n\nTrust\n{render_trust_diff(found, paint=paint_of(session))}"

    emit(session, found, text)
    weakened = any(change["weakens"] for change in found["changes"])
    session.finish(VIOLATIONS if fail_on and weakened else OK)


@app.command(epilog=examples("trust export clinic-embeddings", "trust export clinic-embeddings --out trust.json"))
def export(
    ctx: typer.Context,
    endpoint: Annotated[str, typer.Argument(help="The endpoint's name.")],
    out: Annotated[Path | None, typer.Option(help="Write it here instead of printing it.")] = None,
) -> None:
    """What a caller of an endpoint relies on, as trust.json.

    For `verify-response --trust`.
    """
    from qnsp_policy.workflows.call import export_trust

    session: Session = ctx.obj
    deliver(session, export_trust(session.directory, endpoint), out)


@app.command(epilog=examples("trust root", "trust root --format json"))
def root(ctx: typer.Context) -> None:
    """The TrustRoot of the documents and its digest.

    Recognise it, keep the digest outside, then `init --adopt` it.
    """
    from qnsp_policy.workflows.init_bare import trust_root

    session: Session = ctx.obj
    found = trust_root(session.directory)

    def text() -> str:
        width = max((len(one["name"]) for one in found["identities"]), default=0)
        lines = [
            f"  {one['name']:{width}}  {', '.join(one['roles'])}   ({', '.join(one['signers'])})"
            for one in found["identities"]
        ]
        return "\n".join([f"TrustRoot version {found['version']}", *lines, "", f"digest  {found['digest']}"])

    emit(session, found, text)
