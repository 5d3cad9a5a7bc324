"""The members of a batch line, read strictly: each reader returns a value or refuses with QNSP-ATT-BAT-002.

Comes in: the plain JSON of a line or of a policy file. Goes out: values of `values.py`. Format: docs/formats/attest-batch.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from qnsp_policy.kernel.attestation.nvidia_gpu.versions import version_number
from qnsp_policy.kernel.attestation.refusal import Code, EvidenceError
from qnsp_policy.kernel.attestation.values import (
    Alternative,
    AssuranceClass,
    ClaimValue,
    EvidenceKind,
    Machine,
    VerifiedClaims,
)
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_object

LINE = Code("QNSP-ATT-BAT-001", 0, "request", "the line is not a JSON object of the batch format")
MEMBER = Code("QNSP-ATT-BAT-002", 0, "request", "a member of the line is missing, unknown or of another type")
FILE = Code("QNSP-ATT-BAT-003", 0, "request", "a file that the line names cannot be read")
ANCHOR = Code("QNSP-ATT-BAT-004", 0, "request", "an anchor that the line names is not a certificate")
FAILED = Code("QNSP-ATT-BAT-005", 0, "request", "a part of ours failed on this line, which is therefore refused")

KIND = Code("QNSP-ATT-BAT-006", 0, "request", "the kind of the evidence cannot be told from its bytes: name it")

MAX_LINE: Final = 1024 * 1024
MAX_ALTERNATIVES: Final = 256
POLICY_MEMBERS: Final = frozenset(
    {"equals", "floors", "requireChecked", "assurance", "alternatives", "machine", "expectedReportData", "nonce"}
)
"""What a policy file may hold, and a line too."""
MEMBERS: Final = POLICY_MEMBERS | {
    "id",
    "kind",
    "evidence",
    "endorsements",
    "collateral",
    "anchors",
    "now",
    "policy",
    "binding",
    "devices",
}
_ALTERNATIVE_MEMBERS: Final = frozenset({"name", "kind", "equals", "floors", "devices", "notAfter"})
_MODES: Final = frozenset({"", "spt", "mpt", "ppcie"})
_VERSIONS: Final = frozenset({"driver", "vbios"})
_FIELD: Final = 64
_PADDED: Final = frozenset({EvidenceKind.SEV_SNP, EvidenceKind.TDX, EvidenceKind.SGX})
MIN_NONCE: Final = 1


def any_object(data: bytes) -> Mapping[str, Any]:
    """A JSON object of any members."""
    try:
        return parse_object(data, max_bytes=MAX_LINE)
    except CanonicalJsonError as error:
        raise EvidenceError(LINE, error.message) from error


def read_object(data: bytes, allowed: frozenset[str]) -> Mapping[str, Any]:
    """A JSON object with no other members than those."""
    value = any_object(data)
    known(value, allowed)
    return value


def known(value: Mapping[str, Any], allowed: frozenset[str]) -> None:
    """Refuses members that are not known."""
    if unknown := value.keys() - allowed:
        raise EvidenceError(MEMBER, f"unknown: {', '.join(sorted(unknown))[:200]}")


def text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise EvidenceError(MEMBER, "text is wanted", subject=name)
    return found


def texts(value: object, name: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise EvidenceError(MEMBER, "a list of text is wanted", subject=name)
    return value


def texts_by_name(value: Mapping[str, Any], name: str) -> Mapping[str, str]:
    found = value.get(name, {})
    if not isinstance(found, dict) or not all(isinstance(item, str) for item in found.values()):
        raise EvidenceError(MEMBER, "an object of text is wanted", subject=name)
    return found


def equals(value: Mapping[str, Any]) -> Mapping[str, ClaimValue]:
    found = value.get("equals", {})
    if not isinstance(found, dict) or not all(isinstance(item, (str, int, bool)) for item in found.values()):
        raise EvidenceError(MEMBER, "an object of text, numbers and booleans is wanted", subject="equals")
    return found


def floors(value: Mapping[str, Any]) -> dict[str, int]:
    """Floors by claim; those of driver and VBIOS may be versions as text."""
    found = value.get("floors", {})
    if not isinstance(found, dict):
        raise EvidenceError(MEMBER, "an object of numbers is wanted", subject="floors")
    numbers: dict[str, int] = {}
    for name, floor in found.items():
        if isinstance(floor, str) and name in _VERSIONS:
            try:
                numbers[name] = version_number(floor)
            except ValueError as error:
                raise EvidenceError(MEMBER, str(error), subject="floors") from error
        elif isinstance(floor, int) and not isinstance(floor, bool):
            numbers[name] = floor
        else:
            raise EvidenceError(MEMBER, "an object of numbers is wanted", subject="floors")
    return numbers


def hexadecimal(value: object, name: str) -> bytes:
    try:
        return bytes.fromhex(value) if isinstance(value, str) else _refuse_type()
    except ValueError as error:
        raise EvidenceError(MEMBER, "hex digits are wanted", subject=name) from error


def _refuse_type() -> bytes:
    raise ValueError("not text")


def expected_of(value: Mapping[str, Any], kind: EvidenceKind) -> bytes | None:
    """What the evidence must bind: the whole field, or a nonce as the field of the kind carries it."""
    if "expectedReportData" in value and "nonce" in value:
        raise EvidenceError(MEMBER, "expectedReportData and nonce are two ways to say one thing", subject="nonce")
    if "expectedReportData" in value:
        return hexadecimal(value["expectedReportData"], "expectedReportData")
    if "nonce" not in value:
        return None
    nonce = hexadecimal(value["nonce"], "nonce")
    limit = _FIELD if kind in _PADDED else 1024
    if not MIN_NONCE <= len(nonce) <= limit:
        raise EvidenceError(MEMBER, f"a nonce of 1 to {limit} bytes is wanted", subject="nonce")
    return nonce.ljust(_FIELD, b"\0") if kind in _PADDED else nonce


def moment(value: object, name: str = "now") -> datetime:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise EvidenceError(MEMBER, "a time of RFC 3339 is wanted", subject=name) from error
    if found.tzinfo is None:
        raise EvidenceError(MEMBER, "a time with its zone is wanted", subject=name)
    try:
        return found.astimezone(UTC)
    except OverflowError as error:
        raise EvidenceError(MEMBER, "a time of the years 1 to 9999 is wanted", subject=name) from error


def kind_of(value: object) -> EvidenceKind:
    try:
        return EvidenceKind(str(value) if isinstance(value, str) else "")
    except ValueError as error:
        raise EvidenceError(MEMBER, f"{value!r:.60} is no kind", subject="kind") from error


def assurance_of(value: Mapping[str, Any]) -> frozenset[AssuranceClass]:
    """The acceptable classes; all of them where a line does not say."""
    if "assurance" not in value:
        return frozenset(AssuranceClass)
    try:
        return frozenset(AssuranceClass(word) for word in texts(value["assurance"], "assurance"))
    except ValueError as error:
        raise EvidenceError(MEMBER, str(error), subject="assurance") from error


def machine_of(value: Mapping[str, Any]) -> Machine | None:
    """The rule for a machine's devices, None where there is none."""
    if "machine" not in value:
        return None
    found = value["machine"]
    if not isinstance(found, dict):
        raise EvidenceError(MEMBER, "an object is wanted", subject="machine")
    known(found, frozenset({"gpus", "switches", "mode", "devtools"}))
    gpus, switches, mode, devtools = (
        found.get("gpus"),
        found.get("switches", 0),
        found.get("mode", ""),
        found.get("devtools", False),
    )
    if type(gpus) is not int or type(switches) is not int or mode not in _MODES or type(devtools) is not bool:
        raise EvidenceError(MEMBER, "gpus and switches are numbers, mode is spt, mpt or ppcie", subject="machine")
    return Machine(gpus, switches, mode, devtools)


