"""The door of lowering: every unit of a workspace, in the order of the waves."""

from __future__ import annotations

from collections.abc import Mapping

from qnsp_policy.pipeline.model.kinds import Artefact, Enclave, Endpoint, Grant, KeyBroker, Platform, Tenant
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.plan.lowering.brokers import broker_unit, platform_unit
from qnsp_policy.pipeline.plan.lowering.context import Lowering
from qnsp_policy.pipeline.plan.lowering.enclaves import enclave_unit, endpoint_unit
from qnsp_policy.pipeline.plan.lowering.tenants import tenant_unit
from qnsp_policy.pipeline.plan.values import Unit

PROGRAMS = ("platform", "broker", "tenant", "enclave", "endpoint")
"""Every program, in the order of the waves."""


def lower(context: Lowering) -> Mapping[str, Unit]:
    """Every unit by id, in the order of the waves and by name within one."""
    workspace = context.workspace
    units = [
        *(platform_unit(context, platform) for platform in workspace.of_kind(Platform)),
        *(broker_unit(context, broker) for broker in workspace.of_kind(KeyBroker)),
        *(tenant_unit(context, tenant) for tenant in workspace.of_kind(Tenant)),
        *(enclave_unit(context, enclave) for enclave in workspace.of_kind(Enclave)),
        *(endpoint_unit(context, endpoint) for endpoint in workspace.of_kind(Endpoint)),
    ]
    return {unit.id: unit for unit in units}


def attachments_needed(workspace: Workspace) -> tuple[str, ...]:
    """The files that documents name and a plan must hold the contents of: sealed keys and rules of grants, sorted.

    Artefacts themselves are not among them: the plan holds their digest.
    """
    keys = {
        str(artefact.spec.encryption.wrapped_key)
        for artefact in workspace.of_kind(Artefact)
        if artefact.spec.encryption is not None
    }
    rules = {str(grant.spec.appraisal.rego) for grant in workspace.of_kind(Grant) if grant.spec.appraisal.rego}
    return tuple(sorted(keys | rules))


__all__ = ["PROGRAMS", "attachments_needed", "lower"]
