"""`fmt`: bring every file of a workspace into the one layout of `pipeline/documents/fmt`."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from qnsp_policy.errors import DocumentError, DocumentErrors
from qnsp_policy.kernel.files_edge import write_whole
from qnsp_policy.pipeline.documents.discover_edge import read_folder
from qnsp_policy.pipeline.documents.fmt import fmt


@dataclass(frozen=True, slots=True)
class Change:
    """One file that differs from its layout."""

    file: str
    diff: str

    def to_json(self) -> dict[str, str]:
        return {"file": self.file, "diff": self.diff}


def format_folder(root: Path, *, write: bool) -> tuple[Change, ...]:
    """Lay out every file; nothing is written where one of them cannot be.

    Raises:
        DocumentErrors: every problem of every file.
    """
    problems: list[DocumentError] = []
    changes: list[tuple[Path, str, Change]] = []
    for file, data in read_folder(root).items():
        text = data.decode("utf-8", "surrogateescape")
        try:
            wanted = fmt(text, file)
        except DocumentErrors as errors:
            problems += errors.problems
            continue
        if wanted != text:
            lines = difflib.unified_diff(text.split("\n"), wanted.split("\n"), file, file, lineterm="", n=1)
            changes.append((root / file, wanted, Change(file, "\n".join(lines))))
    if problems:
        raise DocumentErrors(problems)
    if write:
        for path, wanted, _ in changes:
            mode = path.stat().st_mode & 0o777
            write_whole(path, wanted.encode(), mode=mode)
            path.chmod(mode)  # whatever the umask is
    return tuple(change for _, _, change in changes)


__all__ = ["Change", "format_folder"]
