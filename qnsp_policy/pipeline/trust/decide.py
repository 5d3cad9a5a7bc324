"""What a broker does with a release policy and verified claims: release or refuse, with every reason.

Some grant must have an alternative that the claims meet whole, while no guardrail of that grant objects. Members of
different alternatives never combine: each is judged alone against the same claims.

The caller still owes: the verification that made the claims, the freshness of the nonce and the binding of the key in
`report_data`, and to wrap the released key with one of `Decision.wrapping` (where that is not None) and to end the
release after `Decision.lease_seconds`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from qnsp_policy.kernel.attestation import appraisal_codes as codes
from qnsp_policy.kernel.attestation.appraise import appraise
from qnsp_policy.kernel.attestation.values import (
    Alternative,
    AppraisalPolicy,
    AssuranceClass,
    ClaimValue,
    Mismatch,
    Verdict,
    VerifiedClaims,
)
from qnsp_policy.pipeline.trust.codec import time_to_text
from qnsp_policy.pipeline.trust.implication import Limits, conjoin
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.pipeline.trust.values import EffectiveGrant, Guardrail, GuardrailKind

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "QNSP-REL-001": "no grant releases this resource",
        "QNSP-REL-002": "evidence of another kind than any alternative speaks of",
        "QNSP-REL-003": "other code than the alternative names",
        "QNSP-REL-004": "other initdata than the alternative names",
        "QNSP-REL-005": "a flag or identity differs (debug, migration, VMPL, signer ...)",
        "QNSP-REL-006": "the devices are not exactly those that the alternative demands",
        "QNSP-REL-007": "a security version is below its floor",
        "QNSP-REL-008": "the assurance class is not admitted",
        "QNSP-REL-009": "the grant has ended",
        "QNSP-REL-010": "the reference values have expired",
        "QNSP-REL-011": "revoked",
        "QNSP-REL-012": "the verdict on the evidence has ended",
        "QNSP-REL-013": "the wrapping algorithm is not admitted",
        "QNSP-REL-014": "a statement that must be checked was not",
        "QNSP-REL-015": "the evidence lacks a claim that the alternative needs",
        "QNSP-REL-016": "a rule of the owner's own refuses, or nothing here can evaluate it",
        "QNSP-REL-017": "the grant has not begun",
        "QNSP-REL-018": "the verifier of the evidence refused a statement",
    }
)
"""Every code of a refusal; the wire carries the code only."""

_RELEASE_CODES: Mapping[str, str] = MappingProxyType(
    {
        codes.NO_ALTERNATIVE.code: "QNSP-REL-002",
        codes.MEASUREMENT.code: "QNSP-REL-003",
        codes.INIT_DATA.code: "QNSP-REL-004",
        codes.PRIVILEGE.code: "QNSP-REL-005",
        codes.GUEST_POLICY.code: "QNSP-REL-005",
        codes.IDENTITY.code: "QNSP-REL-005",
        codes.CLAIM.code: "QNSP-REL-005",
        codes.DEBUG.code: "QNSP-REL-005",
        codes.DEVICES.code: "QNSP-REL-006",
        codes.FLOOR.code: "QNSP-REL-007",
        codes.TCB_STATUS.code: "QNSP-REL-007",
        codes.EXPIRED_REFERENCE.code: "QNSP-REL-010",
        codes.VERDICT_OVER.code: "QNSP-REL-012",
        codes.CLAIM_ABSENT.code: "QNSP-REL-015",
        codes.CLAIM_TYPE.code: "QNSP-REL-015",
    }
)
"""What a mismatch of appraisal is to a release; anything else is a refused statement."""

_WORST_FIRST = tuple(f"QNSP-REL-{n:03}" for n in (11, 18, 8, 2, 3, 4, 5, 15, 7, 6, 16, 14, 13, 9, 17, 10, 12))


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome for one resource and one set of claims.

    Attributes:
        allowed: True only if one alternative of one grant held whole and no guardrail objected.
        code: "" when allowed, else the code of the nearest alternative's worst mismatch.
        resource: what was asked for.
        grant, alternative, enclave: what held, or what came nearest; "" if there is none.
        lease_seconds: how long the release lasts, 0 when refused; never beyond `not_after`.
        wrapping: algorithms that may wrap the key, None when no guardrail restricts them.
        not_after: when the release must end: earliest of grant, reference values and the verdict on the evidence.
        mismatches: what kept each alternative from holding, the nearest alternative first; for ledger and owner only.
    """

    allowed: bool
    code: str
    resource: str
    grant: str
    alternative: str
    enclave: str
    lease_seconds: int
    wrapping: tuple[str, ...] | None
    not_after: datetime | None
    mismatches: tuple[Mismatch, ...]

    @property
    def reason(self) -> str:
        return REASONS.get(self.code, "")


