"""A document where it stands: its plain value, and the place of any value in it, worked out only when asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from yaml import MappingNode, Node, SequenceNode

from qnsp_policy.errors import DocumentError, Place
from qnsp_policy.pipeline.documents.nodes import compose
from qnsp_policy.pipeline.documents.problems import Problem, draw

PathPart = str | int
_WORD = re.compile(r"[A-Za-z][\w./@-]*")
_ODD = re.compile(r"[\\?|>\r\t\"']")
"""What may let a line look like a member that is none: escapes, explicit keys, blocks of text, quotes."""
_FIRST_KEY = re.compile(r"(?:---\n|\n|#.*\n)*([A-Za-z]\w*):(?:\s|$)")


@lru_cache(maxsize=512)
def _root(text: str) -> Node | None:
    return compose(text)


@dataclass(frozen=True, slots=True)
class SourceDocument:
    """One YAML document of one file.

    Attributes:
        file: path relative to the workspace, with forward slashes.
        index: which document of the file, from 0.
        line: 1-based line of its first value.
        value: plain values of the YAML 1.2 core schema: dict, list, str, int, float, bool, None.
        text: its own text, from its `---` on.
        first_line: 1-based line of the file at which `text` begins.
    """

    file: str
    index: int
    line: int
    value: dict[str, Any]
    text: str = field(repr=False, default="")
    first_line: int = 1

    def place(self, *path: PathPart) -> Place:
        """Where the value at `path` stands; for a block its key, for a field that is missing its nearest parent."""
        return self._find(path, want_key=False)

    def key_place(self, *path: PathPart) -> Place:
        """Where the key at `path` stands; for a list item the item, for a missing field its nearest parent."""
        return self._find(path, want_key=True)

    def snippet(self, place: Place, label: str = "") -> str:
        """The line of `place` with carets under it, or "" for a place outside this document."""
        lines = self.text.split("\n")
        local = Place(place.file, place.line - self.first_line + 1, place.column, place.end_column)
        drawn = draw(lines, local, label)
        if not drawn:
            return ""
        _, source, carets = drawn.split("\n")
        number = str(place.line)
        pad = " " * len(number)
        return "\n".join((f"{pad} |", f"{number} |{source.partition(' |')[2]}", f"{pad} |{carets.partition(' |')[2]}"))

    def problem(
        self, code: str, message: str, *path: PathPart, key: bool = False, label: str = "", next_step: str | None = None
    ) -> Problem:
        """A problem at the value (or with `key` at the key) of `path`, with its snippet and this document's address."""
        place = self._find(path, want_key=key)
        return Problem(
            code,
            message,
            place=place,
            snippet=self.snippet(place, label),
            label=label,
            address=self.address,
            next_step=next_step,
        )

    @property
    def address(self) -> str:
        """`Kind/name` as far as the document says so in the right shape, else ""."""
        kind = self.value.get("kind")
        metadata = self.value.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if isinstance(kind, str) and isinstance(name, str) and kind.isalnum() and name.replace("-", "").isalnum():
            return f"{kind}/{name}"
        return ""

    def _find(self, path: tuple[PathPart, ...], *, want_key: bool) -> Place:
        if len(path) < 3 and (place := self._seen(path, want_key=want_key)) is not None:
            return place
        node = _root(self.text)
        if node is None:
            return Place(self.file, self.line)
        key: Node | None = None
        for position, part in enumerate(path):
            found = _child(node, part)
            if found is None:
                return self._of(key if key is not None else _first(node))
            child_key, child = found
            last = position == len(path) - 1
            if last and not (want_key and child_key is not None):
                block = isinstance(child, MappingNode | SequenceNode) and not child.flow_style
                empty = child.start_mark.index == child.end_mark.index
                if child_key is not None and (block or empty):
                    return self._of(child_key)
                return self._of(_first(child) if block else child)
            node = child
            if child_key is not None:
                key = child_key
            elif not last:
                key = _first(child)
            if last:
                return self._of(child_key if child_key is not None else child)
        return self._of(_first(node))

    def _seen(self, path: tuple[PathPart, ...], *, want_key: bool) -> Place | None:
        """Where a value near the top of the document stands, without composing; None when in doubt."""
        if not path:
            return self._first_key()
        block = self._top_block(path[0])
        if len(path) < 2 or block is None or want_key:
            return block if len(path) < 2 else None
        parent, key = self.value[str(path[0])], path[1]
        if not isinstance(key, str) or not key.isalnum():
            return None
        return self._member(key, parent[key]) if key in parent else block

    def _member(self, key: str, value: object) -> Place | None:
        """Where a plain word, or a list of plain words in brackets, stands as a member of a block at the top."""
        written = _written(value)
        if written is None or _ODD.search(self.text):
            return None
        found = re.compile(rf"^ +{key} *:(?P<value>.*)", re.MULTILINE).finditer(self.text)
        only = next(found, None)
        if only is None or next(found, None) is not None or only["value"].partition(" #")[0].strip() != written:
            return None
        begin = only.start("value") + len(only["value"]) - len(only["value"].lstrip())
        column = begin - self.text.rfind("\n", 0, begin)
        line = self.first_line + self.text.count("\n", 0, begin)
        return Place(self.file, line, column, column + len(written))

    def _top_block(self, key: PathPart) -> Place | None:
        """Where a key of the document itself stands whose value is a block, without composing; None when in doubt."""
        if not isinstance(self.value.get(str(key)), dict):
            return None
        found = re.compile(rf"^{re.escape(str(key))}:(?P<rest>.*)", re.MULTILINE).finditer(self.text)
        only = next(found, None)
        if only is None or next(found, None) is not None or only["rest"].strip():
            return None
        if not self.text[only.end() : only.end() + 200].lstrip()[:1].isalpha():
            return None
        line = self.first_line + self.text.count("\n", 0, only.start())
        return Place(self.file, line, 1, len(str(key)) + 1)

    def _first_key(self) -> Place | None:
        """Where the document's first key stands, without composing; None unless it is a plain word of a block."""
        begin = _FIRST_KEY.match(self.text)
        if begin is None or self.first_line + self.text.count("\n", 0, begin.start(1)) != self.line:
            return None
        return Place(self.file, self.line, 1, len(begin[1]) + 1)

    def _of(self, node: Node) -> Place:
        start, end = node.start_mark, node.end_mark
        same = end.line == start.line
        return Place(
            self.file,
            self.first_line + start.line,
            start.column + 1,
            (end.column + 1) if same and end.column > start.column else None,
        )


def _written(value: object) -> str | None:
    """How most authors write a word or a list of words; None for anything else."""
    if isinstance(value, str):
        return value if _WORD.fullmatch(value) else None
    if isinstance(value, list) and value and all(isinstance(item, str) and _WORD.fullmatch(item) for item in value):
        return f"[{', '.join(value)}]"
    return None


def _first(node: Node) -> Node:
    if isinstance(node, MappingNode) and node.value and not node.flow_style:
        first: Node = node.value[0][0]
        return first
    return node


def _child(node: Node, part: PathPart) -> tuple[Node | None, Node] | None:
    if isinstance(node, MappingNode) and isinstance(part, str):
        for key, value in node.value:
            if key.value == part:
                return key, value
    elif isinstance(node, SequenceNode) and isinstance(part, int) and 0 <= part < len(node.value):
        return None, node.value[part]
    return None


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """What one file holds: its documents in order and every problem of reading it.

    Attributes:
        file: path relative to the workspace.
        documents: the documents that could be read.
        problems: what kept others from being read; empty for a good file.
    """

    file: str
    documents: tuple[SourceDocument, ...]
    problems: tuple[DocumentError, ...] = ()


__all__ = ["ParsedFile", "PathPart", "SourceDocument"]
