"""Structured field values for HTTP (RFC 9651), as far as signatures and digests need them.

Comes in: a field value as text. Goes out: dictionaries of items and inner lists with parameters, and back to text.
Not read: decimals, dates, display strings (no field of ours has them).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from qnsp_policy.errors import PeerError

_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,15}(?![\d.])", re.ASCII)
_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"', re.ASCII)
_BYTES = re.compile(r":([A-Za-z0-9+/]*={0,2}):", re.ASCII)
_SPACE = re.compile(r"[ \t]*", re.ASCII)
_MAX: Final = 64 * 1024


class Token(str):
    """A token, which is written without quotes."""

    __slots__ = ()


Bare = int | str | Token | bytes | bool


@dataclass(frozen=True, slots=True)
class Item:
    """A bare item with its parameters, in order."""

    value: Bare
    parameters: Mapping[str, Bare] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InnerList:
    """A list in parentheses with its parameters, in order."""

    items: tuple[Item, ...]
    parameters: Mapping[str, Bare] = field(default_factory=dict)


Member = Item | InnerList


def _malformed(message: str) -> PeerError:
    return PeerError("QNSP-SIG-020", f"malformed structured field: {message}")


class _Parser:
    def __init__(self, text: str) -> None:
        if len(text) > _MAX:
            raise _malformed(f"{len(text)} characters; at most {_MAX} are read")
        self.text, self.at = text, 0

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def match(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise _malformed(f"{what} is wanted at character {self.at}")
        self.at = found.end()
        return found

    def bare(self) -> Bare:
        first = self.peek()
        if first == '"':
            return re.sub(r"\\(.)", r"\1", self.match(_STRING, "a string")[1])
        if first == ":":
            text = self.match(_BYTES, "a byte sequence")[1]
            try:
                return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
            except (binascii.Error, ValueError):
                raise _malformed("a byte sequence that is not base64") from None
        if first == "?":
            self.at += 2
            value = self.text[self.at - 1 : self.at]
            if value not in {"0", "1"}:
                raise _malformed("a boolean is ?0 or ?1")
            return value == "1"
        if first == "-" or first.isdigit():
            return int(self.match(_INTEGER, "an integer")[0])
        return Token(self.match(_TOKEN, "an item")[0])

    def parameters(self) -> dict[str, Bare]:
        found: dict[str, Bare] = {}
        while self.peek() == ";":
            self.at += 1
            while self.peek() == " ":
                self.at += 1
            name = self.match(_KEY, "a parameter name")[0]
            value: Bare = True
            if self.peek() == "=":
                self.at += 1
                value = self.bare()
            found.pop(name, None)
            found[name] = value
        return found

    def item(self) -> Item:
        value = self.bare()
        return Item(value, self.parameters())

    def member(self) -> Member:
        if self.peek() != "(":
            return self.item()
        self.at += 1
        items: list[Item] = []
        while True:
            while self.peek() == " ":
                self.at += 1
            if self.peek() == ")":
                self.at += 1
                return InnerList(tuple(items), self.parameters())
            if items and self.text[self.at - 1] != " ":
                raise _malformed("items of an inner list are parted by spaces")
            items.append(self.item())


def parse_dictionary(text: str) -> dict[str, Member]:
    """Reads a dictionary; of a name that stands twice the last value counts, as the standard says.

    Raises:
        PeerError: QNSP-SIG-020.
    """
    parser = _Parser(text.strip(" "))
    members: dict[str, Member] = {}
    while parser.at < len(parser.text):
        name = parser.match(_KEY, "a name")[0]
        if parser.peek() == "=":
            parser.at += 1
            value = parser.member()
        else:
            value = Item(True, parser.parameters())
        members.pop(name, None)
        members[name] = value
        parser.match(_SPACE, "a space")
        if parser.at == len(parser.text):
            break
        if parser.peek() != ",":
            raise _malformed(f"a comma is wanted at character {parser.at}")
        parser.at += 1
        parser.match(_SPACE, "a space")
        if parser.at == len(parser.text):
            raise _malformed("it ends with a comma")
    return members


def _write_bare(value: Bare) -> str:
    if isinstance(value, bool):
        return "?1" if value else "?0"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return f":{base64.b64encode(value).decode()}:"
    if isinstance(value, Token):
        return str(value)
    if any(not " " <= character <= "~" for character in value):
        raise ValueError("a structured string holds printable ASCII only")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write_parameters(parameters: Mapping[str, Bare]) -> str:
    return "".join(
        f";{name}" + ("" if value is True else "=" + _write_bare(value)) for name, value in parameters.items()
    )


def write_item(item: Item) -> str:
    """The canonical text of an item.

    Raises:
        ValueError: a string holds what a structured string cannot.
    """
    return _write_bare(item.value) + _write_parameters(item.parameters)


def write_member(member: Member) -> str:
    """The canonical text of an item or inner list."""
    if isinstance(member, Item):
        return write_item(member)
    return "(" + " ".join(write_item(item) for item in member.items) + ")" + _write_parameters(member.parameters)


def write_dictionary(members: Mapping[str, Member]) -> str:
    """The canonical text of a dictionary."""
    return ", ".join(f"{name}={write_member(member)}" for name, member in members.items())


__all__ = [
    "Bare",
    "InnerList",
    "Item",
    "Member",
    "Token",
    "parse_dictionary",
    "write_dictionary",
    "write_item",
    "write_member",
]
