"""Many verdicts in one process: JSON lines in, JSON lines out, order kept, one bad line never stops the rest.

Comes in: lines of docs/formats/attest-batch.md and a reader of files (a port: `batch_edge` reads the disk). Goes out: for each line the
verdict accepted or refused, code, step and the separate statements. Collateral is read once for each folder or list of files and
remembered; verified intermediates are remembered by content in `x509`; times are judged anew for each line.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from qnsp_policy.errors import OperatorError, QnspError
from qnsp_policy.kernel.attestation import appraisal_codes, composite
from qnsp_policy.kernel.attestation import batch_request as read
from qnsp_policy.kernel.attestation.additional import devices_of
from qnsp_policy.kernel.attestation.appraise import appraise
from qnsp_policy.kernel.attestation.batch_request import ANCHOR, FAILED, FILE, KIND, LINE, MAX_LINE, MEMBER
from qnsp_policy.kernel.attestation.coco_sample.verify import INSECURE_VENDOR
from qnsp_policy.kernel.attestation.collateral import Collateral
from qnsp_policy.kernel.attestation.encodings import decode, named
from qnsp_policy.kernel.attestation.inspection import recognise
from qnsp_policy.kernel.attestation.refusal import EvidenceError, collect
from qnsp_policy.kernel.attestation.registry import pinned_anchors, verifier_of, verify_any
from qnsp_policy.kernel.attestation.values import (
    Anchor,
    AppraisalPolicy,
    AssuranceClass,
    AttestationResult,
    Evidence,
    EvidenceKind,
    Statement,
    Verdict,
    VerifiedClaims,
)
from qnsp_policy.kernel.attestation.x509 import CertificateError, certificates_of, load_certificate

CODES = collect({code.code: code for code in (LINE, MEMBER, FILE, ANCHOR, FAILED, KIND)})
"""All of them, by code."""

_T = TypeVar("_T")
_BINDING_MEMBERS: Final = frozenset({"nonce", "teePubkey", "additionalEvidence", "hash"})
_HASHES: Final[Mapping[str, composite.HashName]] = {"sha256": "sha256", "sha384": "sha384", "sha512": "sha512"}
_DEVICE_MEMBERS: Final = frozenset({"kind", "evidence", "endorsements"})
_OWN_NONCE: Final = frozenset({EvidenceKind.NITRO_ENCLAVE, EvidenceKind.NITRO_TPM})
_REMEMBERED: Final = 4096


class Files(Protocol):
    """The port to files: one file's bytes, or every file of a folder by name."""

    def read(self, name: str) -> bytes: ...

    def folder(self, name: str) -> Mapping[str, bytes]: ...

    def is_folder(self, name: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Material:
    """What one line names, read and unverified."""

    evidence: Evidence
    collateral: Collateral
    anchors: tuple[Anchor, ...]
    now: datetime


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
            request = read.any_object(line)
            if "id" in request:
                answer["id"] = request["id"]
            read.known(request, read.MEMBERS)
        except EvidenceError as error:
            return answer | _refused(error.code, error.step, error.step_name, error.message)
        return answer | self.answer(request)

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to the members of one line."""
        try:
            return answer_of(self.result(request))
        except EvidenceError as error:
            return _refused(error.code, error.step, error.step_name, error.message)
        except QnspError as error:
            return _refused(error.code, 0, "request", error.message)
        except Exception as error:  # noqa: BLE001  one bad line never stops the rest, and no failure is a pass
            return _refused(FAILED.code, FAILED.step, FAILED.step_name, type(error).__name__)

    def result(self, request: Mapping[str, Any]) -> AttestationResult:
        """Verifies and appraises what a line names.

        Raises:
            EvidenceError: the request is not of its form, a file cannot be read, or the first failing step of verification.
        """
        request = self._with_policy(request)
        material, binding = self._material(request)
        evidence, now = material.evidence, material.now
        expected = read.expected_of(request, evidence.kind)
        machine, assurance = read.machine_of(request), read.assurance_of(request)
        wanted = frozenset(read.texts(request.get("requireChecked", []), "requireChecked"))
        read.equals(request), read.floors(request)
        claims = _verify(evidence, material.collateral, material.anchors, now)
        if "nonce" in request and claims.kind in _OWN_NONCE:  # these carry a nonce beside their user data
            claims = replace(claims, report_data=bytes.fromhex(str(claims.claims.get("nonce", ""))))
        if "nonce" in request and "tpm.extraData" in claims.claims:  # a TPM quote carries it as it is, not padded
            expected = read.hexadecimal(request["nonce"], "nonce")
        if binding is not None:
            claims = binding.check(claims)
            expected = expected if expected is not None else claims.report_data
        policy = AppraisalPolicy(read.alternatives_of(request, claims), assurance, wanted, expected, machine)
        return appraise(claims, policy, now)

    def material(self, request: Mapping[str, Any]) -> Material:
        """What a line names, read and unverified: for another verifier to judge the same.

        Raises:
            EvidenceError: the request is not of its form, or a file cannot be read.
        """
        return self._material(self._with_policy(request))[0]

    def _material(self, request: Mapping[str, Any]) -> tuple[Material, _Binding | None]:
        now = (read.moment(request["now"]) if "now" in request else self.now).replace(microsecond=0)
        binding = self._binding_of(request)
        evidence = self._evidence(request, binding)
        collateral = self._collateral_of(request.get("collateral"))
        return Material(evidence, collateral, tuple(self._anchors_of(request)), now), binding

    def _with_policy(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The request over the policy file that it names; a member of the line wins."""
        if "policy" not in request:
            return request
        policy = read.read_object(self._read(read.text(request, "policy")), read.POLICY_MEMBERS)
        return {**policy, **{name: value for name, value in request.items() if name != "policy"}}

    def _binding_of(self, request: Mapping[str, Any]) -> _Binding | None:
        if "binding" not in request:
            return None
        value = request["binding"]
        if not isinstance(value, dict):
            raise EvidenceError(MEMBER, "an object is wanted", subject="binding")
        read.known(value, _BINDING_MEMBERS)
        key, hash_name = value.get("teePubkey"), value.get("hash", "sha384")
        if not isinstance(key, dict) or hash_name not in _HASHES:
            raise EvidenceError(MEMBER, "teePubkey is a JWK, hash is sha256, sha384 or sha512", subject="binding")
        path = value.get("additionalEvidence")
        try:
            additional = self._read(read.text(value, "additionalEvidence")).decode("utf-8") if path is not None else ""
        except UnicodeDecodeError as error:
            raise EvidenceError(appraisal_codes.ADDITIONAL, "not UTF-8", subject="additionalEvidence") from error
        return _Binding(read.text(value, "nonce"), key, additional, _HASHES[hash_name])

    def _evidence(self, request: Mapping[str, Any], binding: _Binding | None) -> Evidence:
        found = self._one(request)
        devices = request.get("devices", [])
        if not isinstance(devices, list) or not all(isinstance(one, dict) for one in devices) or len(devices) > 64:
            raise EvidenceError(MEMBER, subject="devices")
        if binding is not None and binding.additional:
            if devices:
                raise EvidenceError(MEMBER, "the devices stand in the additional evidence", subject="devices")
            return replace(found, devices=devices_of(binding.additional))
        for device in devices:
            read.known(device, _DEVICE_MEMBERS)
        return replace(found, devices=tuple(self._one(device) for device in devices))

    def _one(self, request: Mapping[str, Any]) -> Evidence:
        raw = self._read(read.text(request, "evidence"))
        stated = request.get("kind", "auto")
        decoded = decode(raw, None if stated == "auto" else read.kind_of(stated))
        kind = decoded.kind or recognise(decoded.data) if stated == "auto" else read.kind_of(stated)
        if kind is None:
            raise EvidenceError(KIND)
        given = {name: self._read(path) for name, path in read.texts_by_name(request, "endorsements").items()}
        return Evidence(kind, decoded.data, named(kind, {**decoded.endorsements, **given}))

    def _collateral_of(self, given: object) -> Collateral:
        names = (given,) if isinstance(given, str) else tuple(read.texts(given or [], "collateral"))
        if names not in self._collateral:
            files: dict[str, bytes] = {}
            for name in names:
                if self._guard(self.files.is_folder, name):
                    files |= self._guard(self.files.folder, name)
                else:
                    files[name] = self._read(name)
            if len(self._collateral) >= _REMEMBERED:
                self._collateral.clear()
            self._collateral[names] = Collateral.from_files(files)
        return self._collateral[names]

    def _anchors_of(self, request: Mapping[str, Any]) -> Sequence[Anchor]:
        given = request.get("anchors")
        if given is None:
            return self.anchors
        if not isinstance(given, list):
            raise EvidenceError(MEMBER, subject="anchors")
        return [anchor for entry in given for anchor in self._anchor(entry)]

    def _anchor(self, entry: object) -> list[Anchor]:
        """An anchor is a path, or an object of certificate, vendor, line and assurance; given by a line, it is simulated."""
        value = {"certificate": entry} if isinstance(entry, str) else entry
        if not isinstance(value, dict) or not value.keys() <= {"certificate", "vendor", "line", "assurance"}:
            raise EvidenceError(MEMBER, subject="anchors")
        vendor, line = (
            read.text({name: value.get(name, given)}, name) for name, given in (("vendor", "declared"), ("line", ""))
        )
        if vendor == INSECURE_VENDOR and "certificate" not in value:
            return [Anchor(vendor, b"", AssuranceClass.SIMULATED)]
        try:
            assurance = AssuranceClass(value.get("assurance", AssuranceClass.SIMULATED.value))
            found = [load_certificate(der).der for der in certificates_of(self._read(read.text(value, "certificate")))]
        except CertificateError as error:
            raise EvidenceError(ANCHOR, str(error)) from error
        except ValueError as error:
            raise EvidenceError(MEMBER, str(error), subject="assurance") from error
        pinned = {anchor.certificate: anchor for anchor in pinned_anchors()}
        return [pinned.get(der) or Anchor(vendor, der, assurance, line) for der in found]

    def _read(self, name: str) -> bytes:
        return self._guard(self.files.read, name)

    def _guard(self, access: Callable[[str], _T], name: str) -> _T:
        try:
            return access(name)
        except OSError as error:
            raise EvidenceError(FILE, error.strerror or "unreadable", subject=name[:200]) from error
        except ValueError as error:  # a NUL within a name
            raise EvidenceError(FILE, "no name of a file", subject=name[:200]) from error
        except OperatorError as error:  # a folder that is none of collateral
            raise EvidenceError(FILE, error.message, subject=name[:200]) from error


@dataclass(frozen=True, slots=True)
class _Binding:
    """What a KBS session bound: nonce and key, and the additional evidence as sent."""

    nonce: str
    key: Mapping[str, Any]
    additional: str
    hash_name: composite.HashName

    def check(self, claims: VerifiedClaims) -> VerifiedClaims:
        """The claims with a statement of the binding.

        Raises:
            EvidenceError: QNSP-ATT-CMP-003 the CPU evidence, -004 a device's binds something else.
        """
        primary = composite.primary_report_data(
            self.nonce, self.key, self.additional, kind=claims.kind, hash_name=self.hash_name
        )
        if not hmac.compare_digest(primary, claims.report_data):
            raise EvidenceError(appraisal_codes.DEVICE_BINDING, expected=primary.hex(), got=claims.report_data.hex())
        for device in claims.devices:
            own = composite.device_report_data(self.nonce, self.key, kind=device.kind, hash_name=self.hash_name)
            if not hmac.compare_digest(own, device.report_data):
                raise EvidenceError(appraisal_codes.DEVICE_NONCE, expected=own.hex(), got=device.report_data.hex())
        good = Verdict.SIMULATED if claims.assurance is AssuranceClass.SIMULATED else Verdict.OK
        said = Statement(
            "session", good, f"nonce, key and additional evidence are bound; {len(claims.devices)} devices"
        )
        fresh = Statement("freshness", good, "report data is that of the session")
        kept = tuple(fresh if one.name == "freshness" else one for one in claims.statements)
        devices = tuple(
            replace(one, statements=tuple(fresh if s.name == "freshness" else s for s in one.statements))
            for one in claims.devices
        )
        return replace(claims, statements=(*kept, said), devices=devices)


def _verify(evidence: Evidence, collateral: Collateral, anchors: Sequence[Anchor], now: datetime) -> VerifiedClaims:
    """Verifies a machine; devices without CPU evidence stand for themselves, and the result says what that leaves open."""
    if evidence.kind not in composite.DEVICE_KINDS or not evidence.devices:
        return verify_any(evidence, collateral=collateral, anchors=anchors, now=now)
    members = [
        verifier_of(one.kind)(one, collateral=collateral, anchors=anchors, now=now)
        for one in (replace(evidence, devices=()), *evidence.devices)
    ]
    return composite.join_devices(members[0], tuple(members[1:]))


def answer_of(result: AttestationResult) -> dict[str, Any]:
    """The members of an answer for a result of appraisal."""
    claims = result.claims
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


__all__ = ["CODES", "MAX_LINE", "Batch", "Files", "Material", "answer_of"]