def decide(
    policy: ReleasePolicy,
    claims: VerifiedClaims,
    *,
    now: datetime,
    revocations: Sequence[Guardrail] = (),
    wrapping: str | None = None,
    passed_rules: AbstractSet[str] = frozenset(),
) -> Decision:
    """Judge `claims` by `policy`; anything that is not said is refused.

    Args:
        policy: the policy of the resource that is asked for.
        claims: verified claims of the attester and its devices.
        now: the present moment, aware.
        revocations: guardrails that a responder set at this broker after the policy was approved; they only tighten.
        wrapping: the algorithm that will wrap the key, if the caller already knows it.
        passed_rules: digests of opaque rules that the caller evaluated for these claims and that passed.
    """
    refused: list[tuple[EffectiveGrant, Alternative, tuple[Mismatch, ...]]] = []
    for grant in policy.grants:
        rails = (*grant.guardrails, *revocations)
        limits = conjoin(rails)
        over_all = tuple(_guardrail_mismatches(grant, rails, limits, claims, now=now, wrapping=wrapping))
        over_all += tuple(_opaque_mismatches(rails, passed_rules))
        for alternative in grant.alternatives:
            found = (*_mismatches(alternative, claims, now), *over_all)
            if not found:
                return _allowed(grant, alternative, limits, claims, now)
            refused.append((grant, alternative, found))
    if not refused:
        return Decision(False, "QNSP-REL-001", policy.resource, "", "", "", 0, None, None, ())
    refused.sort(key=lambda item: len(item[2]))
    nearest_grant, nearest, nearest_mismatches = refused[0]
    causes = {mismatch.code for mismatch in nearest_mismatches}
    return Decision(
        allowed=False,
        code=next(code for code in _WORST_FIRST if code in causes),
        resource=policy.resource,
        grant=nearest_grant.grant,
        alternative=nearest.name,
        enclave=nearest_grant.enclave,
        lease_seconds=0,
        wrapping=None,
        not_after=None,
        mismatches=tuple(mismatch for _, _, several in refused for mismatch in several),
    )


def _allowed(
    grant: EffectiveGrant,
    alternative: Alternative,
    limits: Limits,
    claims: VerifiedClaims,
    now: datetime,
) -> Decision:
    ends = [grant.not_after, alternative.not_after, claims.not_after, *(device.not_after for device in claims.devices)]
    end = min(moment for moment in ends if moment is not None)
    admitted = limits.admitted.get(GuardrailKind.WRAPPING)
    return Decision(
        allowed=True,
        code="",
        resource=grant.resource,
        grant=grant.grant,
        alternative=alternative.name,
        enclave=grant.enclave,
        lease_seconds=min(grant.lease_limit, int((end - now).total_seconds())),
        wrapping=None if admitted is None else tuple(sorted(admitted)),
        not_after=end,
        mismatches=(),
    )


def _mismatches(alternative: Alternative, claims: VerifiedClaims, now: datetime) -> Iterator[Mismatch]:
    """Why `claims` do not meet this one alternative; nothing when they meet it whole.

    The kernel's appraisal answers, so a release and an attestation result can never disagree about an alternative.
    """
    result = appraise(claims, AppraisalPolicy((alternative,), frozenset(AssuranceClass)), now)
    for found in result.mismatches:
        yield replace(found, alternative=alternative.name, code=_RELEASE_CODES.get(found.code, "QNSP-REL-018"))
    if result.accepted != (not result.mismatches):
        raise RuntimeError("appraisal refused without a mismatch, or accepted with one")


