"""Many verdicts in one process: JSON lines in, JSON lines out, order kept, one bad line never stops the rest.

Comes in: lines of docs/formats/attest-batch.md and a reader of files (a port: `batch_edge` reads the disk). Goes out: for each line the
verdict accepted or refused, code, step and the separate statements. Collateral is read once for each folder or list of files and
remembered; verified intermediates are remembered by content in `x509`; times are judged anew for each line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar

from qnsp_policy.errors import QnspError
from qnsp_policy.kernel.attestation.appraise import appraise
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.inspection import recognise
from qnsp_policy.kernel.attestation.refusal import Code, EvidenceError, collect
from qnsp_policy.kernel.attestation.registry import pinned_anchors, verify_any
from qnsp_policy.kernel.attestation.values import (
    Alternative,
    Anchor,
    AppraisalPolicy,
    AssuranceClass,
    Evidence,
    EvidenceKind,
    Statement,
    VerifiedClaims,
)
from qnsp_policy.kernel.attestation.x509 import CertificateError, certificates_of, load_certificate
from qnsp_policy.kernel.crypto.canonical import CanonicalJsonError, parse_object

LINE = Code("QNSP-ATT-BAT-001", 0, "request", "the line is not a JSON object of the batch format")
MEMBER = Code("QNSP-ATT-BAT-002", 0, "request", "a member of the line is missing, unknown or of another type")
FILE = Code("QNSP-ATT-BAT-003", 0, "request", "a file that the line names cannot be read")
ANCHOR = Code("QNSP-ATT-BAT-004", 0, "request", "an anchor that the line names is not a certificate")
CODES = collect(globals())
"""All of them, by code."""

_T = TypeVar("_T")
MAX_LINE: Final = 1024 * 1024
_MEMBERS: Final = frozenset(
    {
        "id",
        "kind",
        "evidence",
        "endorsements",
        "collateral",
        "anchors",
        "now",
        "expectedReportData",
        "equals",
        "floors",
        "requireChecked",
        "devices",
    }
)


class Files(Protocol):
    """The port to files: one file's bytes, or every file of a folder by name."""

    def read(self, name: str) -> bytes: ...

    def folder(self, name: str) -> Mapping[str, bytes]: ...

    def is_folder(self, name: str) -> bool: ...


