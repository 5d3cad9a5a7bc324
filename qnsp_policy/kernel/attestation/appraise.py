"""Appraisal (RFC 9334 section 8.2): verified claims against reference values and floors, one rule for every kind.

Comes in: `VerifiedClaims`, an `AppraisalPolicy` and `now`. Goes out: `AttestationResult`, accepted or with every reason.
One alternative must hold whole: members of different alternatives never combine. An attester that can be debugged is refused unless
an alternative itself demands the debug claim, and a TCB status other than UpToDate unless it names `tcbStatus` or a floor of
`tcb.statusLevel`. Nothing is accepted by an empty policy, an absent claim or an unchecked statement that
the policy requires.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from qnsp_policy.kernel.attestation import appraisal_codes as codes
from qnsp_policy.kernel.attestation.refusal import Code, EvidenceError
from qnsp_policy.kernel.attestation.values import (
    Alternative,
    AppraisalPolicy,
    AssuranceClass,
    AttestationResult,
    ClaimValue,
    EvidenceKind,
    Mismatch,
    Statement,
    Verdict,
    VerifiedClaims,
)

DEBUG_CLAIMS: Final = frozenset({"policy.debug", "attributes.debug", "tdAttributes.debug", "debug"})
_UP_TO_DATE: Final = "UpToDate"
_STATUS_LEVEL: Final = "tcb.statusLevel"
_FAMILIES: Final[Sequence[tuple[Code, frozenset[str], tuple[str, ...]]]] = (
    (
        codes.MEASUREMENT,
        frozenset({"measurement", "mrTd", "mrSeam", "mrServiceTd", "mrEnclave", "digest"}),
        ("rtmr", "pcr", "measurements."),
    ),
    (codes.INIT_DATA, frozenset({"hostData", "mrConfigId", "userData", "initData"}), ()),
    (codes.PRIVILEGE, frozenset({"vmpl"}), ()),
    (codes.TCB_STATUS, frozenset({"tcbStatus"}), ("tcb.status",)),
    (codes.GUEST_POLICY, frozenset(), ("policy.", "platform.", "attributes.", "tdAttributes.", "xfam", "miscSelect")),
    (
        codes.IDENTITY,
        frozenset(
            {
                "chipId",
                "idKeyDigest",
                "authorKeyDigest",
                "mrSigner",
                "mrSignerSeam",
                "mrOwner",
                "mrOwnerConfig",
                "familyId",
            }
        ),
        ("imageId", "cspId", "fmspc", "isvProdId", "moduleId", "ueid"),
    ),
)


def _code_of(claim: str) -> Code:
    for code, names, prefixes in _FAMILIES:
        if claim in names or claim.startswith(prefixes):
            return code
    return codes.CLAIM


def _same(seen: ClaimValue, required: ClaimValue) -> bool:
    if isinstance(seen, str) and isinstance(required, str):
        return hmac.compare_digest(seen.encode(), required.encode())
    return seen == required


def _show(value: ClaimValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _claim_mismatches(claims: Mapping[str, ClaimValue], alternative: Alternative) -> list[Mismatch]:
    found: list[Mismatch] = []

    def add(code: Code, claim: str, seen: str, required: str) -> None:
        found.append(Mismatch(alternative.name, claim, seen, required, code.code))

    for claim, required in alternative.equals.items():
        seen = claims.get(claim)
        if seen is None:
            add(codes.CLAIM_ABSENT, claim, "absent", _show(required))
        elif type(seen) is not type(required):
            add(
                codes.CLAIM_TYPE,
                claim,
                f"{type(seen).__name__} {_show(seen)}",
                f"{type(required).__name__} {_show(required)}",
            )
        elif not _same(seen, required):
            add(_code_of(claim), claim, _show(seen), _show(required))
    for claim, floor in alternative.floors.items():
        seen = claims.get(claim)
        if seen is None:
            add(codes.CLAIM_ABSENT, claim, "absent", f"at least {floor}")
        elif not isinstance(seen, int) or isinstance(seen, bool):
            add(codes.CLAIM_TYPE, claim, _show(seen), f"a number, at least {floor}")
        elif seen < floor:
            add(codes.FLOOR, claim, str(seen), f"at least {floor}")
    for claim in DEBUG_CLAIMS & claims.keys():
        if claims[claim] is not False and claim not in alternative.equals:
            add(codes.DEBUG, claim, _show(claims[claim]), "false")
    status = claims.get("tcbStatus", _UP_TO_DATE)
    if status != _UP_TO_DATE and "tcbStatus" not in alternative.equals and "tcb.statusLevel" not in alternative.floors:
        add(codes.TCB_STATUS, "tcbStatus", _show(status), _UP_TO_DATE)
    return found


def _device_mismatches(claims: VerifiedClaims, alternative: Alternative, now: datetime) -> list[Mismatch]:
    """Every required device by one distinct device, and no device over: a matching in a bipartite graph."""
    wanted, given = alternative.devices, claims.devices
    if len(wanted) != len(given):
        text = (str(len(given)), str(len(wanted)))
        return [Mismatch(alternative.name, "devices", *text, codes.DEVICES.code)]
    why = [[_against(device, want, now) for device in given] for want in wanted]
    holder: dict[int, int] = {}

    def place(want: int, tried: set[int]) -> bool:
        for device in range(len(given)):
            if not why[want][device] and device not in tried:
                tried.add(device)
                if device not in holder or place(holder[device], tried):
                    holder[device] = want
                    return True
        return False

    for want in range(len(wanted)):
        if not place(want, set()):
            nearest = min(why[want], key=len)
            return [
                Mismatch(
                    alternative.name,
                    "devices",
                    f"no further device fits {wanted[want].name}",
                    "one each",
                    codes.DEVICES.code,
                ),
                *nearest,
            ]
    return []


def _against(claims: VerifiedClaims, alternative: Alternative, now: datetime) -> list[Mismatch]:
    """Everything that keeps one alternative from holding for these claims."""
    if claims.kind is not alternative.kind:
        return [
            Mismatch(alternative.name, "kind", claims.kind.value, alternative.kind.value, codes.NO_ALTERNATIVE.code)
        ]
    found: list[Mismatch] = []
    if alternative.not_after is not None and now > alternative.not_after:
        found.append(
            Mismatch(
                alternative.name,
                "notAfter",
                now.isoformat(),
                alternative.not_after.isoformat(),
                codes.EXPIRED_REFERENCE.code,
            )
        )
    found += _claim_mismatches(claims.claims, alternative)
    found += _device_mismatches(claims, alternative, now)
    return found


def _is_stale(device: VerifiedClaims, subject: VerifiedClaims) -> bool:
    """Whether nothing says that a device's report is of this session: no session was checked, and its nonce is not the subject's."""
    unchecked = any(one.name == "freshness" and one.verdict is Verdict.NOT_CHECKED for one in device.statements)
    return unchecked and device.report_data != subject.report_data


def _common(claims: VerifiedClaims, policy: AppraisalPolicy, now: datetime) -> list[Mismatch]:
    """What must hold whichever alternative does."""
    found: list[Mismatch] = []
    for member in (claims, *claims.devices):
        if member.assurance not in policy.assurance:
            wanted = ", ".join(sorted(policy.assurance)) or "none"
            found.append(Mismatch("policy", "assurance", member.assurance.value, wanted, codes.ASSURANCE.code))
        if now > member.not_after:
            found.append(
                Mismatch(
                    "policy",
                    "validity",
                    now.isoformat(),
                    f"until {member.not_after.isoformat()}",
                    codes.VERDICT_OVER.code,
                )
            )
        stated = {statement.name: statement for statement in member.statements}
        required = set(stated) if "*" in policy.require_checked else policy.require_checked
        for name in sorted(required - {"freshness"}):
            statement = stated.get(name)
            if statement is None or statement.verdict is Verdict.NOT_CHECKED:
                detail = statement.detail if statement else "not stated"
                found.append(Mismatch("policy", name, f"not checked: {detail}", "checked", codes.NOT_CHECKED.code))
        for statement in member.statements:
            if statement.verdict is Verdict.REFUSED and statement.name != "debug":
                code = statement.code or codes.REFUSED_STATEMENT.code
                found.append(Mismatch("policy", statement.name, statement.detail, "not refused", code))
    if policy.require_checked & {"freshness", "*"}:
        found += [
            Mismatch("policy", "freshness", f"not checked: of a {device.kind.value}", "checked", codes.NOT_CHECKED.code)
            for device in claims.devices
            if _is_stale(device, claims)
        ]
    expected = policy.expected_report_data
    if expected is None:
        if policy.require_checked & {"freshness", "*"}:
            found.append(Mismatch("policy", "freshness", "not checked", "checked", codes.NOT_CHECKED.code))
    elif len(expected) != len(claims.report_data):
        length = codes.REPORT_DATA_LENGTH if claims.report_data else codes.NONCE_ABSENT
        found.append(
            Mismatch("policy", "reportData", f"{len(claims.report_data)} bytes", f"{len(expected)} bytes", length.code)
        )
    elif not hmac.compare_digest(expected, claims.report_data):
        found.append(Mismatch("policy", "reportData", claims.report_data.hex(), expected.hex(), codes.REPORT_DATA.code))
    return found


def _machine_mismatches(claims: VerifiedClaims, policy: AppraisalPolicy) -> list[Mismatch]:
    """The rules for a machine's devices together."""
    if policy.machine is None:
        return []
    from qnsp_policy.kernel.attestation.nvidia_gpu.machine import judge  # noqa: PLC0415  only where devices are judged

    members = (claims, *claims.devices)
    gpus = [one for one in members if one.kind is EvidenceKind.NVIDIA_GPU]
    switches = [one for one in members if one.kind is EvidenceKind.NVSWITCH]
    try:
        judge(gpus, switches, policy.machine)
    except EvidenceError as error:
        return [Mismatch("policy", "machine", error.got or error.message, error.expected or error.message, error.code)]
    return []


