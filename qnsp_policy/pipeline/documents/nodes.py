"""The C parser of PyYAML under YAML 1.2 core rules, and the walk from its nodes to plain values.

libyaml's composer is driven with hooks of our own: no implicit tags (so that no YAML 1.1 resolver runs), a depth cap
that fires before the C stack grows, and marks kept as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from yaml import MappingNode, Node, ScalarNode, SequenceNode, YAMLError
from yaml._yaml import CParser

MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps (RFC 8259 section 6); larger ones are refused."""

MAX_SCALAR = 256 * 1024
"""Characters in one scalar: certificates and public keys are below 20,000."""

_PLAIN = "plain"
_QUOTED = "quoted"
_COLLECTION = "collection"


class TooDeepError(Exception):
    """Nesting beyond MAX_DEPTH; internal, becomes a problem in the reader."""


class _Parser(CParser):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def resolve(self, kind: type[Node], _value: object, implicit: Any) -> str:
        if kind is ScalarNode:
            return _PLAIN if implicit[0] else _QUOTED
        return _COLLECTION

    def descend_resolver(self, _parent: object, _index: object) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise TooDeepError

    def ascend_resolver(self) -> None:
        self._depth -= 1


def compose(text: str) -> Node | None:
    """The node tree of a text that holds at most one document.

    Raises:
        yaml.YAMLError: not YAML.
        TooDeepError: nested deeper than MAX_DEPTH.
    """
    parser = _Parser(text)
    if not parser.check_node():
        return None
    node = parser.get_node()
    if parser.check_node():
        raise YAMLError("a second document begins without `---`")
    return node


def events(text: str) -> Any:
    """The event stream of a text, for what node trees do not tell (anchors, tags); stops at the first error."""
    parser = CParser(text)
    while parser.check_event():
        yield parser.get_event()


_NUMERIC_START = frozenset("0123456789+-.")
_WORDS: dict[str, Any] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")

Report = Callable[[str, str, Node, str], None]
"""code, message, node, next step."""


def plain_scalar(text: str, node: Node, report: Report) -> Any:
    """The value of a plain scalar by the core schema of YAML 1.2.2, section 10.3.2."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC_START:
        return text
    if _INTEGER.fullmatch(text):
        if len(text) > 24:
            number = None
        elif text[:2] in ("0o", "0x"):
            number = int(text, 0)
        else:
            number = int(text)
        if number is None or abs(number) > MAX_INTEGER:
            report(
                "QNSP-DOC-023",
                "this integer is beyond 2^53 - 1, where JSON readers stop agreeing",
                node,
                "quote it to make it text, or use a unit (2M, 64Gi)",
            )
            return None
        return number
    if _FLOAT.fullmatch(text):
        number_ = float(text) if len(text) <= 64 else float("inf")
        if number_ in (float("inf"), float("-inf")):
            report("QNSP-DOC-023", "this number does not fit a 64-bit float", node, "quote it to make it text")
            return None
        return number_
    if _NOT_FINITE.fullmatch(text):
        report("QNSP-DOC-023", "infinity and not-a-number cannot stand in a document", node, "write a finite number")
        return None
    return text


def to_value(root: Node, report: Report) -> Any:
    """Plain values of a node tree; duplicate keys, merge keys, tags and bad numbers are reported, never raised."""

    def walk(node: Node) -> Any:
        tag = node.tag
        if tag is _PLAIN:
            value = node.value
            if value and value[0] not in _STARTS:
                if len(value) > MAX_SCALAR:
                    report("QNSP-DOC-027", "this text is longer than 256 KiB", node, "keep it in a file of its own")
                return value
            return plain_scalar(value, node, report)
        if tag is _QUOTED:
            if len(node.value) > MAX_SCALAR:
                report("QNSP-DOC-027", "this text is longer than 256 KiB", node, "keep it in a file of its own")
            return node.value
        if tag is not _COLLECTION:
            report(
                "QNSP-DOC-009",
                f"the tag {str(tag)[:80]!r} is not allowed",
                node,
                "remove the tag; quote a value to make it text",
            )
        if type(node) is MappingNode:
            mapping: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = key_node.value
                if type(key_node) is not ScalarNode:
                    report("QNSP-DOC-022", "a key must be text", key_node, "write the key as one word")
                    walk(value_node)
                    continue
                if key_node.tag is _PLAIN:
                    if key == "<<":
                        report("QNSP-DOC-008", "merge keys (<<) are not allowed", key_node, "write the fields out")
                    elif (not key or key[0] in _STARTS) and plain_scalar(key, key_node, report) is not key:
                        report(
                            "QNSP-DOC-022",
                            f"the key {key[:80]!r} is not text but a number, boolean or null",
                            key_node,
                            "quote the key",
                        )
                elif key_node.tag is not _QUOTED:
                    walk(key_node)
                if key in mapping:
                    report(
                        "QNSP-DOC-006",
                        f"the key `{key[:80]}` stands here a second time",
                        key_node,
                        "keep one of the two: a reader could take either",
                    )
                mapping[key] = walk(value_node)
            return mapping
        if type(node) is SequenceNode:
            return [walk(item) for item in node.value]
        return node.value

    return walk(root)


_STARTS = frozenset("0123456789+-.~nNtTfF")

__all__ = ["MAX_DEPTH", "TooDeepError", "compose", "events", "to_value"]
