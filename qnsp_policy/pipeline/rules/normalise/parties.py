"""People and promises: tenants, identities, the TrustRoot, the project, waivers, break-glass, compliance mappings.

Comes in: `Context`. Goes out: the members of these populations.
"""

from __future__ import annotations

from collections.abc import Iterator

from qnsp_policy.pipeline.model import Address
from qnsp_policy.pipeline.model.kinds import (
    Artefact,
    BreakGlass,
    ComplianceMapping,
    Framework,
    Grant,
    KeyHierarchy,
    ReferenceValues,
    Revocation,
    Waiver,
)
from qnsp_policy.pipeline.rules.algorithms import algorithm_of_jwk
from qnsp_policy.pipeline.rules.inputs import (
    ApiKeyMember,
    BreakGlassMember,
    ControlMember,
    IdentityMember,
    IdentityReference,
    ProjectMember,
    SignerMember,
    TenantMember,
    TrustRootMember,
    WaiverMember,
)
from qnsp_policy.pipeline.rules.normalise.context import APPROVING, Context, Located, seconds, sentence

_WEIGHTY = frozenset({"author", "operator", "security", "publisher", "tenant-owner"})


def tenants(context: Context) -> list[Located[TenantMember]]:
    """Tenants with what their tiers demand."""
    members: list[Located[TenantMember]] = []
    for tenant in context.tenants.values():
        tier = context.tier_of(tenant.address)
        quotas = tenant.spec.quotas
        asked = ["given an expiry"] if tier.expiry_required else []
        asked += ["acknowledged"] if tier.acknowledgement_required else []
        members.append(
            Located(
                tenant.address,
                [],
                {
                    "tier": tier.address,
                    "teeIo": tier.protections["teeIo"],
                    "unavailable": sentence(tier.unavailable),
                    "acknowledge": " and ".join(asked),
                    "auditRetention": tenant.spec.audit_retention.seconds,
                    "hasQuota": quotas.requests_per_minute is not None or quotas.tokens_per_day is not None,
                    "production": context.production,
                },
            )
        )
    return members


def api_keys(context: Context) -> list[Located[ApiKeyMember]]:
    """Keys that may call a tenant's endpoints."""
    return [
        Located(
            tenant.address,
            ["spec", "apiKeys", index],
            {
                "name": str(key.name),
                "expires": seconds(key.expires),
            },
        )
        for tenant in context.tenants.values()
        for index, key in enumerate(tenant.spec.api_keys)
    ]


def identity_references(context: Context) -> list[Located[IdentityReference]]:
    """Places where an identity needs a role: owners, publishers, builders, consents, approvers, responders."""
    return [
        Located(
            address,
            list(path),
            {
                "identity": name,
                "required": role,
            },
        )
        for address, path, name, role in _named(context)
    ]


def _named(context: Context) -> Iterator[tuple[Address, tuple[str | int, ...], str, str]]:
    workspace = context.workspace
    for tenant in context.tenants.values():
        for index, owner in enumerate(tenant.spec.owners):
            yield tenant.address, ("spec", "owners", index), str(owner), "tenant-owner"
    for hierarchy in workspace.of_kind(KeyHierarchy):
        for index, owner in enumerate(hierarchy.spec.owners.identities):
            yield hierarchy.address, ("spec", "owners", "identities", index), str(owner), "tenant-owner"
    for grant in workspace.of_kind(Grant):
        for index, owner in enumerate(grant.spec.consent):
            yield grant.address, ("spec", "consent", index), str(owner), "tenant-owner"
    for artefact in workspace.of_kind(Artefact):
        yield artefact.address, ("spec", "publisher"), str(artefact.spec.publisher), "publisher"
    for values in workspace.of_kind(ReferenceValues):
        for index, builder in enumerate(values.spec.builders):
            yield values.address, ("spec", "builders", index), str(builder), "publisher"
    for revocation in workspace.of_kind(Revocation):
        yield revocation.address, ("spec", "responder"), str(revocation.spec.responder), "responder"


def projects(context: Context) -> list[Located[ProjectMember]]:
    """The one project."""
    project = context.workspace.project
    spec = project.spec
    return [
        Located(
            project.address,
            [],
            {
                "production": context.production,
                "backendScheme": spec.backend.url.partition("://")[0],
                "stateEncryption": spec.backend.encryption,
                "failOn": spec.fail_on,
                "approvals": spec.approvals.default,
                "weakenApprovals": spec.approvals.weaken.count,
                "weakenRole": spec.approvals.weaken.role or "",
                "planLifetime": spec.plan_lifetime.seconds,
            },
        )
    ]


