"""`sign FILE`: sign documents with your key; the signatures lie beside them in signatures/."""

from __future__ import annotations

from typing import Annotated

import typer

from qnsp_policy.cli.options import Session
from qnsp_policy.cli.output import emit
from qnsp_policy.cli.tree import examples

EXAMPLES = examples("sign artefacts.yaml --as lab", "sign reference-values.yaml --as lab --kind ReferenceValues")


def command(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(help="A file of the workspace, or the address of one document.")],
    signer: Annotated[str, typer.Option("--as", metavar="NAME", help="Whose keys sign.")],
    kind: Annotated[list[str] | None, typer.Option(help="Only documents of this kind (repeatable).")] = None,
) -> None:
    """Sign documents of a file with your key."""
    from qnsp_policy.workflows.signing import sign_documents

    session: Session = ctx.obj
    signed = sign_documents(session.directory, file, signer, kinds=tuple(kind or ()))
    emit(
        session,
        signed,
        lambda: "\n".join(f"signed {entry['address']}: {entry['file']}" for entry in signed) or "nothing to sign",
    )
