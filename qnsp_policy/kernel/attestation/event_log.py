"""The measured event log of a TD (CCEL) and its replay to the RTMRs.

Comes in: the bytes of the log area, crypto-agile form. Goes out: events, and the RTMR values that they add up to; equal to a verified
quote's RTMRs, each event's digest is vouched for, its description only as far as the digest covers it. Little-endian.
Sources: TCG PC Client Platform Firmware Profile 1.06 section 10.2 (TCG_PCR_EVENT2, Spec ID Event03); UEFI 2.10 section 38.4 (CC event
log; measurement register 1 to 4 is RTMR0 to RTMR3, 0 is MRTD).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MAX_LOG: Final = 4 * 1024 * 1024
MAX_EVENTS: Final = 65536
_NO_ACTION: Final = 3
_SHA384: Final = 0x000C
_SPEC_ID: Final = b"Spec ID Event03\0"
_END: Final = (b"\xff\xff\xff\xff", b"\0\0\0\0\0\0\0\0")


class EventLogError(ValueError):
    """The log is not well formed; callers turn it into their own code."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: measurement register (1 to 4 for RTMR0 to RTMR3), TCG event type, SHA-384 digest, description as sent."""

    register: int
    kind: int
    digest: bytes
    data: bytes


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise EventLogError(f"cut short at {self.at}")
        part = self.data[self.at : self.at + size]
        self.at += size
        return part

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")


def _sizes(reader: _Reader) -> dict[int, int]:
    """Digest sizes by algorithm, from the first event."""
    register, kind = reader.number(4), reader.number(4)
    reader.take(20)
    body = _Reader(reader.take(reader.number(4)))
    if register not in (0, 1) or kind != _NO_ACTION or body.take(16) != _SPEC_ID:
        raise EventLogError("the first event is not a Spec ID Event03")
    body.take(8)
    count = body.number(4)
    if not 1 <= count <= 16:
        raise EventLogError(f"{count} hash algorithms")
    sizes = {body.number(2): body.number(2) for _ in range(count)}
    if sizes.get(_SHA384) != 48:
        raise EventLogError("the log holds no SHA-384 digests")
    body.take(body.number(1))
    return sizes


def parse(data: bytes) -> tuple[Event, ...]:
    """Reads a log; it ends with its bytes, or where filler of FF or zero begins.

    Raises:
        EventLogError: not well formed, no SHA-384, too large, or bytes behind the filler's start that are no filler.
    """
    if len(data) > MAX_LOG:
        raise EventLogError(f"{len(data)} bytes; at most {MAX_LOG} are read")
    reader = _Reader(data)
    sizes = _sizes(reader)
    events: list[Event] = []
    while reader.at < len(data):
        ahead = data[reader.at : reader.at + 8]
        if ahead[:4] == _END[0] or ahead == _END[1]:
            if data[reader.at :].strip(ahead[:1]):
                raise EventLogError("something follows the filler")
            break
        if len(events) >= MAX_EVENTS:
            raise EventLogError(f"more than {MAX_EVENTS} events")
        register, kind, count = reader.number(4), reader.number(4), reader.number(4)
        if register > 4 or not 1 <= count <= len(sizes):
            raise EventLogError(f"event {len(events)} is of register {register} with {count} digests")
        digests: dict[int, bytes] = {}
        for _ in range(count):
            algorithm = reader.number(2)
            if algorithm not in sizes or algorithm in digests:
                raise EventLogError(f"event {len(events)} has a digest of algorithm 0x{algorithm:04x}")
            digests[algorithm] = reader.take(sizes[algorithm])
        if _SHA384 not in digests:
            raise EventLogError(f"event {len(events)} has no SHA-384 digest")
        events.append(Event(register, kind, digests[_SHA384], reader.take(reader.number(4))))
    return tuple(events)


def replay(events: Sequence[Event]) -> tuple[bytes, bytes, bytes, bytes]:
    """RTMR0 to RTMR3 that the events add up to; EV_NO_ACTION extends nothing, register 0 is MRTD and is not replayed."""
    registers = [bytes(48)] * 4
    for event in events:
        if event.kind != _NO_ACTION and event.register > 0:
            index = event.register - 1
            registers[index] = hashlib.sha384(registers[index] + event.digest).digest()
    return registers[0], registers[1], registers[2], registers[3]


__all__ = ["MAX_EVENTS", "MAX_LOG", "Event", "EventLogError", "parse", "replay"]
