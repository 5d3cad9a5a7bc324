"""`ledger list|verify|keys|prove`: the record of what happened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit, paint_of
from qnsp_policy.cli.tree import examples

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command("list", epilog=examples("ledger list", "ledger list --type denial --format json"))
def list_(
    ctx: typer.Context,
    type_: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only records of this type.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
) -> None:
    """Records of the workspace, brokers and gateways, by time."""
    from qnsp_policy.pipeline.review.ledger_text import render_records
    from qnsp_policy.workflows.ledger import ledger_list

    session: Session = ctx.obj
    found = ledger_list(session.directory, type_=type_, limit=limit)
    none = f"no record is of the type {type_}" if type_ else "the ledger is empty"
    emit(session, found, lambda: render_records(found, paint=paint_of(session)) if found else none)


@app.command(epilog=examples("ledger verify", "ledger verify --format json"))
def verify(ctx: typer.Context) -> None:
    """Recompute every log from its entries and verify its checkpoint."""
    from qnsp_policy.workflows.ledger import ledger_verify

    session: Session = ctx.obj
    found = ledger_verify(session.directory)
    emit(session, found, lambda: "\n".join(map(_verified, found)))


def _verified(log: Mapping[str, Any]) -> str:
    text = f"ok  {log['origin']}   {log['size']} entries, root {log['root']}"
    if log["stated"] is None or log["stated"] >= log["size"]:
        return text
    return f"{text}\n    checkpoint.dsse.json covers {log['stated']}: an append did not end; the next record renews it"


@app.command(epilog=examples("ledger keys", "ledger keys --format json"))
def keys(ctx: typer.Context) -> None:
    """The public keys of every log, as C2SP verifier keys.

    Give them to whoever verifies a log or a proof elsewhere.
    """
    from qnsp_policy.workflows.ledger import ledger_keys

    session: Session = ctx.obj
    found = ledger_keys(session.directory)

    def text() -> str:
        blocks = [
            "\n".join([f"{log['log']}   {log['origin']}", *(f"  {_key_line(key)}" for key in log["keys"])])
            for log in found
        ]
        return "\n\n".join(blocks) or "there is no log here"

    emit(session, found, text, exact=True)


def _key_line(key: Mapping[str, Any]) -> str:
    """The C2SP verifier key where the key signs checkpoints, else its id: it signs the stronger statement beside them."""
    return f"{key['jwk']['alg'] if 'alg' in key['jwk'] else key['jwk']['crv']:<10} {key['vkey'] or key['keyId'] + ' (checkpoint.dsse.json)'}"


@app.command(epilog=examples("ledger prove 3", "ledger prove 3 --out entry-3.proof"))
def prove(
    ctx: typer.Context,
    index: Annotated[int, typer.Argument(min=0, help="Number of the entry.")],
    out: Annotated[Path | None, typer.Option(help="Write the proof here.")] = None,
) -> None:
    """The inclusion proof of one entry (C2SP tlog-proof)."""
    from qnsp_policy.workflows.ledger import ledger_prove

    session: Session = ctx.obj
    proof = ledger_prove(session.directory, index)
    if out is not None:
        out.write_text(proof["proof"], encoding="utf-8")
        session.note(f"wrote {out}")
    emit(session, proof, lambda: str(proof["proof"]), exact=True)
