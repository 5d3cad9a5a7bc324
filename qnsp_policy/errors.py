"""The one error base of the house, in families by who must act.

    QnspError
    |-- DocumentError       the author of a document must change it        (QNSP-DOC-*, QNSP-REF-*, QNSP-MOD-*)
    |   `-- DocumentErrors  every problem of every file at once
    |-- OperatorError       whoever runs the program must act              (QNSP-OPS-*, QNSP-ENG-*, QNSP-KEY-*)
    |   |-- PlanRefused     a plan is unsigned, stale, expired, foreign    (QNSP-PLN-*)  exit 4
    |   |-- LockHeld        somebody else holds the lease                  (QNSP-LCK-*)  exit 5
    |   `-- PartialApply    some units failed, what was done is recorded   (QNSP-APL-*)  exit 6
    |-- PeerError           an attester, a peer or its data is wrong       (QNSP-ATT-*, QNSP-SIG-*, QNSP-KBS-*, QNSP-REL-*)
    `-- EngineError         a part of ours or an engine we drive failed    (QNSP-ENG-*, QNSP-RUL-*)

Misuse by our own code is `ValueError` or `RuntimeError`. Exit codes are given in `cli/` only, by family.
No message ever holds secret bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in a file something stands: line and column are 1-based, columns count Unicode code points."""

    file: str
    line: int = 1
    column: int = 1
    end_column: int | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class QnspError(Exception):
    """Base of every error a user may see.

    Attributes:
        code: stable code such as `QNSP-DOC-003`; two causes never share one.
        subject: what it is about (a document address, a file, a claim), in the standard's spelling.
        expected, got: the two sides where there are two, with their unit.
        place: file, line and column where the cause stands, if it stands in a file.
        next_step: one sentence on what to do now.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        subject: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        place: Place | None = None,
        next_step: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.subject = subject
        self.expected = expected
        self.got = got
        self.place = place
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def to_json(self) -> dict[str, object]:
        """A JSON object with stable names, for `--format json`; members without a value are left out."""
        members: dict[str, object | None] = {
            "code": self.code,
            "message": self.message,
            "subject": self.subject,
            "expected": self.expected,
            "got": self.got,
            "file": self.place.file if self.place else None,
            "line": self.place.line if self.place else None,
            "column": self.place.column if self.place else None,
            "next": self.next_step,
        }
        return {name: value for name, value in members.items() if value is not None}


class DocumentError(QnspError):
    """A document is wrong; its author must change it."""


class DocumentErrors(DocumentError):  # noqa: N818  it holds several
    """All problems of all files at once.

    Attributes:
        problems: the single errors, ordered by file, line and column.
    """

    def __init__(self, problems: Iterable[DocumentError]) -> None:
        self.problems: tuple[DocumentError, ...] = tuple(
            sorted(problems, key=lambda p: ((p.place or Place("")).file, (p.place or Place("")).line, p.code))
        )
        super().__init__("QNSP-DOC-000", f"{len(self.problems)} problems in the documents")


class OperatorError(QnspError):
    """Whoever runs the program must act: a missing tool, a wrong flag, a full disk, a key that is not there."""


class PlanRefused(OperatorError):  # noqa: N818 - named by what happened
    """A plan cannot be applied as it is: unsigned, under-approved, stale, expired, altered or of another workspace."""


class LockHeld(OperatorError):  # noqa: N818 - named by what happened
    """Another run holds the lease of this workspace."""


class PartialApply(OperatorError):  # noqa: N818 - named by what happened
    """Some units were not applied; what was done is recorded and the next apply goes on from there."""


class PeerError(QnspError):
    """An attester, a client, a broker or the bytes it sent are wrong."""


class EngineError(QnspError):
    """A part of ours, or an engine that we drive, failed: never read as a pass."""


__all__ = [
    "DocumentError",
    "DocumentErrors",
    "EngineError",
    "LockHeld",
    "OperatorError",
    "PartialApply",
    "PeerError",
    "Place",
    "PlanRefused",
    "QnspError",
]
