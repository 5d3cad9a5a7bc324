"""`attest collateral fetch|bundle|status`: what verification needs, fetched, carried, and watched for its end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from qnsp_policy.cli.evidence import Kind, named
from qnsp_policy.cli.exits import CHANGES, OK
from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit, paint_of
from qnsp_policy.cli.tree import examples

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command(
    epilog=examples(
        "attest collateral fetch report.bin --out collateral/",
        "attest collateral fetch quote.bin --endpoint intel-pcs=https://pccs.example:8081",
    )
)
def fetch(
    ctx: typer.Context,
    evidence: Annotated[list[Path], typer.Argument(help="Evidence, one file or several.")],
    kind: Kind = "auto",
    endorsement: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="What came along: vcek, device-chain...; repeatable.")
    ] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option(metavar="NAME=URL", help="Instead of a vendor's address; repeatable.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the collateral.")] = Path("collateral"),
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask again even for what still holds.")] = False,
) -> None:
    """Fetch the collateral that evidence needs.

    The only attest command that uses the network.
    """
    from qnsp_policy.workflows.attest_collateral import fetch_collateral

    session: Session = ctx.obj
    endpoints = dict(_pair(item) for item in endpoint or ())
    along = dict(named(item) for item in endorsement or ())
    found = fetch_collateral(evidence, kind, along, endpoints, out, refresh=refresh, now=session.now)
    emit(session, found, lambda: _windows(found, session))
    session.note(f"wrote {len(found['files'])} files to {out}")


def _pair(item: str) -> tuple[str, str]:
    name, equals, url = item.partition("=")
    if not (name and equals and url):
        raise typer.BadParameter(f"--endpoint {item!r}: give NAME=URL, e.g. amd-kds=https://kds.example")
    return name, url


@app.command(
    epilog=examples(
        "attest collateral bundle collateral/ --out bundle.tar",
        "attest collateral bundle bundle.tar --unpack collateral/",
    )
)
def bundle(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(help="Folder of collateral, or a bundle with --unpack.")],
    out: Annotated[Path, typer.Option(help="The bundle to write.")] = Path("collateral.tar"),
    unpack: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Lay the bundle out in this folder instead.")
    ] = None,
) -> None:
    """Pack a folder for an air gap, or lay one out.

    With a manifest and digests, which are held when it is laid out.
    """
    from qnsp_policy.workflows.attest_collateral import pack_bundle, unpack_bundle

    session: Session = ctx.obj
    found = unpack_bundle(source, unpack) if unpack else pack_bundle(source, out, now=session.now)
    emit(session, found, lambda: _windows(found, session))
    session.note(f"wrote {unpack or out}")


@app.command(
    epilog=examples(
        "attest collateral status collateral/",
        "attest collateral status collateral/ --format json",
        ends="2 one has ended or cannot be read",
    )
)
def status(ctx: typer.Context, folder: Annotated[Path, typer.Argument(help="Folder of collateral.")]) -> None:
    """When each file of collateral ends."""
    from qnsp_policy.workflows.attest_collateral import collateral_status

    session: Session = ctx.obj
    found = collateral_status(folder, now=session.now)
    emit(session, found, lambda: _windows(found, session))
    bad = any(one.get("state") in {"expired", "not yet valid"} or one["what"] == "unreadable" for one in found["files"])
    session.finish(CHANGES if bad else OK)


def _windows(found: dict[str, Any], session: Session) -> str:
    from qnsp_policy.pipeline.review.attest_text import windows_text

    return windows_text(found, paint=paint_of(session))