@dataclass
class Batch:
    """Judges lines; holds what was read once (collateral by the names that a line gives).

    Attributes:
        files: where the names of a line lead.
        now: the time of lines that give none.
        anchors: the anchors of lines that give none; the pinned ones.
    """

    files: Files
    now: datetime
    anchors: Sequence[Anchor] = field(default_factory=pinned_anchors)
    _collateral: dict[tuple[str, ...], Collateral] = field(default_factory=dict)

    def judge(self, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        """One answer for each line that is not blank, in order; never raises for a line."""
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield self.judge_line(line, number)

    def judge_line(self, line: bytes, number: int = 1) -> dict[str, Any]:
        """The answer to one line."""
        answer: dict[str, Any] = {"line": number}
        try:
            request = _request(line)
            if "id" in request:
                answer["id"] = request["id"]
            return answer | self._verdict(request)
        except EvidenceError as error:
            return answer | _refused(error.code, error.step, error.step_name, error.message)
        except QnspError as error:
            return answer | _refused(error.code, 0, "request", error.message)

    def _verdict(self, request: Mapping[str, Any]) -> dict[str, Any]:
        now = _time(request["now"]) if "now" in request else self.now
        evidence = self._evidence(request)
        claims = verify_any(
            evidence,
            collateral=self._collateral_of(request.get("collateral")),
            anchors=self._anchors_of(request),
            now=now,
        )
        floors = dict(_floors(request))
        if (
            "tcb.statusLevel" in claims.claims
        ):  # a status is a claim that is shown; a line that wants a better one says so
            floors.setdefault("tcb.statusLevel", 0)
        devices = tuple(_any_device(device) for device in claims.devices)
        alternative = Alternative("line", claims.kind, _mapping(request, "equals"), floors, devices)
        policy = AppraisalPolicy(
            (alternative,),
            frozenset(AssuranceClass),
            frozenset(_texts(request.get("requireChecked", []), "requireChecked")),
            _hex(request["expectedReportData"]) if "expectedReportData" in request else None,
        )
        result = appraise(claims, policy, now)
        shown = _shown(claims, result.statements)
        if result.accepted:
            return {"verdict": "accepted", "code": "", "step": 0, "stepName": "", "detail": "", **shown}
        first = result.mismatches[0]
        code = (
            next((s.code for s in claims.statements if s.name == "debug" and first.code.endswith("APR-020")), "")
            or first.code
        )
        detail = f"{first.claim}: {first.seen}, required {first.required}"
        step, step_name = _step_of(code)
        return {**_refused(code, step, step_name, detail), **shown}

    def _evidence(self, request: Mapping[str, Any]) -> Evidence:
        data = self._read(_text(request, "evidence"))
        named = request.get("kind", "auto")
        if named == "auto":
            kind = recognise(data)
            if kind is None:
                raise EvidenceError(MEMBER, "the kind cannot be told from the bytes", subject="kind")
        else:
            try:
                kind = EvidenceKind(named)
            except ValueError as error:
                raise EvidenceError(MEMBER, f"{named!r} is no kind", subject="kind") from error
        endorsements = {name: self._read(path) for name, path in _texts_by_name(request, "endorsements").items()}
        devices = request.get("devices", [])
        if (
            not isinstance(devices, list)
            or not all(isinstance(device, dict) for device in devices)
            or len(devices) > 64
        ):
            raise EvidenceError(MEMBER, subject="devices")
        return Evidence(kind, data, endorsements, tuple(self._evidence(device) for device in devices))

    def _collateral_of(self, named: object) -> Collateral:
        names = (named,) if isinstance(named, str) else tuple(_texts(named or [], "collateral"))
        if names not in self._collateral:
            files: dict[str, bytes] = {}
            for name in names:
                if self.files.is_folder(name):
                    files |= self._guard(self.files.folder, name)
                else:
                    files[name] = self._read(name)
            self._collateral[names] = Collateral.from_files(files)
        return self._collateral[names]

    def _anchors_of(self, request: Mapping[str, Any]) -> Sequence[Anchor]:
        named = request.get("anchors")
        if named is None:
            return self.anchors
        if not isinstance(named, list):
            raise EvidenceError(MEMBER, subject="anchors")
        return [anchor for entry in named for anchor in self._anchor(entry)]

    def _anchor(self, entry: object) -> list[Anchor]:
        """An anchor is a path, or an object of certificate, vendor, line and assurance; given by a line, it is simulated."""
        value = {"certificate": entry} if isinstance(entry, str) else entry
        if not isinstance(value, dict) or not value.keys() <= {"certificate", "vendor", "line", "assurance"}:
            raise EvidenceError(MEMBER, subject="anchors")
        try:
            assurance = AssuranceClass(value.get("assurance", AssuranceClass.SIMULATED.value))
            found = [load_certificate(der).der for der in certificates_of(self._read(_text(value, "certificate")))]
        except CertificateError as error:
            raise EvidenceError(ANCHOR, str(error)) from error
        except ValueError as error:
            raise EvidenceError(MEMBER, str(error), subject="assurance") from error
        vendor, line = str(value.get("vendor", "declared")), str(value.get("line", ""))
        pinned = {anchor.certificate: anchor for anchor in pinned_anchors()}
        return [pinned.get(der) or Anchor(vendor, der, assurance, line) for der in found]

    def _read(self, name: str) -> bytes:
        return self._guard(self.files.read, name)

    def _guard(self, read: Callable[[str], _T], name: str) -> _T:
        try:
            return read(name)
        except OSError as error:
            raise EvidenceError(FILE, error.strerror or "unreadable", subject=name) from error


def _request(line: bytes) -> Mapping[str, Any]:
    try:
        request = parse_object(line, max_bytes=MAX_LINE)
    except CanonicalJsonError as error:
        raise EvidenceError(LINE, error.message) from error
    unknown = request.keys() - _MEMBERS
    if unknown:
        raise EvidenceError(MEMBER, f"unknown: {', '.join(sorted(unknown))}")
    return request


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise EvidenceError(MEMBER, "text is wanted", subject=name)
    return found


def _texts(value: object, name: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise EvidenceError(MEMBER, "a list of text is wanted", subject=name)
    return value


def _mapping(request: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = request.get(name, {})
    if not isinstance(found, dict) or not all(isinstance(value, (str, int, bool)) for value in found.values()):
        raise EvidenceError(MEMBER, "an object of text, numbers and booleans is wanted", subject=name)
    return found


def _texts_by_name(request: Mapping[str, Any], name: str) -> Mapping[str, str]:
    found = _mapping(request, name)
    if not all(isinstance(value, str) for value in found.values()):
        raise EvidenceError(MEMBER, "an object of text is wanted", subject=name)
    return found


def _floors(request: Mapping[str, Any]) -> Mapping[str, int]:
    found = _mapping(request, "floors")
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in found.values()):
        raise EvidenceError(MEMBER, "an object of numbers is wanted", subject="floors")
    return found


def _hex(value: object) -> bytes:
    try:
        return bytes.fromhex(str(value))
    except ValueError as error:
        raise EvidenceError(MEMBER, "hex digits are wanted", subject="expectedReportData") from error


def _time(value: object) -> datetime:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise EvidenceError(MEMBER, "a time of RFC 3339 is wanted", subject="now") from error
    if found.tzinfo is None:
        raise EvidenceError(MEMBER, "a time with its zone is wanted", subject="now")
    return found.astimezone(UTC)


def _any_device(device: VerifiedClaims) -> Alternative:
    return Alternative("device", device.kind, {})


def _step_of(code: str) -> tuple[int, str]:
    from qnsp_policy.kernel.attestation.codes import lookup  # noqa: PLC0415  the table imports this module

    found = lookup(code)
    return (found.step, found.step_name) if found else (0, "")


def _refused(code: str, step: int, step_name: str, detail: str) -> dict[str, Any]:
    return {"verdict": "refused", "code": code, "step": step, "stepName": step_name, "detail": detail}


def _shown(claims: VerifiedClaims, statements: Sequence[Statement]) -> dict[str, Any]:
    return {
        "kind": claims.kind.value,
        "assurance": claims.assurance.value,
        "notAfter": claims.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "results": {statement.name: statement.verdict.value for statement in statements},
        "statements": [
            {"name": s.name, "verdict": s.verdict.value, "detail": s.detail, **({"code": s.code} if s.code else {})}
            for s in statements
        ],
        "claims": dict(claims.claims),
        "devices": [_shown(device, device.statements) for device in claims.devices],
    }


__all__ = ["CODES", "MAX_LINE", "Batch", "Files"]
