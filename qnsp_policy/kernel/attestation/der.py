"""A strict reader of DER (X.690), as far as certificates and their extensions need it.

Comes in: bytes. Goes out: tag, content and position of each value. Refuses indefinite and non-minimal lengths, high tag numbers,
lengths past the end and nesting by the caller's own choice (this reader never recurses). Exists because AMD's VCEK and VLEK
certificates have serial number 0, which `cryptography` announces to refuse (pyca/cryptography issue 12948).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OID: Final = 0x06
ENUMERATED: Final = 0x0A
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31


class DerError(ValueError):
    """Bytes are not the DER that was asked for; callers turn it into their own code."""


@dataclass(frozen=True, slots=True)
class Value:
    """One tag-length-value: `start`..`end` is the whole of it in `data`, `body`..`end` its content."""

    data: bytes
    tag: int
    start: int
    body: int
    end: int

    @property
    def content(self) -> bytes:
        return self.data[self.body : self.end]

    @property
    def raw(self) -> bytes:
        return self.data[self.start : self.end]

    def children(self) -> list[Value]:
        return list(walk(self.data, self.body, self.end))


def read(data: bytes, start: int, end: int) -> Value:
    """The value that begins at `start` and must end at or before `end`."""
    if start + 2 > end:
        raise DerError("cut short")
    tag = data[start]
    if tag & 0x1F == 0x1F:
        raise DerError("high tag number")
    length = data[start + 1]
    body = start + 2
    if length >= 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or body + count > end:
            raise DerError("length is not DER")
        length = int.from_bytes(data[body : body + count], "big")
        if length < 0x80 or length >> (8 * (count - 1)) == 0:
            raise DerError("length is not minimal")
        body += count
    if body + length > end:
        raise DerError("length past the end")
    return Value(data, tag, start, body, body + length)


def walk(data: bytes, start: int, end: int) -> Iterator[Value]:
    """The values that stand one after the other in `start`..`end`."""
    while start < end:
        value = read(data, start, end)
        yield value
        start = value.end


def whole(data: bytes, tag: int) -> Value:
    """The one value that `data` is; trailing bytes are refused."""
    value = read(data, 0, len(data))
    if value.end != len(data):
        raise DerError("trailing bytes")
    return expect(value, tag)


def expect(value: Value, tag: int) -> Value:
    if value.tag != tag:
        raise DerError(f"tag 0x{value.tag:02x}, expected 0x{tag:02x}")
    return value


def integer(value: Value) -> int:
    """A DER INTEGER, minimal as DER demands."""
    content = expect(value, INTEGER).content
    if not content or (len(content) > 1 and content[0] in (0, 0xFF) and (content[0] >> 7) == (content[1] >> 7)):
        raise DerError("INTEGER is not minimal")
    return int.from_bytes(content, "big", signed=True)


def boolean(value: Value) -> bool:
    content = expect(value, BOOLEAN).content
    if content not in (b"\x00", b"\xff"):
        raise DerError("BOOLEAN is not DER")
    return content == b"\xff"


def oid(value: Value) -> str:
    """An OBJECT IDENTIFIER in dotted form."""
    content = expect(value, OID).content
    if not content or len(content) > 64 or content[-1] & 0x80:
        raise DerError("OBJECT IDENTIFIER is cut short")
    arcs: list[int] = []
    number = 0
    fresh = True
    for byte in content:
        if fresh and byte == 0x80:
            raise DerError("OBJECT IDENTIFIER is not minimal")
        number = number << 7 | byte & 0x7F
        fresh = not byte & 0x80
        if fresh:
            arcs.append(number)
            number = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


def time(value: Value) -> datetime:
    """UTCTime or GeneralizedTime in the form of RFC 5280 section 4.1.2.5 (seconds, Z)."""
    form = {UTC_TIME: "%y%m%d%H%M%SZ", GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}.get(value.tag)
    content = value.content
    if (
        form is None
        or len(content) != (13 if value.tag == UTC_TIME else 15)
        or not content[:-1].isdigit()
        or content[-1:] != b"Z"
    ):
        raise DerError("not a time of RFC 5280")
    text = content.decode("ascii")
    if value.tag == UTC_TIME:  # RFC 5280: years 50..99 are 19xx
        text = ("19" if text[:2] >= "50" else "20") + text
    try:
        return datetime(
            int(text[:4]),
            int(text[4:6]),
            int(text[6:8]),
            int(text[8:10]),
            int(text[10:12]),
            int(text[12:14]),
            tzinfo=UTC,
        )
    except ValueError:
        raise DerError("not a time of RFC 5280") from None


def bits(value: Value) -> bytes:
    """The bytes of a BIT STRING of whole bytes."""
    content = expect(value, BIT_STRING).content
    if not content or content[0] != 0:
        raise DerError("BIT STRING has unused bits")
    return content[1:]


__all__ = [
    "BIT_STRING",
    "BOOLEAN",
    "ENUMERATED",
    "GENERALIZED_TIME",
    "INTEGER",
    "OCTET_STRING",
    "OID",
    "SEQUENCE",
    "SET",
    "UTC_TIME",
    "DerError",
    "Value",
    "bits",
    "boolean",
    "expect",
    "integer",
    "oid",
    "read",
    "time",
    "walk",
    "whole",
]
