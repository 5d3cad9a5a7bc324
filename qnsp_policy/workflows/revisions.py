"""A folder, or a git revision, as the bytes of its documents: the two sides of a comparison."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.model import Workspace, build
from qnsp_policy.pipeline.model.workspace_edge import load

_SECONDS = 60


def load_side(root: Path, name: str) -> Workspace:
    """A workspace from a folder, or from the same folder at a git revision.

    Args:
        root: the workspace, whose repository is asked for revisions.
        name: a folder that exists, else a revision.

    Raises:
        OperatorError: neither a folder nor a revision.
        DocumentErrors: the documents of that side do not build.
    """
    folder = Path(name)
    if folder.is_dir():
        return load(folder)
    files, signatures = _at_revision(root, name)
    return build(files, signatures=signatures)


def _at_revision(root: Path, revision: str) -> tuple[Mapping[str, bytes], Mapping[str, bytes]]:
    if revision.startswith("-"):
        raise _unknown(root, revision, "it begins with a dash")
    try:
        commit = _git(root, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").decode().strip()
    except OperatorError as error:
        raise _unknown(root, revision, error.message) from error
    listed = _git(root, "ls-tree", "-r", "-z", commit, ".").split(b"\0")
    files: dict[str, bytes] = {}
    signatures: dict[str, bytes] = {}
    for entry in listed:
        head, _, raw = entry.partition(b"\t")
        if not head.startswith(b"100"):
            continue  # a link or a submodule is no document
        path = raw.decode(errors="surrogateescape")
        if any(part.startswith(".") for part in path.split("/")):
            continue
        if path.endswith((".yaml", ".yml")):
            files[path] = _git(root, "cat-file", "blob", head.split()[2].decode())
        elif path.startswith("signatures/") and path.endswith(".dsse.json"):
            signatures[path] = _git(root, "cat-file", "blob", head.split()[2].decode())
    if not files:
        raise _unknown(root, revision, "that revision holds no documents here")
    return files, signatures


def _git(root: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 -- no shell, revision is checked
            ["git", "-C", str(root), *arguments],  # noqa: S607 -- the user's own git
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )
    except FileNotFoundError:
        raise OperatorError("QNSP-OPS-041", "git is not installed, so no revision can be read") from None
    except subprocess.TimeoutExpired:
        raise OperatorError("QNSP-OPS-042", f"git did not answer within {_SECONDS} s") from None
    if done.returncode:
        message = done.stderr.decode(errors="replace").strip().split("\n")[0]
        raise OperatorError("QNSP-OPS-043", message or f"git {arguments[0]} failed")
    return done.stdout


def _unknown(root: Path, name: str, why: str) -> OperatorError:
    return OperatorError(
        "QNSP-OPS-040",
        f"{name} is neither a folder nor a revision of the repository at {root}",
        subject=name,
        got=why,
        next_step="give a folder, or a revision such as HEAD~1 or origin/main",
    )


__all__ = ["load_side"]