def appraise(claims: VerifiedClaims, policy: AppraisalPolicy, now: datetime) -> AttestationResult:
    """Judges verified claims by a policy; never raises for claims that are not acceptable.

    Args:
        claims: what a verifier returned.
        policy: alternatives of which one must hold whole, and what must hold for any.
        now: aware, UTC; reference values hold up to and including their `not_after`.

    Returns:
        A result whose `mismatches` name, for a refusal, the requirement of the policy that failed and for every alternative each
        claim with the value seen and the value required.
    """
    common = _common(claims, policy, now)
    matched: Alternative | None = None
    per_alternative: list[Mismatch] = []
    for alternative in policy.alternatives:
        found = _against(claims, alternative, now)
        if not found:
            matched = alternative
            break
        per_alternative += found
    if not policy.alternatives:
        common.append(Mismatch("policy", "alternatives", claims.kind.value, "at least one", codes.NO_ALTERNATIVE.code))
    common += _machine_mismatches(claims, policy)
    accepted = matched is not None and not common
    mismatches = tuple(common) if matched is not None else (*common, *per_alternative)
    return AttestationResult(
        accepted=accepted,
        claims=claims,
        matched=matched.name if matched is not None and accepted else "",
        mismatches=() if accepted else mismatches,
        statements=_statements(claims, policy, matched, mismatches),
        appraised_at=now,
    )


