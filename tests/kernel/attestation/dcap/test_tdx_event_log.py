"""The measured event log: replayed to the RTMRs of a verified quote, or refused."""

from __future__ import annotations

import hashlib
import struct
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnsp_policy.kernel.attestation.event_log import EventLogError, parse, replay
from qnsp_policy.kernel.attestation.values import Verdict

Machine = Any
EVENTS = (
    (1, 0x80000001, b"variable"),
    (1, 4, b"separator"),
    (2, 0x80000003, b"kernel"),
    (3, 0xD, b"cmdline"),
    (4, 0x3, b"no action"),
)


def first(algorithms: tuple[tuple[int, int], ...] = ((0x000C, 48),)) -> bytes:
    """The Spec ID event."""
    body = b"Spec ID Event03\0" + struct.pack("<IBBBB", 0, 0, 2, 0, 2) + struct.pack("<I", len(algorithms))
    body += b"".join(struct.pack("<HH", *algorithm) for algorithm in algorithms) + b"\0"
    return struct.pack("<II", 1, 3) + bytes(20) + struct.pack("<I", len(body)) + body


def event(register: int, kind: int, data: bytes) -> bytes:
    return (
        struct.pack("<IIIH", register, kind, 1, 0x000C)
        + hashlib.sha384(data).digest()
        + struct.pack("<I", len(data))
        + data
    )


def log(*, tail: bytes = b"") -> bytes:
    return first() + b"".join(event(*one) for one in EVENTS) + tail


def expected() -> list[bytes]:
    """RTMR0 to RTMR3, by hand."""
    registers = [bytes(48)] * 4
    for register, kind, data in EVENTS:
        if kind != 3:
            registers[register - 1] = hashlib.sha384(registers[register - 1] + hashlib.sha384(data).digest()).digest()
    return registers


def test_log_adds_up_to_the_quote(tdx: Machine) -> None:
    """A log that came along is held against the verified RTMRs; filler behind it is no event."""
    quote = tdx.platform.quote(tdx.report(rtmrs=expected()))
    for tail in (b"", b"\xff" * 100, bytes(64)):
        claims = tdx.judge(quote, endorsements={"event-log": log(tail=tail)})
        assert {s.name: s.verdict for s in claims.statements}["event-log"] is Verdict.SIMULATED
    assert "event-log" not in {s.name for s in tdx.judge(quote).statements}


@pytest.mark.parametrize("change", [0, 2, 3])
def test_log_that_does_not_add_up(tdx: Machine, change: int) -> None:
    """A log with an event more, less, or changed is refused, naming the register."""
    quote = tdx.platform.quote(tdx.report(rtmrs=expected()))
    events = list(EVENTS)
    events[change] = (events[change][0], events[change][1], b"other")
    changed = first() + b"".join(event(*one) for one in events)
    for data in (changed, log() + event(4, 0xD, b"more"), first()):
        tdx.refused(98, quote, endorsements={"event-log": data})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        log()[:-1],
        first(((0x000B, 32),)),
        first()[:40],
        first() + struct.pack("<III", 9, 1, 1),
        first() + struct.pack("<IIIH", 1, 1, 1, 0x000B) + bytes(32),
        first() + struct.pack("<III", 1, 1, 99),
        log(tail=b"\xff\xff\xff\xff\x00"),
    ],
)
def test_malformed_log(tdx: Machine, data: bytes) -> None:
    """Cut, of another hash, of a register that is none, with too many digests, or with bytes behind the filler."""
    tdx.refused(97, endorsements={"event-log": data})


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_log_parser_raises_only_its_error(data: bytes) -> None:
    """On any bytes the parser raises only its own error."""
    for head in (b"", first(), first() + struct.pack("<IIIH", 1, 4, 1, 0x000C) + bytes(48)):
        try:
            replay(parse(head + data))
        except EventLogError:
            continue


def test_time_grows_with_the_log_and_no_faster() -> None:
    """A log of the largest size is read in the time that its bytes take, not in their square."""
    small, large = (first() + event(1, 13, b"") * count for count in (6_000, 60_000))
    spent = []
    for data, count in ((small, 6_000), (large, 60_000)):
        started = time.process_time()
        assert len(parse(data)) == count
        spent.append(time.process_time() - started)
    assert spent[1] < 30 * max(spent[0], 0.02)
