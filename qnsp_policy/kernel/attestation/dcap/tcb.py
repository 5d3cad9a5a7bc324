"""TCB levels and their status: matching, convergence to the worst.

Comes in: parsed TCB info or QE identity, SVNs. Goes out: status, advisories, date of the level that is reached. Source: Intel PCS API
version 4, "Get TDX TCB Info" (comparison algorithm), "Get QE Identity", and version 3 (TCB info of version 2); Intel DCAP quote verification library (convergence).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from qnsp_policy.kernel.attestation.dcap.documents import DocumentFormError


class TcbStatus(StrEnum):
    """Words of the PCS; any other is an error."""

    UP_TO_DATE = "UpToDate"
    SW_HARDENING_NEEDED = "SWHardeningNeeded"
    CONFIGURATION_NEEDED = "ConfigurationNeeded"
    CONFIGURATION_AND_SW_HARDENING_NEEDED = "ConfigurationAndSWHardeningNeeded"
    OUT_OF_DATE = "OutOfDate"
    OUT_OF_DATE_CONFIGURATION_NEEDED = "OutOfDateConfigurationNeeded"
    REVOKED = "Revoked"


_REASONS: Final[Mapping[TcbStatus, frozenset[str]]] = {
    TcbStatus.UP_TO_DATE: frozenset(),
    TcbStatus.SW_HARDENING_NEEDED: frozenset({"software"}),
    TcbStatus.CONFIGURATION_NEEDED: frozenset({"configuration"}),
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED: frozenset({"configuration", "software"}),
    TcbStatus.OUT_OF_DATE: frozenset({"old"}),
    TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED: frozenset({"old", "configuration"}),
    TcbStatus.REVOKED: frozenset({"revoked"}),
}


_FLAT: Final = tuple(f"sgxtcbcomp{number:02d}svn" for number in range(1, 17))
_ORDER: Final = (
    TcbStatus.REVOKED,
    TcbStatus.OUT_OF_DATE_CONFIGURATION_NEEDED,
    TcbStatus.OUT_OF_DATE,
    TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED,
    TcbStatus.CONFIGURATION_NEEDED,
    TcbStatus.SW_HARDENING_NEEDED,
    TcbStatus.UP_TO_DATE,
)


def rank(status: TcbStatus) -> int:
    """0 (Revoked) to 6 (UpToDate), so that a floor can admit several statuses (claim `tcb.statusLevel`)."""
    return _ORDER.index(status)


class UnknownStatusError(ValueError):
    """A status word that is not of the PCS."""


@dataclass(frozen=True, slots=True)
class Level:
    """A level that is reached."""

    status: TcbStatus
    advisories: tuple[str, ...]
    date: str


def converge(statuses: Sequence[TcbStatus]) -> TcbStatus:
    """The worst of several: reasons are joined, revoked and old outweigh the need of software hardening."""
    reasons = frozenset().union(*(_REASONS[status] for status in statuses))
    if "revoked" in reasons:
        return TcbStatus.REVOKED
    if "old" in reasons:
        reasons -= {"software"}
    return next(status for status, own in _REASONS.items() if own == reasons)


def level_of(entry: Mapping[str, Any]) -> Level:
    """Status, advisories and date of a level.

    Raises:
        UnknownStatusError: the word is not known.
    """
    word = entry.get("tcbStatus")
    try:
        status = TcbStatus(str(word))
    except ValueError as error:
        raise UnknownStatusError(str(word)) from error
    advisories = entry.get("advisoryIDs") or []
    if not isinstance(advisories, list) or not all(isinstance(item, str) for item in advisories):
        raise DocumentFormError("advisoryIDs are not a list of text")
    return Level(status, tuple(advisories), str(entry.get("tcbDate", "")))


def integer(value: object, limit: int, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
        raise DocumentFormError(f"{what} is not a number from 0 to {limit}")
    return value


def hexadecimal(value: object, size: int, what: str) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * size:
        raise DocumentFormError(f"{what} is not {2 * size} hex digits")
    try:
        return bytes.fromhex(value)
    except ValueError as error:
        raise DocumentFormError(f"{what} is not {2 * size} hex digits") from error


def listed(value: object, what: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise DocumentFormError(f"{what} is not a list of objects")
    return value


def member(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    if not isinstance(found, dict):
        raise DocumentFormError(f"{name} is not an object")
    return found


def identity_of(tcb_info: Mapping[str, Any]) -> object:
    """`id` of a TCB info; version 2 (PCS API version 3), which is SGX's only, has none."""
    return tcb_info.get("id", "SGX" if tcb_info.get("version") == 2 else None)


def _components(tcb: Mapping[str, Any], name: str) -> tuple[int, ...]:
    if name not in tcb and name == "sgxtcbcomponents":  # version 2 names each component
        return tuple(integer(tcb.get(flat), 255, flat) for flat in _FLAT)
    entries = listed(tcb.get(name), name)
    if len(entries) != 16:
        raise DocumentFormError(f"{name} has {len(entries)} entries, expected 16")
    return tuple(integer(entry.get("svn"), 255, f"{name}.svn") for entry in entries)


def platform_level(
    levels: Sequence[Mapping[str, Any]], components: Sequence[int], pce_svn: int, tee_tcb_svn: bytes | None
) -> Level | None:
    """The first level in list order that the platform reaches, None if there is none.

    Args:
        levels: `tcbLevels` of the TCB info.
        components: the 16 of the PCK certificate.
        pce_svn: of the PCK certificate.
        tee_tcb_svn: of the TD report, None for SGX. With a module major (byte 1) above 0, bytes 0 and 1 are the module's and are
            judged by its identity instead.
    """
    for entry in levels:
        tcb = member(entry, "tcb")
        if any(own < wanted for own, wanted in zip(components, _components(tcb, "sgxtcbcomponents"), strict=True)):
            continue
        if pce_svn < integer(tcb.get("pcesvn"), 65535, "pcesvn"):
            continue
        if tee_tcb_svn is not None:
            first = 2 if tee_tcb_svn[1] > 0 else 0
            wanted_td = _components(tcb, "tdxtcbcomponents")
            if any(own < wanted for own, wanted in zip(tee_tcb_svn[first:], wanted_td[first:], strict=True)):
                continue
        return level_of(entry)
    return None


def isv_level(levels: Sequence[Mapping[str, Any]], svn: int) -> Level | None:
    """The first level of an enclave or module identity whose `isvsvn` is reached."""
    for entry in levels:
        if svn >= integer(member(entry, "tcb").get("isvsvn"), 65535, "isvsvn"):
            return level_of(entry)
    return None


@lru_cache(maxsize=4096)
def masked(value: bytes, mask: bytes) -> bytes:
    return bytes(own & bits for own, bits in zip(value, mask, strict=True))


__all__ = [
    "Level",
    "TcbStatus",
    "UnknownStatusError",
    "converge",
    "hexadecimal",
    "identity_of",
    "integer",
    "isv_level",
    "level_of",
    "listed",
    "masked",
    "member",
    "platform_level",
    "rank",
]
