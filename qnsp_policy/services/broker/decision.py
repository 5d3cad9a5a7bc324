"""One release decision, from what the store holds: policy, tenant, revocations, and the plan that brought the policy.

The judgement itself is `pipeline.trust.decide`; this file supplies its inputs and keeps, for the ledger, who set what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from qnsp_policy.kernel.attestation.values import VerifiedClaims
from qnsp_policy.pipeline.trust.decide import decide
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.pipeline.trust.values import Guardrail, GuardrailKind
from qnsp_policy.services.broker.state import StoredObject

WRAPPING_KEM: Mapping[str, str] = {
    "ML-KEM-768+A192KW": "ML-KEM-768",
    "ECDH-ES+A256KW": "ECDH-ES",
    "RSA-OAEP-256": "RSA-OAEP",
}
"""The key exchange behind a release's JWE algorithm, in the words of crypto tiers; the last two are classical."""


@dataclass(frozen=True, slots=True)
class ExplainedMismatch:
    """A mismatch with who set the requirement: a grant's alternative, a tier, a revocation."""

    claim: str
    seen: str
    required: str
    set_by: str
    code: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided and everything the ledger needs to explain it.

    Attributes:
        allowed: True only if the policy admits these claims.
        code: "" or a `QNSP-REL-*` code.
        plan: digest of the plan that brought the policy.
        mismatches: nearest alternative first.
    """

    allowed: bool
    code: str
    grant: str = ""
    enclave: str = ""
    matched: str = ""
    purpose: str = ""
    plan: str = ""
    lease_seconds: int = 0
    mismatches: tuple[ExplainedMismatch, ...] = ()


def revocation_guardrail(stored: StoredObject) -> Guardrail:
    """A revocation object as the guardrail it adds at once to every grant here."""
    return Guardrail(
        GuardrailKind.DENIED_CLAIM,
        f"Revocation/{stored.name}",
        tuple(sorted(str(value) for value in stored.value["values"])),
        str(stored.value["claim"]),
    )


def judge(
    policy: ReleasePolicy | None,
    *,
    plan: str,
    tenant: StoredObject | None,
    revocations: Iterable[StoredObject],
    claims: VerifiedClaims,
    wrapping: str,
    now: datetime,
) -> Verdict:
    """Decide; no policy, or no such tenant, releases nothing."""
    if policy is None or tenant is None:
        missing = "release policy" if policy is None else "tenant"
        return Verdict(
            False,
            "QNSP-REL-001",
            plan=plan,
            mismatches=(ExplainedMismatch("grant", f"no {missing} here", "an approved grant", "", "QNSP-REL-001"),),
        )
    decision = decide(
        policy,
        claims,
        now=now,
        revocations=tuple(revocation_guardrail(stored) for stored in revocations),
        wrapping=WRAPPING_KEM.get(wrapping, wrapping),
    )
    grants = {grant.grant: grant for grant in policy.grants}
    return Verdict(
        allowed=decision.allowed,
        code=decision.code,
        grant=decision.grant,
        enclave=decision.enclave,
        matched=decision.alternative,
        purpose=grants[decision.grant].purpose if decision.grant in grants else "",
        plan=plan,
        lease_seconds=decision.lease_seconds,
        mismatches=tuple(
            ExplainedMismatch(m.claim, m.seen, m.required, m.alternative, m.code) for m in decision.mismatches
        ),
    )


__all__ = ["WRAPPING_KEM", "ExplainedMismatch", "Verdict", "judge", "revocation_guardrail"]
