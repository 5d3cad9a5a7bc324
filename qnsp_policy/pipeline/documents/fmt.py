"""The formatter: indentation, line ends and blank lines made alike; comments, order and every value stay.

Each level is indented by two columns, list items one level below their key; one space stands after a dash, none at
the end of a line, at most one blank line together, a line end at the end of the file. The result is parsed again and
compared value by value with what was there; where they differ the file is refused, never changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from yaml import MappingNode, Node, ScalarNode, SequenceNode

from qnsp_policy.errors import DocumentErrors, Place
from qnsp_policy.pipeline.documents.nodes import compose
from qnsp_policy.pipeline.documents.problems import Problem
from qnsp_policy.pipeline.documents.reader import parse

INDENT = 2


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line on which a block entry begins: its old column, its new one, and where its content begins."""

    old: int
    new: int
    dashes: int
    content: int


def fmt(text: str, file: str = "document.yaml") -> str:
    """The same documents, formatted.

    Args:
        text: one file.
        file: its name, for errors.

    Raises:
        DocumentErrors: the text has problems of its own, or it cannot be formatted without changing a value.
    """
    before = parse(file, text.encode("utf-8", "surrogatepass"))
    if before.problems:
        raise DocumentErrors(before.problems)
    values = [document.value for document in before.documents]
    done = text
    for _ in range(4):
        formatted = _format(done)
        if formatted == done:
            return done
        after = parse(file, formatted.encode())
        if after.problems or [document.value for document in after.documents] != values:
            break
        done = formatted
    raise DocumentErrors(
        [
            Problem(
                "QNSP-DOC-040",
                "this file cannot be formatted without changing what it says",
                place=Place(file),
                next_step="write its values in plain block or one-line form, then format it again",
            )
        ]
    )


_MARKER = re.compile(r"(?:---|\.\.\.)(?=[ \t]|\Z)")


def _format(text: str) -> str:
    lines = text.replace("\r\n", "\n").split("\n")
    out: list[str] = []
    chunk: list[str] = []
    for line in lines:
        if _MARKER.match(line) and chunk:
            out.extend(_document(chunk))
            chunk = []
        chunk.append(line)
    out.extend(_document(chunk))
    while out and not out[-1]:
        out.pop()
    while out and not out[0]:
        out.pop(0)
    return "\n".join(out) + "\n"


def _document(lines: list[str]) -> list[str]:
    text = "\n".join(lines)
    end_marker = lines[0].startswith("...")
    root = None if end_marker else compose(text)
    if root is None:
        return list(_tidy([(line.rstrip(), False) for line in lines]))
    kept = frozenset(_verbatim(root, lines))
    entries = dict(_entries(root, lines, 0))
    out: list[tuple[str, bool]] = []
    delta = 0
    for number, source in enumerate(lines):
        line = source
        entry = entries.get(number)
        if entry is not None:
            delta = entry.new - entry.old
            line = " " * entry.new + "- " * entry.dashes + line[entry.content :]
        elif number in kept:
            line = _shift(line, delta)
        elif line.strip().startswith("#"):
            line = " " * _comment_column(number, line, lines, entries, delta) + line.strip()
        elif line.strip() and not _MARKER.match(line):
            line = _shift(line, delta)
        out.append((line if number in kept and number + 1 in kept else line.rstrip(), number in kept))
    return list(_tidy(out))


def _shift(line: str, delta: int) -> str:
    if not line.strip():
        return line if delta >= 0 else line[-delta:]
    column = len(line) - len(line.lstrip(" "))
    return " " * max(0, column + delta) + line[column:]


def _tidy(lines: list[tuple[str, bool]]) -> Iterator[str]:
    """At most one blank line together, none at the ends of a document; lines inside of a scalar as they are."""
    blank = False
    begun = False
    for line, inside in lines:
        if not (inside or line):
            blank = True
            continue
        if blank and begun:
            yield ""
        yield line
        blank = False
        begun = begun or not _MARKER.match(line)


def _verbatim(node: Node, lines: list[str]) -> Iterator[int]:
    """Lines that belong to the inside of a scalar of several lines, where blank lines and line ends are text."""
    if isinstance(node, ScalarNode):
        last = node.end_mark.line
        if node.style in ("|", ">"):
            yield from range(node.start_mark.line + 1, min(last, len(lines)))
        elif last > node.start_mark.line:
            yield from range(node.start_mark.line + 1, last + 1)
    elif isinstance(node, SequenceNode):
        for item in node.value:
            yield from _verbatim(item, lines)
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            yield from _verbatim(key, lines)
            yield from _verbatim(value, lines)


def _entries(node: Node, lines: list[str], column: int) -> Iterator[tuple[int, _Entry]]:
    """Every line on which an entry of a block collection begins; the outermost entry of a line comes last."""
    if isinstance(node, MappingNode) and not node.flow_style:
        for key, value in node.value:
            line, old = key.start_mark.line, key.start_mark.column
            if not lines[line][:old].strip():
                yield line, _Entry(old, column, 0, old)
            yield from _entries(value, lines, column + INDENT)
    elif isinstance(node, SequenceNode) and not node.flow_style:
        old = node.start_mark.column
        first = node.start_mark.line
        for item in node.value:
            line = item.start_mark.line
            while line > first and lines[line][old : old + 1] != "-":
                line -= 1
            inner = dict(_entries(item, lines, column + INDENT))
            own = inner.pop(line, None)
            yield from inner.items()
            if lines[line][:old].strip() or lines[line][old : old + 1] != "-":
                continue
            if own is not None and own.dashes:
                yield line, _Entry(old, column, own.dashes + 1, own.content)
            elif item.start_mark.line == line and item.start_mark.column > old:
                content = _content(lines[line], old)
                nested = _nested_dashes(item, line)
                yield line, _Entry(old, column, 1 + nested, content)
            else:
                yield line, _Entry(old, column, 0, old)


def _content(line: str, dash: int) -> int:
    """Where the text after all dashes of a line begins, tags and the like included."""
    column = dash
    while line[column : column + 1] == "-" and line[column + 1 : column + 2] in (" ", ""):
        column += 1
        while line[column : column + 1] == " ":
            column += 1
    return column


def _nested_dashes(item: Node, line: int) -> int:
    dashes = 0
    while isinstance(item, SequenceNode) and not item.flow_style and item.start_mark.line == line:
        dashes += 1
        if not item.value or item.value[0].start_mark.line != line:
            break
        item = item.value[0]
    return dashes


def _comment_column(number: int, line: str, lines: list[str], entries: dict[int, _Entry], delta: int) -> int:
    """The column of a comment line: that of the entry it stands above, or of the one it was in line with."""
    old = len(line) - len(line.lstrip())
    following = next((entries[n] for n in range(number + 1, len(lines)) if n in entries), None)
    if following is not None and following.old <= old:
        return following.new
    for earlier in range(number - 1, -1, -1):
        entry = entries.get(earlier)
        if entry is not None and entry.old <= old:
            return entry.new if entry.old == old else entry.new + INDENT
    return max(0, old + delta) if following is None else following.new


__all__ = ["INDENT", "fmt"]
