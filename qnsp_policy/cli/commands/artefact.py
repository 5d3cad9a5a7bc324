"""`artefact seal`: a file becomes ciphertext for one tenant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Seal models and data for a tenant."""


@app.command(
    epilog=examples("artefact seal notes.txt --name Artefact/notes", "artefact seal minilm.tar --name Artefact/minilm")
)
def seal(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="What to seal.")],
    name: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The Artefact document that says tenant, key and location.")
    ],
    broker: Annotated[
        str | None, typer.Option(help="The broker that will hold the key; default: the tenant's.")
    ] = None,
) -> None:
    """Seal a file and wrap its key to the broker.

    Says which digests belong into the document.
    """
    from qnsp_policy.workflows.artefact import seal_artefact

    session: Session = ctx.obj
    made = seal_artefact(session.directory, file, name, broker=broker)

    def text() -> str:
        return "\n".join(
            [
                f"wrote {made.sealed_file} ({made.size} bytes sealed) and {made.key_file}",
                f"Put into {name}:",
                f'  digest: "{made.digest}"',
                f'  plaintextDigest: "{made.plaintext_digest}"',
                "Next: qnsp-policy sign FILE --as PUBLISHER",
            ]
        )

    emit(session, made.to_json(), text)
