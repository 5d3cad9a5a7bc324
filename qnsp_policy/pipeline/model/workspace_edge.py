"""Loads a workspace from its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.documents.discover_edge import read_folder, read_signatures
from qnsp_policy.pipeline.documents.problems import shown
from qnsp_policy.pipeline.model.build import ROOT_FILE, build
from qnsp_policy.pipeline.model.workspace import Workspace


def load(root: Path, told: Callable[[float], None] | None = None) -> Workspace:
    """Read and build the workspace in a folder; `told` hears which part of the work is done.

    Raises:
        OperatorError: QNSP-OPS-020 no folder, QNSP-OPS-021 no workspace in it.
        DocumentErrors: every problem of all its files.
    """
    if root.is_dir() and not (root / ROOT_FILE).exists():
        raise OperatorError(
            "QNSP-OPS-021",
            f"there is no {ROOT_FILE} in {shown(str(root))}",
            subject=str(root),
            next_step="go to a workspace, or make one: qnsp-policy init --template quickstart DIR",
        )
    return build(read_folder(root), signatures=read_signatures(root), told=told)


__all__ = ["load"]
