"""Guardrails of tier, environment, grant and revocations: what must hold over every alternative of a grant.

They are conjoined, deny wins, and each names the document that demands it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from qnsp_policy.kernel.attestation.values import AssuranceClass, EvidenceKind
from qnsp_policy.kernel.crypto.canonical import sha256_digest
from qnsp_policy.pipeline.model.kinds import Grant, Revocation
from qnsp_policy.pipeline.model.kinds.emergency import RevokedChip, RevokedMeasurement, RevokedTcb
from qnsp_policy.pipeline.model.kinds.platform import PlatformSpec, is_simulated
from qnsp_policy.pipeline.model.scalars import Address
from qnsp_policy.pipeline.model.tiers import ResolvedTier
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.trust.reference import floor_claim
from qnsp_policy.pipeline.trust.values import Guardrail, GuardrailKind

_REAL = tuple(sorted(c.value for c in AssuranceClass if c is not AssuranceClass.SIMULATED))


def environment_guardrails(workspace: Workspace) -> Iterator[Guardrail]:
    """In production nothing simulated obtains a key, whatever any other document says."""
    if workspace.project.spec.environment == "production":
        yield Guardrail(GuardrailKind.ASSURANCE, str(workspace.project.address), _REAL)
        yield Guardrail(GuardrailKind.DEVICE_ASSURANCE, str(workspace.project.address), _REAL)


def tier_guardrails(workspace: Workspace, tier: ResolvedTier, platform: PlatformSpec) -> Iterator[Guardrail]:
    """What a tier demands of attester, devices, lease and wrapping.

    In development on a platform that says `simulated: true`, the simulator stands in for the class that the tier asks;
    the guardrail then says `simulated` in so many words.
    """
    stand_in = workspace.project.spec.environment == "development" and is_simulated(platform)
    for part, kind in (("cpu", GuardrailKind.ASSURANCE), ("gpu", GuardrailKind.DEVICE_ASSURANCE)):
        classes = set(tier.assurance[part])
        if classes:
            admitted = classes | ({AssuranceClass.SIMULATED.value} if stand_in else set())
            yield Guardrail(kind, str(tier.address), tuple(sorted(admitted)))
    yield Guardrail(GuardrailKind.MAX_LEASE, str(tier.address), limit=tier.max_lease)
    yield Guardrail(GuardrailKind.WRAPPING, str(tier.address), tuple(sorted(tier.kem.allowed)))


def grant_guardrails(grant: Grant, attachments: Mapping[str, bytes]) -> Iterator[Guardrail]:
    """What the grant itself asks on top of the reference values."""
    appraisal, source = grant.spec.appraisal, str(grant.address)
    if appraisal.assurance:
        yield Guardrail(GuardrailKind.ASSURANCE, source, tuple(sorted(appraisal.assurance)))
    if appraisal.require_checked:
        yield Guardrail(GuardrailKind.CHECKED, source, tuple(sorted(str(s) for s in appraisal.require_checked)))
    if appraisal.rego is not None:
        text = attachments.get(str(appraisal.rego))
        rule = sha256_digest(text) if text is not None else f"unread:{appraisal.rego}"
        yield Guardrail(GuardrailKind.OPAQUE, source, (rule,))


def revocation_guardrails(workspace: Workspace, broker: Address) -> Iterator[Guardrail]:
    """Revoked measurements, chips and TCBs as far as they go to this broker."""
    for revocation in workspace.of_kind(Revocation):
        if not revocation.spec.brokers or broker in revocation.spec.brokers:
            yield from guardrails_of_revocation(revocation)


def guardrails_of_revocation(revocation: Revocation) -> Iterator[Guardrail]:
    """One revocation as guardrails; images, keys and publishers block grants instead (`grants`)."""
    revoked, source = revocation.spec.revokes, str(revocation.address)
    if isinstance(revoked, RevokedMeasurement):
        yield Guardrail(GuardrailKind.DENIED_CLAIM, source, (str(revoked.value),), claim=str(revoked.claim))
    elif isinstance(revoked, RevokedChip):
        yield Guardrail(GuardrailKind.DENIED_CLAIM, source, (str(revoked.chip_id),), claim="chipId")
    elif isinstance(revoked, RevokedTcb):
        kind = EvidenceKind(revoked.attester)
        about = (kind.value, *([str(revoked.product_line)] if revoked.product_line else []))
        for component, floor in sorted(revoked.below.items()):
            yield Guardrail(GuardrailKind.FLOOR, source, about, claim=floor_claim(kind, component), limit=floor)


__all__ = [
    "environment_guardrails",
    "grant_guardrails",
    "guardrails_of_revocation",
    "revocation_guardrails",
    "tier_guardrails",
]
