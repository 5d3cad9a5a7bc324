"""`fmt`: one layout for documents.

What it changes: line ends, trailing blanks, blank lines at the ends of files and around `---`, one modeline. What it
never changes: order, comments, quoting. The result must build the same values, or the file is left alone.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from qnsp_policy.errors import EngineError
from qnsp_policy.pipeline.documents import parse
from qnsp_policy.pipeline.documents.discover_edge import read_folder


@dataclass(frozen=True, slots=True)
class Change:
    """One file that differs from its layout."""

    file: str
    diff: str

    def to_json(self) -> dict[str, str]:
        return {"file": self.file, "diff": self.diff}


def format_text(text: str) -> str:
    """The one layout of a file."""
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    found: list[str] = []
    for line in lines:
        if line == "---":
            while found and not found[-1]:
                found.pop()
            if found:
                found.append("---")
            continue
        if not line and (not found or found[-1] in {"", "---"}):
            continue
        found.append(line)
    while found and found[-1] in {"", "---"}:
        found.pop()
    return "\n".join(found) + "\n" if found else ""


def format_folder(root: Path, *, write: bool) -> tuple[Change, ...]:
    """Bring every file into its layout.

    Raises:
        DocumentErrors: a file cannot be read.
        EngineError: a layout would change a value; nothing of that file is written.
    """
    from qnsp_policy.errors import DocumentErrors

    problems = []
    changes: list[tuple[str, bytes, Change]] = []
    for file, data in read_folder(root).items():
        before = parse(file, data)
        problems += before.problems
        if before.problems:
            continue
        text = data.decode()
        wanted = format_text(text)
        if wanted == text:
            continue
        after = parse(file, wanted.encode())
        if [document.value for document in after.documents] != [document.value for document in before.documents]:
            if any("|" in line or ">" in line for line in text.split("\n")):
                continue  # a block scalar whose blanks mean something: the file stays as its author laid it out
            raise EngineError("QNSP-OPS-062", f"laying out {file} would change its values", subject=file)
        diff = "\n".join(difflib.unified_diff(text.split("\n"), wanted.split("\n"), file, file, lineterm="", n=1))
        changes.append((file, wanted.encode(), Change(file, diff)))
    if problems:
        raise DocumentErrors(problems)
    if write:
        for file, data, _ in changes:
            (root / file).write_bytes(data)
    return tuple(change for _, _, change in changes)


__all__ = ["Change", "format_folder", "format_text"]
