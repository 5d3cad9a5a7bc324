"""The door of lowering: every unit of a workspace, in the order of the waves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from qnsp_policy.errors import OperatorError
from qnsp_policy.pipeline.model.kinds import (
    Artefact,
    Enclave,
    Endpoint,
    Grant,
    KeyBroker,
    KeyHierarchy,
    Platform,
    Tenant,
)
from qnsp_policy.pipeline.model.scalars import Address
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.plan.lowering.aws_fleets import (
    aws_broker_unit,
    aws_enclave_unit,
    aws_endpoint_unit,
    broker_enclaves,
)
from qnsp_policy.pipeline.plan.lowering.aws_keys import key_units
from qnsp_policy.pipeline.plan.lowering.aws_platform import aws_platform_unit
from qnsp_policy.pipeline.plan.lowering.brokers import broker_unit, platform_unit
from qnsp_policy.pipeline.plan.lowering.context import Lowering
from qnsp_policy.pipeline.plan.lowering.enclaves import enclave_unit, endpoint_unit
from qnsp_policy.pipeline.plan.lowering.tenants import tenant_unit
from qnsp_policy.pipeline.plan.values import Unit

PROGRAMS = (
    "platform",
    "broker",
    "tenant",
    "enclave",
    "endpoint",
    "aws-platform",
    "aws-keys",
    "aws-broker",
    "aws-enclave",
    "aws-endpoint",
)
"""Every program, in the order of the waves."""


def lower(context: Lowering) -> Mapping[str, Unit]:
    """Every unit by id, in the order of the waves and by name within one."""
    return {unit.id: unit for part in parts(context) for unit in part()}


def parts(context: Lowering) -> Iterator[Callable[[], Sequence[Unit]]]:
    """What `lower` does, one step a document, so that each can be asked whether it would refuse."""
    workspace = context.workspace
    within_brokers = broker_enclaves(context)
    for platform in workspace.of_kind(Platform):
        yield partial(_platform, context, platform)
    for hierarchy in workspace.of_kind(KeyHierarchy):
        yield partial(key_units, context, hierarchy)
    for broker in workspace.of_kind(KeyBroker):
        yield partial(_broker, context, broker)
    for tenant in workspace.of_kind(Tenant):
        yield partial(_tenant, context, tenant)
    for enclave in workspace.of_kind(Enclave):
        if enclave.address not in within_brokers:
            yield partial(_enclave, context, enclave)
    for endpoint in workspace.of_kind(Endpoint):
        yield partial(_endpoint, context, endpoint)


def _platform(context: Lowering, platform: Platform) -> Sequence[Unit]:
    on_aws = _is_on_aws(context, platform.address)
    return (aws_platform_unit(context, platform) if on_aws else platform_unit(context, platform),)


def _is_on_aws(context: Lowering, address: Address) -> bool:
    """Whether something lands on AWS, and not here.

    Raises:
        OperatorError: QNSP-PLN-036, nothing lands there yet.
    """
    platform = context.workspace.find(address, Platform)
    if platform.spec.type not in {"aws", "local"}:
        raise OperatorError(
            "QNSP-PLN-036",
            f"nothing is applied on platforms of type {platform.spec.type} yet ({address})",
            subject=str(address),
            expected="aws or local",
            got=platform.spec.type,
            place=context.workspace.place(address, "spec", "type"),
            next_step="`validate` and `check` such documents in a workspace of their own; LIMITATIONS.md says what is applied",
        )
    return platform.spec.type == "aws"


def _tenant(context: Lowering, tenant: Tenant) -> Sequence[Unit]:
    return (tenant_unit(context, tenant),)


def _broker(context: Lowering, broker: KeyBroker) -> Sequence[Unit]:
    on_aws = _is_on_aws(context, broker.spec.platform)
    return (aws_broker_unit(context, broker) if on_aws else broker_unit(context, broker),)


def _enclave(context: Lowering, enclave: Enclave) -> Sequence[Unit]:
    on_aws = _is_on_aws(context, enclave.spec.platform)
    return (aws_enclave_unit(context, enclave) if on_aws else enclave_unit(context, enclave),)


def _endpoint(context: Lowering, endpoint: Endpoint) -> Sequence[Unit]:
    on_aws = _is_on_aws(context, context.workspace.find(endpoint.spec.enclave, Enclave).spec.platform)
    return (aws_endpoint_unit(context, endpoint) if on_aws else endpoint_unit(context, endpoint),)


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


__all__ = ["PROGRAMS", "attachments_needed", "lower", "parts"]
