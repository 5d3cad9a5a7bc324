"""`trust show`: who may obtain what under which evidence, as plain values for every renderer."""

from __future__ import annotations

from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.trust.codec import alternative_to_json, guardrail_to_json, time_to_text
from qnsp_policy.pipeline.trust.crossing import cross_tenant
from qnsp_policy.pipeline.trust.diff import conditions
from qnsp_policy.pipeline.trust.grants import blocked_grants, effective_grants
from qnsp_policy.pipeline.trust.values import EffectiveGrant, Json


def trust_show(workspace: Workspace) -> Json:
    """Everything that the documents allow, what is written but blocked, and the proof line over tenants.

    Returns:
        `{grants, blocked, crossTenant}`; a grant has its conditions in one line and its alternatives and guardrails whole.
    """
    grants = effective_grants(workspace)
    return {
        "grants": [grant_row(grant) for grant in grants],
        "blocked": [
            {
                "grant": blocked.grant,
                "resource": blocked.resource,
                "enclave": blocked.enclave,
                "reason": blocked.reason,
                "place": str(blocked.place),
            }
            for blocked in blocked_grants(workspace)
        ],
        "crossTenant": cross_tenant(workspace, grants).to_json(),
    }


def grant_row(grant: EffectiveGrant) -> Json:
    """One effective grant with everything that is needed to read it alone."""
    return {
        "enclave": grant.enclave,
        "resource": grant.resource,
        "tenant": grant.tenant,
        "broker": grant.broker,
        "grant": grant.grant,
        "implicit": grant.implicit,
        "purpose": grant.purpose,
        "leaseSeconds": grant.lease_limit,
        "notBefore": time_to_text(grant.not_before) if grant.not_before else None,
        "notAfter": time_to_text(grant.not_after) if grant.not_after else None,
        "conditions": conditions(grant),
        "alternatives": [alternative_to_json(alternative) for alternative in grant.alternatives],
        "guardrails": [guardrail_to_json(guardrail) for guardrail in grant.guardrails],
        "place": str(grant.place) if grant.place.file else None,
    }


__all__ = ["grant_row", "trust_show"]