def _alternative(value: object, kind: EvidenceKind, name: str) -> Alternative:
    if not isinstance(value, dict):
        raise EvidenceError(MEMBER, "a list of objects is wanted", subject="alternatives")
    known(value, _ALTERNATIVE_MEMBERS)
    own = kind_of(value["kind"]) if "kind" in value else kind
    devices = value.get("devices", [])
    if not isinstance(devices, list) or len(devices) > 64:
        raise EvidenceError(MEMBER, "a list of objects is wanted", subject="devices")
    return Alternative(
        name=text(value, "name") if "name" in value else name,
        kind=own,
        equals=equals(value),
        floors=floors(value),
        devices=tuple(
            _alternative(device, EvidenceKind.NVIDIA_GPU, f"{name}/device{index}")
            for index, device in enumerate(devices)
        ),
        not_after=moment(value["notAfter"], "notAfter") if value.get("notAfter") is not None else None,
    )


def alternatives_of(value: Mapping[str, Any], claims: VerifiedClaims) -> tuple[Alternative, ...]:
    """The alternatives of a request: one of its `equals` and `floors`, or each of `alternatives` with these on top.

    A TCB status of Intel is shown, not judged, unless the request wants one; devices are any, unless an alternative says which.
    """
    common, least = equals(value), floors(value)
    listed = value.get("alternatives")
    if listed is None:
        found: Sequence[Alternative] = (Alternative("line", claims.kind, {}),)
        if "tcb.statusLevel" in claims.claims and "tcbStatus" not in common:
            least = {"tcb.statusLevel": 0, **least}
    elif not isinstance(listed, list) or len(listed) > MAX_ALTERNATIVES:
        raise EvidenceError(MEMBER, "a list of objects is wanted", subject="alternatives")
    else:
        found = [_alternative(one, claims.kind, f"alternative {index}") for index, one in enumerate(listed)]
    stated = [isinstance(one, dict) and "devices" in one for one in ([{}] if listed is None else listed)]
    return tuple(
        replace(
            one,
            equals={**one.equals, **common},
            floors={**one.floors, **least},
            devices=one.devices if says else _any(claims),
        )
        for one, says in zip(found, stated, strict=True)
    )


def _any(claims: VerifiedClaims) -> tuple[Alternative, ...]:
    return tuple(Alternative("device", device.kind, {}) for device in claims.devices)


__all__ = [
    "ANCHOR",
    "FAILED",
    "FILE",
    "KIND",
    "LINE",
    "MAX_LINE",
    "MEMBER",
    "MEMBERS",
    "POLICY_MEMBERS",
    "alternatives_of",
    "any_object",
    "assurance_of",
    "equals",
    "expected_of",
    "floors",
    "hexadecimal",
    "kind_of",
    "known",
    "machine_of",
    "moment",
    "read_object",
    "text",
    "texts",
    "texts_by_name",
]
