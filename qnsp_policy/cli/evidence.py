"""What several commands about evidence take: its kind, and files that came along with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qnsp_policy.cli.tree import one_of

KINDS = ("sev-snp", "tdx", "sgx", "nitro-enclave", "nitro-tpm", "nvidia-gpu", "nvswitch", "nras", "coco-sample")
_KIND_HELP = "auto, or " + ", ".join(KINDS) + "."

Kind = Annotated[str, typer.Option(metavar="KIND", help=_KIND_HELP, **one_of(("auto", *KINDS)))]


def named(item: str) -> tuple[str, Path]:
    """`NAME=FILE` of an `--endorsement`.

    Raises:
        typer.BadParameter: it is not so.
    """
    name, equals, path = item.partition("=")
    if not (name and equals and path):
        raise typer.BadParameter(f"--endorsement {item!r}: give NAME=FILE, e.g. vcek=vcek.der")
    return name, Path(path)
