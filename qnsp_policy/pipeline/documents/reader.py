"""One file: bytes to documents, collecting every problem; a broken document does not hide the ones around it.

The text is cut at `---` and `...` (YAML 1.2.2 section 9.1.2: at column 0 they are markers whatever surrounds them)
and each document is read on its own, so errors and positions stay local and memory stays small.
"""

from __future__ import annotations

import re
from typing import Any

from yaml import Node, YAMLError
from yaml.events import AliasEvent, NodeEvent

from qnsp_policy.errors import DocumentError, Place
from qnsp_policy.pipeline.documents.nodes import MAX_DEPTH, TooDeepError, compose, events, to_value
from qnsp_policy.pipeline.documents.problems import Problem, draw, shown
from qnsp_policy.pipeline.documents.source import ParsedFile, SourceDocument

MAX_FILE = 32 * 1024 * 1024
MAX_DOCUMENT = 1024 * 1024
MAX_DOCUMENTS = 100_000
"""Caps in bytes, characters and documents: far above any real workspace, far below what hurts."""

MAX_PROBLEMS = 200
"""Problems kept for one file; one more says that there were others."""

_MARKER = re.compile(r"^(?:---|\.\.\.)(?=[ \t\r\n]|\Z)", re.MULTILINE)
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff\u202a-\u202e\u2066-\u2069\ufeff]|\r(?!\n)"
)
_CONTENT = re.compile(r"^[ \t]*[^\s#]", re.MULTILINE)
_DIRECTIVE = re.compile(r"^%", re.MULTILINE)
_SURROGATE = re.compile(r"\\(?:u|U0000)[dD][89a-fA-F]")