def trust_roots(context: Context) -> list[Located[TrustRootMember]]:
    """The TrustRoot that the project names."""
    root = context.workspace.trust_root
    return [
        Located(
            root.address,
            [],
            {
                "production": context.production,
                "threshold": root.spec.thresholds.trust_root,
                "approvers": context.holders(*APPROVING),
                "authors": context.holders("author"),
                "security": context.holders("security"),
                "simulatedAnchors": sum(1 for anchor in root.spec.anchors if anchor.simulated),
            },
        )
    ]


def identities(context: Context) -> list[Located[IdentityMember]]:
    """Each identity of the TrustRoot."""
    root = context.workspace.trust_root
    return [
        Located(
            root.address,
            ("spec", "identities", index),
            {"identity": str(identity.name), "roles": sorted(identity.roles), "signers": len(identity.signers)},
        )
        for index, identity in enumerate(root.spec.identities)
    ]


def signers(context: Context) -> list[Located[SignerMember]]:
    """Each signer of each identity."""
    root = context.workspace.trust_root
    return [
        Located(
            root.address,
            ["spec", "identities", index, "signers", position],
            {
                "identity": str(identity.name),
                "roles": sorted(identity.roles),
                "type": signer.type,
                "expires": seconds(signer.expires),
                "postQuantum": any(context.algorithm(algorithm_of_jwk(key)).post_quantum for key in signer.keys),
                "production": context.production,
                "weighty": bool(_WEIGHTY & set(identity.roles)),
            },
        )
        for index, identity in enumerate(root.spec.identities)
        for position, signer in enumerate(identity.signers)
    ]


def waivers(context: Context) -> list[Located[WaiverMember]]:
    """Waivers of rules; those of controls are the assessment's."""
    horizon = context.workspace.project.spec.waivers.horizon.seconds
    return [
        Located(
            waiver.address,
            [],
            {
                "rule": str(waiver.spec.rule),
                "ruleKnown": str(waiver.spec.rule) in context.rules,
                "object": waiver.spec.object,
                "field": [str(step) for step in waiver.spec.path],
                "approver": str(waiver.spec.approver),
                "signers": context.signed_by(waiver.address),
                "mayWaive": context.holders("security"),
                "expires": seconds(waiver.spec.expires),
                "horizon": horizon,
            },
        )
        for waiver in context.workspace.of_kind(Waiver)
        if waiver.spec.rule is not None
    ]


def break_glasses(context: Context) -> list[Located[BreakGlassMember]]:
    """Releases prepared for an emergency."""
    return [
        Located(
            document.address,
            [],
            {
                "holders": len(set(document.spec.who)),
                "threshold": document.spec.threshold,
                "expires": seconds(document.spec.expires),
                "wildcards": [str(path) for path in document.spec.resources if path.wildcard],
            },
        )
        for document in context.workspace.of_kind(BreakGlass)
    ]


def controls(context: Context) -> list[Located[ControlMember]]:
    """Controls of compliance mappings, held against their framework and against the assertions that exist."""
    workspace = context.workspace
    frameworks = [d for d in (*workspace.catalog.values(), *workspace.documents.values()) if isinstance(d, Framework)]
    assertions = {str(name) for f in frameworks for control in f.spec.controls for name in control.assertions}
    members: list[Located[ControlMember]] = []
    for mapping in workspace.of_kind(ComplianceMapping):
        framework = workspace.find(mapping.spec.framework, Framework).spec
        known = {str(control.control) for control in framework.controls}
        for index, control in enumerate(mapping.spec.controls):
            other = framework.refused_ids.get(str(control.control))
            members.append(
                Located(
                    mapping.address,
                    ["spec", "controls", index],
                    {
                        "framework": mapping.spec.framework,
                        "control": str(control.control),
                        "controlKnown": str(control.control) in known,
                        "otherEdition": f" It is {other}." if other else "",
                        "unknownAssertions": sorted({str(n) for n in control.assertions} - assertions - context.rules),
                        "assertions": len(control.assertions),
                        "responsibility": control.responsibility,
                        "notApplicable": control.not_applicable is not None,
                    },
                )
            )
    return members


__all__ = [
    "api_keys",
    "break_glasses",
    "controls",
    "identities",
    "identity_references",
    "projects",
    "signers",
    "tenants",
    "trust_roots",
    "waivers",
]
