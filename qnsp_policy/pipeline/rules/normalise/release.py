"""What is released to whom and served where: artefacts, grants, endpoints.

Comes in: `Context`. Goes out: the members of these populations.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

from qnsp_policy.pipeline.model import Address
from qnsp_policy.pipeline.model.kinds import Artefact, Enclave, Endpoint, Grant
from qnsp_policy.pipeline.model.scalars import ResourcePath
from qnsp_policy.pipeline.rules.inputs import NEVER, ArtefactMember, EndpointMember, GrantMember, GrantResource
from qnsp_policy.pipeline.rules.normalise.context import Context, Located, seconds


def artefacts(context: Context) -> list[Located[ArtefactMember]]:
    """Models, datasets, indexes and images with who signed them."""
    members: list[Located[ArtefactMember]] = []
    for artefact in context.workspace.of_kind(Artefact):
        spec = artefact.spec
        signed = context.signed_by(artefact.address)
        members.append(
            Located(
                artefact.address,
                [],
                {
                    "type": spec.type,
                    "tenant": spec.tenant or "",
                    "hasTenant": spec.tenant is not None,
                    "public": spec.public,
                    "encrypted": spec.encryption is not None,
                    "mustEncrypt": spec.type != "image" and not spec.public,
                    "keyTenant": _tenant(spec.encryption.key) if spec.encryption is not None else "",
                    "tierAtRest": spec.tenant is not None and context.tier_of(spec.tenant).protections["atRest"],
                    "publisher": str(spec.publisher),
                    "signers": signed,
                    "publisherSigners": [name for name in signed if "publisher" in context.roles_of(name)],
                    "lineage": len(spec.lineage),
                    "key": str(spec.encryption.key) if spec.encryption is not None else "",
                    "plaintextDigest": spec.plaintext_digest is not None,
                },
            )
        )
    return members


def grants(context: Context) -> list[Located[GrantMember]]:
    """Grants as a whole; the shortest lease that a tenant's tier allows counts."""
    members: list[Located[GrantMember]] = []
    for grant in context.workspace.of_kind(Grant):
        spec = grant.spec
        tiers = context.tiers([_tenant(path) for path in spec.resources])
        strictest = reduce(lambda one, other: other if other.max_lease < one.max_lease else one, tiers)
        members.append(
            Located(
                grant.address,
                [],
                {
                    "lease": spec.lease.seconds,
                    "leaseMaximum": strictest.max_lease,
                    "tier": strictest.address,
                    "hasEnd": spec.not_after is not None,
                    "end": seconds(spec.not_after) if spec.not_after is not None else NEVER,
                    "start": seconds(spec.not_before) if spec.not_before is not None else 0,
                    "opaque": spec.appraisal.rego is not None,
                    "production": context.production,
                },
            )
        )
    return members


def grant_resources(context: Context) -> list[Located[GrantResource]]:
    """One member for each resource of a grant and each enclave that would get it."""
    return [member for grant in context.workspace.of_kind(Grant) for member in _grant_resources(grant, context)]


def _grant_resources(grant: Grant, context: Context) -> Iterator[Located[GrantResource]]:
    workspace, spec = context.workspace, grant.spec
    signed = context.signed_by(grant.address)
    for index, resource in enumerate(spec.resources):
        tenant = _tenant(resource)
        owners, needed = _owners(tenant, context)
        for address in spec.to:
            enclave = workspace.find(address, Enclave)
            yield Located(
                grant.address,
                ["spec", "resources", index],
                {
                    "resource": str(resource),
                    "wildcard": resource.wildcard,
                    "tenant": tenant,
                    "owners": owners,
                    "consenting": sorted({str(name) for name in spec.consent}),
                    "signed": signed,
                    "ownersNeeded": needed,
                    "enclave": address,
                    "enclaveTenants": sorted(enclave.spec.tenants),
                    "brokerServes": workspace.serves(spec.broker, tenant),
                    "broker": spec.broker,
                },
            )


def _owners(tenant: Address, context: Context) -> tuple[list[str], int]:
    """Who must consent and how many: the hierarchies' owners k of n, else one of the tenant's owners."""
    found = context.hierarchies.get(tenant, ())
    if not found:
        return sorted(str(owner) for owner in context.tenants[tenant].spec.owners), 1
    owners = {str(owner) for hierarchy in found for owner in hierarchy.spec.owners.identities}
    return sorted(owners), max(hierarchy.spec.owners.threshold for hierarchy in found)


def endpoints(context: Context) -> list[Located[EndpointMember]]:
    """Inference endpoints."""
    granted = _granted(context)
    return [_endpoint(endpoint, granted, context) for endpoint in context.workspace.of_kind(Endpoint)]


def _endpoint(endpoint: Endpoint, granted: set[tuple[str, Address]], context: Context) -> Located[EndpointMember]:
    workspace, spec = context.workspace, endpoint.spec
    model = workspace.find(spec.model, Artefact)
    encryption = model.spec.encryption
    wanted = {str(encryption.key), _wildcard(encryption.key)} if encryption is not None else set()
    return Located(
        endpoint.address,
        [],
        {
            "production": context.production,
            "enclave": spec.enclave,
            "tenants": sorted(spec.tenants),
            "enclaveTenants": sorted(workspace.find(spec.enclave, Enclave).spec.tenants),
            "receipts": spec.receipts,
            "model": spec.model,
            "modelType": model.spec.type,
            "modelTenant": model.spec.tenant or "",
            "modelSealed": encryption is not None,
            "modelGranted": any((key, spec.enclave) in granted for key in wanted),
            "plaintext": spec.tls.mode == "insecure-plaintext",
            "authenticated": spec.request_authentication == "required",
            "auditOff": spec.audit.level == "none",
        },
    )


def _granted(context: Context) -> set[tuple[str, Address]]:
    """Every (resource or wildcard, enclave) that some grant names and that has not ended."""
    return {
        (str(resource), enclave)
        for grant in context.workspace.of_kind(Grant)
        if grant.spec.not_after is None or seconds(grant.spec.not_after) >= context.now
        for resource in grant.spec.resources
        for enclave in grant.spec.to
    }


def _tenant(resource: ResourcePath) -> Address:
    return Address(f"Tenant/{resource.tenant}")


def _wildcard(resource: ResourcePath) -> str:
    return str(resource).rpartition("/")[0] + "/*"


__all__ = ["artefacts", "endpoints", "grant_resources", "grants"]