class _Problems:
    """Collects problems of one file, with their snippets, up to MAX_PROBLEMS."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._lines: list[str] | None = None
        self._text = text
        self.found: list[DocumentError] = []

    def add(
        self, code: str, message: str, line: int, column: int, end: int | None, next_step: str, address: str = ""
    ) -> None:
        if len(self.found) == MAX_PROBLEMS:
            self.found.append(
                Problem(
                    "QNSP-DOC-028",
                    f"more than {MAX_PROBLEMS} problems; the rest is not shown",
                    place=Place(self.file, line),
                )
            )
        if len(self.found) > MAX_PROBLEMS:
            return
        if self._lines is None:
            self._lines = self._text.split("\n")
        place = Place(self.file, line, column, end)
        self.found.append(
            Problem(
                code,
                message,
                place=place,
                next_step=next_step,
                snippet=draw(self._lines, place),
                address=address,
            )
        )


def parse(file: str, data: bytes) -> ParsedFile:
    """Read one file.

    Args:
        file: its path relative to the workspace, with forward slashes.
        data: its bytes.

    Returns:
        Its documents and all its problems; never raises for any bytes.
    """
    text, refused = _decode(file, data)
    if refused is not None:
        return ParsedFile(file, (), (refused,))
    problems = _Problems(file, text)
    if not _characters(text, problems):
        return ParsedFile(file, (), tuple(problems.found))
    documents: list[SourceDocument] = []
    chunks = _chunks(text)
    if not chunks:
        problems.add("QNSP-DOC-034", "this file holds no document", 1, 1, None, "write a document or delete the file")
    if len(chunks) > MAX_DOCUMENTS:
        problems.add(
            "QNSP-DOC-012",
            f"more than {MAX_DOCUMENTS} documents in one file",
            1,
            1,
            None,
            "split the file into several",
        )
        chunks = []
    for index, (first_line, chunk) in enumerate(chunks):
        document = _document(file, index, first_line, chunk, problems)
        if document is not None:
            documents.append(document)
    return ParsedFile(file, tuple(documents), tuple(problems.found))


def _decode(file: str, data: bytes) -> tuple[str, DocumentError | None]:
    def refuse(code: str, message: str, next_step: str, line: int = 1, column: int = 1) -> tuple[str, DocumentError]:
        return "", Problem(code, message, place=Place(file, line, column), next_step=next_step)

    if len(data) > MAX_FILE:
        return refuse(
            "QNSP-DOC-030",
            f"this file has {len(data)} bytes; at most {MAX_FILE} are read",
            "split it into several files",
        )
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return refuse("QNSP-DOC-002", "this file begins with a byte order mark", "save it as UTF-8 without BOM")
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        begin = data.rfind(b"\n", 0, error.start) + 1
        column = len(data[begin : error.start].decode("utf-8", "replace")) + 1
        return refuse(
            "QNSP-DOC-001",
            f"byte 0x{data[error.start]:02x} at offset {error.start} is not UTF-8",
            "save the file as UTF-8",
            line,
            column,
        )


_CHARACTER_CODES = {
    "\x00": ("QNSP-DOC-003", "a NUL character"),
    "\r": ("QNSP-DOC-025", "a carriage return that ends no line"),
    "\x85": ("QNSP-DOC-025", "the line separator U+0085"),
    "\u2028": ("QNSP-DOC-025", "the line separator U+2028"),
    "\u2029": ("QNSP-DOC-025", "the paragraph separator U+2029"),
    "\ufeff": ("QNSP-DOC-002", "a byte order mark"),
}


def _characters(text: str, problems: _Problems) -> bool:
    """Whether every character may stand in a document; each that may not is a problem."""
    clean = True
    for match in _FORBIDDEN.finditer(text):
        clean = False
        character = match.group()[0]
        code, what = _CHARACTER_CODES.get(character, ("QNSP-DOC-004", "a control character"))
        if character >= "\u202a" and code == "QNSP-DOC-004":
            code, what = "QNSP-DOC-026", "a character that changes the direction of text"
        line = text.count("\n", 0, match.start()) + 1
        column = match.start() - (text.rfind("\n", 0, match.start()) + 1) + 1
        problems.add(code, f"{what} ({shown(character)}) stands here", line, column, None, "remove the character")
        if len(problems.found) > MAX_PROBLEMS:
            break
    return clean


def _chunks(text: str) -> list[tuple[int, str]]:
    """The texts of the documents with the 1-based line each begins at."""
    chunks: list[tuple[int, str]] = []
    start, line, explicit = 0, 1, False
    counted = 0
    for match in _MARKER.finditer(text):
        part = text[start : match.start()]
        if explicit or _CONTENT.search(part):
            chunks.append((line, part))
        line += text.count("\n", counted, match.start())
        counted = match.start()
        explicit = match.group() == "---"
        start = match.start() if explicit else match.end()
    part = text[start:]
    if explicit or _CONTENT.search(part):
        chunks.append((line, part))
    return chunks


def _document(file: str, index: int, first_line: int, chunk: str, problems: _Problems) -> SourceDocument | None:
    before = len(problems.found)
    if len(chunk) > MAX_DOCUMENT:
        problems.add(
            "QNSP-DOC-012",
            f"this document has {len(chunk)} characters; at most {MAX_DOCUMENT} are read",
            first_line,
            1,
            None,
            "split it, or keep large values in files of their own",
        )
        return None
    try:
        node = compose(chunk)
    except TooDeepError:
        _report_depth(first_line, problems)
        return None
    except YAMLError as error:
        _report_syntax(error, chunk, first_line, problems)
        return None
    except (RecursionError, ValueError, UnicodeError) as error:
        problems.add("QNSP-DOC-005", f"not YAML: {shown(error)}", first_line, 1, None, "mend the document")
        return None
    if ("&" in chunk or "*" in chunk or "! " in chunk) and _anchors(chunk, first_line, problems):
        return None

    def report(code: str, message: str, at: Node, next_step: str) -> None:
        mark, end = at.start_mark, at.end_mark
        column_end = end.column + 1 if end.line == mark.line else None
        problems.add(code, shown(message, 300), first_line + mark.line, mark.column + 1, column_end, next_step)

    value: Any = None if node is None else to_value(node, report)
    if len(problems.found) > before:
        return None
    if node is None or value is None:
        problems.add(
            "QNSP-DOC-011", "this document is empty", first_line, 1, None, "write a document, or remove the `---`"
        )
        return None
    line = first_line + node.start_mark.line
    if not isinstance(value, dict):
        problems.add(
            "QNSP-DOC-013",
            "a document must be a mapping with apiVersion, kind, metadata and spec",
            line,
            node.start_mark.column + 1,
            None,
            "begin it with `apiVersion: qnsp.policy/v1`",
        )
        return None
    return SourceDocument(file, index, line, value, chunk, first_line)


def _anchors(chunk: str, first_line: int, problems: _Problems) -> bool:
    """Whether anchors, aliases or the tag `!` stand in the text; each is a problem."""
    found = False
    for event in events(chunk):
        if getattr(event, "tag", None) == "!":
            found = True
            mark = event.start_mark
            line, column = (mark.line, mark.column) if mark is not None else (0, 0)
            problems.add(
                "QNSP-DOC-009",
                "the tag '!' is not allowed",
                first_line + line,
                column + 1,
                None,
                "remove the tag; quote a value to make it text",
            )
        if isinstance(event, NodeEvent) and event.anchor is not None:
            found = True
            mark = event.start_mark
            line, column = (mark.line, mark.column) if mark is not None else (0, 0)
            what = "alias *" if isinstance(event, AliasEvent) else "anchor &"
            problems.add(
                "QNSP-DOC-007",
                f"the {what}{shown(event.anchor)} is not allowed",
                first_line + line,
                column + 1,
                None,
                "write the value out where it is used",
            )
    return found


def _report_depth(first_line: int, problems: _Problems) -> None:
    problems.add(
        "QNSP-DOC-029",
        f"this document is nested deeper than {MAX_DEPTH} levels",
        first_line,
        1,
        None,
        "no kind of document needs such depth; flatten it",
    )


def _report_syntax(error: YAMLError, chunk: str, first_line: int, problems: _Problems) -> None:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    lines = chunk.rstrip().split("\n")
    at, column = (mark.line, mark.column + 1) if mark is not None else (0, 1)
    if at >= len(lines):
        # The end of the text came too early: point behind its last character.
        at, column = len(lines) - 1, len(lines[-1].rstrip("\r")) + 1
    line = first_line + at
    what = getattr(error, "problem", None) or str(error)
    context = getattr(error, "context", None)
    message = f"not YAML: {shown(what)}" + (f" ({shown(context)})" if context else "")
    source = lines[at]
    indent = source[: len(source) - len(source.lstrip())]
    if "found undefined tag handle" in what:
        problems.add("QNSP-DOC-009", "tags are not allowed", line, column, None, "remove the tag")
    elif "undefined alias" in what or "duplicate anchor" in what:
        problems.add("QNSP-DOC-007", "anchors and aliases are not allowed", line, column, None, "write the value out")
    elif _SURROGATE.search(source):
        problems.add(
            "QNSP-DOC-024", "a lone surrogate is not a character", line, column, None, "write the character itself"
        )
    elif "\t" in indent or source[column - 1 : column] == "\t":
        problems.add("QNSP-DOC-010", "a tab cannot indent YAML", line, column, None, "indent with spaces")
    elif _DIRECTIVE.search(chunk):
        problems.add("QNSP-DOC-020", "YAML directives (%) are not allowed", line, column, None, "remove the line")
    else:
        problems.add("QNSP-DOC-005", message, line, column, None, "mend the line, or quote the value")


__all__ = ["MAX_DOCUMENT", "MAX_FILE", "parse"]