def _answers(claims: VerifiedClaims, matched: Alternative, good: Verdict) -> dict[str, Statement]:
    """What the alternative that held has settled; what it did not ask stays as the verifier said it."""
    found: dict[str, Statement] = {}
    if any(_code_of(claim) is codes.MEASUREMENT for claim in matched.equals):
        found["measurements"] = Statement("measurements", good, f"as {matched.name} demands")
    status = claims.claims.get("tcbStatus")
    floors = [claim for claim, floor in matched.floors.items() if claim != _STATUS_LEVEL or floor > 0]
    if floors:
        found["tcb"] = Statement("tcb", good, f"at or above the floors of {matched.name}: {', '.join(sorted(floors))}")
    elif status is not None and (status == _UP_TO_DATE or "tcbStatus" in matched.equals):
        found["tcb"] = Statement("tcb", good, f"status {_show(status)}")
    return found


def _statements(
    claims: VerifiedClaims, policy: AppraisalPolicy, matched: Alternative | None, mismatches: tuple[Mismatch, ...]
) -> tuple[Statement, ...]:
    """The verifier's statements, with those replaced that appraisal has answered."""
    good = Verdict.SIMULATED if claims.assurance is AssuranceClass.SIMULATED else Verdict.OK
    answered: dict[str, Statement] = {}
    fresh = [m for m in mismatches if m.claim == "reportData" and m.alternative == "policy"]
    if fresh:
        answered["freshness"] = Statement(
            "freshness", Verdict.REFUSED, "report data is not the expected one", fresh[0].code
        )
    elif policy.expected_report_data is not None:
        answered["freshness"] = Statement("freshness", good, "report data is the expected one")
    if policy.machine is not None:
        broken = next((m for m in mismatches if m.claim == "machine"), None)
        declared = f"{policy.machine.gpus} GPUs, {policy.machine.switches} switches{', ' if policy.machine.mode else ''}{policy.machine.mode}"
        answered["machine"] = (
            Statement("machine", Verdict.REFUSED, f"{broken.seen}, required {broken.required}", broken.code)
            if broken
            else Statement("machine", good, f"{declared}: distinct, of one kind, in one mode, of one nonce")
        )
    first = next((m for m in mismatches if m.alternative != "policy"), None)
    if matched is not None:
        answered |= _answers(claims, matched, good)
    elif first is not None:
        answered["measurements"] = Statement("measurements", Verdict.REFUSED, "no alternative holds whole", first.code)
    kept = tuple(answered.pop(statement.name, statement) for statement in claims.statements)
    return (*kept, *answered.values())


__all__ = ["DEBUG_CLAIMS", "appraise"]
