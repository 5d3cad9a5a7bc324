"""The TrustRootValue of a workspace: its TrustRoot document and the settings of its Project that judge plans."""

from __future__ import annotations

from collections.abc import Mapping

from qnsp_policy.errors import DocumentError, PeerError
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.pipeline.model.kinds.project import Approval
from qnsp_policy.pipeline.model.kinds.trust_root import Signer
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.trust.trust_root import (
    ApprovalRule,
    ApprovalRules,
    IdentityValue,
    SignerValue,
    TrustRootValue,
)


def trust_root_value(workspace: Workspace) -> TrustRootValue:
    """Who judges plans according to these documents.

    Raises:
        DocumentError: QNSP-TRU-001 a signer that cannot sign, or one key with two owners; at its place.
    """
    document, project = workspace.trust_root, workspace.project.spec
    address = document.address
    identities: dict[str, IdentityValue] = {}
    for index, identity in enumerate(document.spec.identities):
        signers = []
        for number, signer in enumerate(identity.signers):
            try:
                signers.append(_signer(signer))
            except (ValueError, PeerError) as error:
                raise DocumentError(
                    "QNSP-TRU-001",
                    f"a signer of {identity.name} cannot be used: {error}",
                    subject=address,
                    place=workspace.place(address, "spec", "identities", index, "signers", number),
                ) from error
        identities[str(identity.name)] = IdentityValue(str(identity.name), frozenset(identity.roles), tuple(signers))
    approvals = project.approvals
    try:
        return TrustRootValue(
            name=document.name,
            version=document.spec.version,
            environment=project.environment,
            fail_on=project.fail_on,
            plan_lifetime_seconds=project.plan_lifetime.seconds,
            identities=identities,
            threshold=document.spec.thresholds.trust_root,
            role_thresholds={str(role): count for role, count in document.spec.thresholds.roles.items()},
            approvals=ApprovalRules(
                default=ApprovalRule(approvals.default),
                weaken=_rule(approvals.weaken),
                destroy=_rule(approvals.destroy),
                tiers={str(tier): _rule(rule) for tier, rule in approvals.tiers.items()},
            ),
            anchors=anchors_of(workspace),
        )
    except ValueError as error:
        raise DocumentError(
            "QNSP-TRU-001", f"this TrustRoot cannot be used: {error}", subject=address, place=workspace.place(address)
        ) from error


def anchors_of(workspace: Workspace) -> tuple[Mapping[str, str], ...]:
    """The vendor anchors that the TrustRoot document declares beside the pinned ones, as plain JSON."""
    return tuple(
        {
            "vendor": str(anchor.vendor),
            "line": str(anchor.line),
            "assurance": "simulated" if anchor.simulated else "hardware-tee",
            "certificate": str(anchor.certificate),
        }
        for anchor in workspace.trust_root.spec.anchors
    )


def _rule(approval: Approval) -> ApprovalRule:
    return ApprovalRule(approval.count, approval.role or "")


def _signer(signer: Signer) -> SignerValue:
    return SignerValue(
        type=signer.type,
        keys=tuple(PublicKey.from_jwk(key).to_jwk() for key in signer.keys),
        expires=signer.expires.at,
    )


__all__ = ["anchors_of", "trust_root_value"]
