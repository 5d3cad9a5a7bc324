"""Single-byte flips of everything recorded: refused, or in a byte that nothing signs, for the reason that stands here.

In every test run: one bit of every byte of evidence and of what travels with it, of large collateral every so manieth byte.
`make flips` (QNSP_FLIPS=all): every byte of everything, in four patterns.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

import pytest

from qnsp_policy.kernel.attestation.values import Statement, Verdict, VerifiedClaims
from tests.kernel.attestation.recorded import EVIDENCE, RECORDED, Recorded

ALL = os.environ.get("QNSP_FLIPS") == "all"
PATTERNS = (0x01, 0x80, 0xFF, 0x20) if ALL else (0x01,)
LARGE = 10_000
UNSIGNED: Mapping[tuple[str, str], tuple[tuple[int, int, str], ...]] = {
    ("azure", EVIDENCE): (
        (0x8, 0x10, "size and request type in the HCL header; the report within and its runtime data are signed"),
        (0x4C4, 0x4C8, "version of the runtime data, which says nothing about how they are read"),
    ),
}
"""Bytes of evidence or of what travels with it whose change is not refused; claims and statements stay what they were."""
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


def is_line_end(data: bytes, at: int) -> bool:
    """Whether a byte of PEM stands between blocks, or is a line end within one: no certificate holds it."""
    inside = any(match.start() <= at < match.end() for match in _PEM.finditer(data))
    return not inside or data[at] in b"\r\n"


def flips(recorded: Recorded, part: str) -> Iterator[tuple[int, int, VerifiedClaims]]:
    """Every flip of a part that was not refused: where, the pattern, and what was said."""
    data = recorded.parts()[part]
    step = 1 if ALL or len(data) < LARGE else 29
    for pattern in PATTERNS:
        for at in range(len(data) % step, len(data), step):
            claims = recorded.judge(part, data[:at] + bytes([data[at] ^ pattern]) + data[at + 1 :])
            if claims is not None:
                yield at, pattern, claims


def parts_of(*, collateral: bool) -> list[tuple[str, str]]:
    found = []
    for name, make in RECORDED.items():
        recorded = make()
        found += [(name, part) for part in recorded.parts() if (part in recorded.collateral) is collateral]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "part"), parts_of(collateral=False))
def test_no_flipped_byte_of_evidence_passes(name: str, part: str) -> None:
    """Refused, but for the listed bytes that nothing signs and the line ends of PEM: there every claim stays the same."""
    recorded = RECORDED[name]()
    good, data = recorded.judge(), recorded.parts()[part]
    assert good is not None
    listed = UNSIGNED.get((name, part), ())
    for at, pattern, claims in flips(recorded, part):
        known = any(start <= at < end for start, end, _ in listed)
        known |= data.startswith(b"-----BEGIN") and is_line_end(data, at)
        assert known, f"byte {at} with pattern {pattern:02x} is accepted"
        assert claims == good, f"byte {at} with pattern {pattern:02x} changes what is said"


def weaker(good: VerifiedClaims, claims: VerifiedClaims) -> bool:
    """Whether claims say nothing but what the good ones say; what they no longer say is stated as not checked."""

    def by_name(statements: tuple[Statement, ...]) -> dict[str, Statement]:
        return {statement.name: statement for statement in statements}

    before, after = by_name(good.statements), by_name(claims.statements)
    told = all(
        statement == before.get(name) or statement.verdict is Verdict.NOT_CHECKED for name, statement in after.items()
    )
    return told and all(good.claims.get(name) == value for name, value in claims.claims.items())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "part"), parts_of(collateral=True))
def test_no_flipped_byte_of_collateral_passes_unseen(name: str, part: str) -> None:
    """Collateral is refused, or did not count, or is no longer taken for what it was: then what it vouched for is not checked."""
    recorded = RECORDED[name]()
    good = recorded.judge()
    assert good is not None
    for at, pattern, claims in flips(recorded, part):
        assert weaker(good, claims), f"byte {at} with pattern {pattern:02x} changes what is said"


def test_listed_bytes_are_of_something() -> None:
    """Every entry of the list names a part that exists, and bytes within it."""
    for (name, part), ranges in UNSIGNED.items():
        size = len(RECORDED[name]().parts()[part])
        assert all(0 <= start < end <= size and reason for start, end, reason in ranges)


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_material_is_good_unchanged(name: str) -> None:
    """What is flipped is accepted by its verifier as it stands."""
    assert RECORDED[name]().judge() is not None
