"""Exit codes, and how an error looks. The only place that knows either.

0 nothing blocking, 1 error or engine failure, 2 changes (`plan --detailed-exitcode`) or drift, 3 violations,
4 plan refused, 5 lock held, 6 partial apply (state saved), 7 an answer or evidence was refused, 64 usage,
130 interrupted. Several at once: 1 > 6 > 4 > 5 > 3 > 2 > 0.
"""

from __future__ import annotations

import json

from qnsp_policy.cli.options import Session
from qnsp_policy.errors import DocumentErrors, LockHeld, PartialApply, PeerError, PlanRefused, QnspError

OK = 0
ERROR = 1
CHANGES = 2
VIOLATIONS = 3
REFUSED = 4
LOCKED = 5
PARTIAL = 6
UNPROVEN = 7
USAGE = 64
INTERRUPTED = 130

_WORST_FIRST = (ERROR, PARTIAL, REFUSED, LOCKED, VIOLATIONS, CHANGES, OK)


def code_of(error: QnspError) -> int:
    """The exit code of an error's family."""
    if isinstance(error, PartialApply):
        return PARTIAL
    if isinstance(error, PlanRefused):
        return REFUSED
    if isinstance(error, LockHeld):
        return LOCKED
    if isinstance(error, PeerError):
        return UNPROVEN
    return ERROR


def worst(*codes: int) -> int:
    """The one code that stands for several."""
    return next((code for code in _WORST_FIRST if code in codes), max(codes, default=OK))


def print_error(error: QnspError, session: Session) -> None:
    """What, where, why, next: to standard error as text, to standard output as JSON."""
    problems = error.problems if isinstance(error, DocumentErrors) else (error,)
    if not session.text:
        body = {"errors": [problem.to_json() for problem in problems], "exitCode": code_of(error)}
        session.say(json.dumps(body, ensure_ascii=False, indent=2 if session.format == "json" else None))
        return
    from qnsp_policy.pipeline.review.problems import render_problems
    from qnsp_policy.pipeline.review.style import painter

    text = render_problems(problems, files=_Files(session), paint=painter(on=session.color))
    print(text, file=session.stderr, flush=True)


_QUOTED_BYTES = 32 << 20
"""Larger files are no documents (QNSP-DOC-030)."""


class _Files:
    """Lines of the workspace's files, read when an error shows a snippet."""

    def __init__(self, session: Session) -> None:
        self._directory = session.directory
        self._read: dict[str, list[str]] = {}

    def line(self, file: str, number: int) -> str | None:
        if file not in self._read:
            self._read = {file: self._lines(file)}  # problems come file by file: one read for all of them
        lines = self._read[file]
        return lines[number - 1] if 0 < number <= len(lines) else None

    def _lines(self, file: str) -> list[str]:
        try:
            path = (self._directory / file).resolve()
            inside = path.is_relative_to(self._directory.resolve())
            # An error about a FIFO, a link out of the workspace or a file beyond the limit quotes nothing.
            if not inside or not path.is_file() or path.stat().st_size > _QUOTED_BYTES:
                return []
            return path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError, RuntimeError):
            return []


__all__ = [
    "CHANGES",
    "ERROR",
    "INTERRUPTED",
    "LOCKED",
    "OK",
    "PARTIAL",
    "REFUSED",
    "UNPROVEN",
    "USAGE",
    "VIOLATIONS",
    "code_of",
    "print_error",
    "worst",
]
