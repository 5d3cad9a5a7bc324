"""Errors as text: code, place, snippet with a caret, expected and got, next step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from qnsp_policy.errors import Place, QnspError
from qnsp_policy.pipeline.review.escape import terminal
from qnsp_policy.pipeline.review.most import SHOWN, not_shown
from qnsp_policy.pipeline.review.style import Paint, plain


class Lines(Protocol):
    """Gives a line of a file for a snippet, or None where it cannot."""

    def line(self, file: str, number: int) -> str | None: ...


class NoLines:
    """No snippets."""

    def line(self, file: str, number: int) -> str | None:  # noqa: ARG002 -- the port's signature
        return None


def render_problems(problems: Sequence[QnspError], *, files: Lines | None = None, paint: Paint = plain) -> str:
    """The problems, one block each up to `SHOWN`, and a count where there are several."""
    files = files or NoLines()
    blocks = [_block(problem, files, paint) for problem in problems[:SHOWN]]
    if rest := not_shown(problem.code for problem in problems[SHOWN:]):
        blocks.append(rest)
    places = {problem.place.file for problem in problems if problem.place}
    if len(problems) > 1:
        where = f" in {len(places)} file{'s' if len(places) != 1 else ''}" if places else ""
        blocks.append(f"{len(problems)} errors{where}. Nothing was evaluated.")
    return "\n\n".join(blocks)


def _block(problem: QnspError, files: Lines, paint: Paint) -> str:
    head, *more = problem.message.split("\n")
    lines = [f"{paint('bad', f'error[{problem.code}]')}: {terminal(head)}", *(f"   {terminal(line)}" for line in more)]
    if problem.place:
        subject = f"   {terminal(problem.subject)}" if problem.subject else ""
        lines.append(
            f"  {paint('place', '-->')} {terminal(problem.place.file)}:{problem.place.line}:{problem.place.column}{subject}"
        )
        lines += _snippet(problem.place, files, paint, terminal(getattr(problem, "label", "")))
    elif problem.subject and problem.subject not in problem.message:
        lines.append(f"   = subject: {terminal(problem.subject)}")
    if problem.expected is not None:
        lines.append(f"   = expected: {terminal(problem.expected)}")
    if problem.got is not None:
        lines.append(f"   = got: {terminal(problem.got)}")
    if problem.next_step:
        lines.append(f"   = next: {terminal(problem.next_step)}")
    return "\n".join(lines)


def _snippet(place: Place, files: Lines, paint: Paint, label: str) -> list[str]:
    text = files.line(place.file, place.line)
    if text is None:
        return []
    width = len(str(place.line))
    column = min(place.column, len(text) + 1)
    end = min(place.end_column or column + 1, len(text) + 1)
    if len(text) > 160:
        start = max(0, column - 60)
        text, column, end = text[start : start + 120], column - start, min(end - start, 121)
    # widths: escaping may lengthen what stands before the caret, so the pad is measured on the escaped text
    before = len(terminal(text[: column - 1]))
    carets = max(1, len(terminal(text[column - 1 : end - 1])))
    return [
        f"{' ' * width} |",
        f"{place.line} | {terminal(text)}",
        f"{' ' * width} | {' ' * before}{paint('bad', '^' * carets)} {label}".rstrip(),
    ]


__all__ = ["Lines", "NoLines", "render_problems"]
