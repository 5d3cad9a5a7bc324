"""`key new|list|show`: software signing keys in plain files, insecure by name."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command(epilog=examples("key new carol@clinic.example", "key new app --algorithm ML-DSA-65"))
def new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Whom the keys belong to.")],
    algorithm: Annotated[
        list[str] | None, typer.Option(help="Default: ML-DSA-65 and Ed25519, which both must sign.")
    ] = None,
) -> None:
    """Make keys for an identity or service; prints the public halves."""
    from qnsp_policy.workflows.keys import SIGNER_ALGORITHMS, new_key

    session: Session = ctx.obj
    made = new_key(session.directory, name, tuple(algorithm or SIGNER_ALGORITHMS))

    def text() -> str:
        return "\n".join(
            [
                f"wrote {made.file} (0600, software keys: for trying things out)",
                "For the TrustRoot:",
                f"  - {{type: software, keys: {json.dumps(made.keys)}, expires: YYYY-MM-DD}}",
            ]
        )

    emit(session, made.to_json(), text)


@app.command("list", epilog=examples("key list", "key list --format json"))
def list_(ctx: typer.Context) -> None:
    """Key files of this workspace."""
    from qnsp_policy.workflows.keys import list_keys

    session: Session = ctx.obj
    found = list_keys(session.directory)

    def text() -> str:
        return (
            "\n".join(f"{entry.name:<28} {entry.file:<34} {', '.join(entry.key_ids)}" for entry in found)
            or "no key files"
        )

    emit(session, [entry.to_json() for entry in found], text)


@app.command(epilog=examples("key show alice", "key show ~/.ssh/id_ed25519.pub"))
def show(
    ctx: typer.Context, name: Annotated[str, typer.Argument(help="Whose keys, an OpenSSH .pub file, or awskms:///ARN.")]
) -> None:
    """Public keys of one file."""
    from qnsp_policy.workflows.keys import show_key

    session: Session = ctx.obj
    found = show_key(session.directory, name)
    emit(session, found.to_json(), lambda: json.dumps(list(found.keys), indent=2), exact=True)


@app.command(
    epilog=examples(
        "key token clinic-app --endpoint clinic-embeddings",
        "key token clinic-app --endpoint clinic-embeddings --minutes 5",
    )
)
def token(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The API key's name.")],
    endpoint: Annotated[str, typer.Option(help="The one endpoint that it is for.")],
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="How long it holds.")] = 60,
) -> None:
    """A short-lived token for clients that cannot sign requests (curl)."""
    from qnsp_policy.workflows.call import api_token

    session: Session = ctx.obj
    made = api_token(session.directory, name, endpoint, minutes=minutes, now=session.now)
    emit(session, {"token": made, "endpoint": endpoint, "minutes": minutes}, lambda: made, exact=True)