def _guardrail_mismatches(
    grant: EffectiveGrant,
    rails: Sequence[Guardrail],
    limits: Limits,
    claims: VerifiedClaims,
    *,
    now: datetime,
    wrapping: str | None,
) -> Iterator[Mismatch]:
    if grant.not_after is not None and now > grant.not_after:
        limit = f"until {time_to_text(grant.not_after)}"
        yield Mismatch(grant.grant, "time", time_to_text(now), limit, "QNSP-REL-009")
    if grant.not_before is not None and now < grant.not_before:
        limit = f"from {time_to_text(grant.not_before)}"
        yield Mismatch(grant.grant, "time", time_to_text(now), limit, "QNSP-REL-017")
    for rail in rails:
        if rail.kind is GuardrailKind.ASSURANCE and claims.assurance.value not in rail.values:
            yield _refusal(rail, "assurance", claims.assurance.value, "QNSP-REL-008")
        elif rail.kind is GuardrailKind.DEVICE_ASSURANCE:
            for device in claims.devices:
                if device.assurance.value not in rail.values:
                    yield _refusal(rail, "device assurance", device.assurance.value, "QNSP-REL-008")
        elif rail.kind is GuardrailKind.DENIED_CLAIM:
            for judged in (claims, *claims.devices):
                if _text(judged.claims.get(rail.claim)) in rail.values:
                    seen = _text(judged.claims.get(rail.claim))
                    yield Mismatch(rail.source, rail.claim, seen, "not revoked", "QNSP-REL-011")
        elif rail.kind is GuardrailKind.FLOOR and _floor_applies(rail, claims):
            seen_value = claims.claims.get(rail.claim)
            if type(seen_value) is not int or rail.limit is None or seen_value < rail.limit:
                yield Mismatch(rail.source, rail.claim, _text(seen_value), f">= {rail.limit}", "QNSP-REL-011")
        elif rail.kind is GuardrailKind.CHECKED:
            passed = {s.name for s in claims.statements if s.verdict in {Verdict.OK, Verdict.SIMULATED}}
            for name in sorted(set(rail.values) - passed):
                yield Mismatch(rail.source, name, "not checked", "checked", "QNSP-REL-014")
    admitted = limits.admitted.get(GuardrailKind.WRAPPING)
    if wrapping is not None and admitted is not None and wrapping not in admitted:
        source = next(rail.source for rail in rails if rail.kind is GuardrailKind.WRAPPING)
        wanted = ", ".join(sorted(admitted)) or "nothing"
        yield Mismatch(source, "wrapping", wrapping, wanted, "QNSP-REL-013")


def _floor_applies(rail: Guardrail, claims: VerifiedClaims) -> bool:
    """A floor speaks of one evidence kind and, if it says so, of one product line; an unknown line is not spared."""
    kind, line = (*rail.values, "", "")[:2]
    return claims.kind.value == kind and (not line or claims.claims.get("productLine", line) == line)


def _opaque_mismatches(rails: Sequence[Guardrail], passed: AbstractSet[str]) -> Iterator[Mismatch]:
    for rail in rails:
        if rail.kind is GuardrailKind.OPAQUE:
            for rule in rail.values:
                if rule not in passed:
                    yield Mismatch(rail.source, "rule", "not passed", rule, "QNSP-REL-016")


def _refusal(rail: Guardrail, claim: str, seen: str, code: str) -> Mismatch:
    return Mismatch(rail.source, claim, seen, " or ".join(rail.values) or "nothing", code)


def _text(value: ClaimValue | object | None) -> str:
    if value is None:
        return "absent"
    return str(value).lower() if isinstance(value, bool) else str(value)


__all__ = ["REASONS", "Decision", "decide"]
