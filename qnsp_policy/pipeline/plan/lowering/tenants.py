"""Unit `tenant`: what brokers hold of one tenant: the tenant itself, its sealed keys, its release policies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from qnsp_policy.errors import OperatorError, PeerError, Place
from qnsp_policy.kernel.crypto.canonical import parse_object
from qnsp_policy.kernel.crypto.keys import PublicKey
from qnsp_policy.kernel.sealed.header import SealedKey
from qnsp_policy.pipeline.model.kinds import Artefact, KeyBroker, Tenant
from qnsp_policy.pipeline.model.kinds.tenant import ApiKey, Quotas
from qnsp_policy.pipeline.model.workspace import Workspace
from qnsp_policy.pipeline.plan.lowering.context import Json, Lowering, broker_object, connection
from qnsp_policy.pipeline.plan.values import Unit
from qnsp_policy.pipeline.trust.approvals import TenantVoice
from qnsp_policy.pipeline.trust.codec import time_to_text
from qnsp_policy.pipeline.trust.objects import voice_to_json
from qnsp_policy.pipeline.trust.places import SELF, LazyPlaces


def tenant_unit(context: Lowering, tenant: Tenant) -> Unit:
    """The unit of one tenant, over every broker that serves it."""
    workspace, address = context.workspace, tenant.address
    brokers = workspace.brokers_of(address)
    inputs: Json = {
        "tenant": {"name": tenant.name, **voice_to_json(voice(workspace, tenant))},
        "brokers": [{"broker": connection(broker), "objects": _objects(context, tenant, broker)} for broker in brokers],
    }
    return Unit(
        f"tenant/{tenant.name}",
        "tenant",
        inputs,
        tuple(sorted(f"broker/{broker.name}" for broker in brokers)),
        places=_places(context, tenant, brokers),
    )


def _places(context: Lowering, tenant: Tenant, brokers: Sequence[KeyBroker]) -> LazyPlaces:
    """Where each object of the unit is declared, down to the alternatives of its policies."""
    found: dict[str, Callable[[], Place]] = {
        SELF: context.place(tenant.address),
        "tenant.owners": context.place(tenant.address, "spec", "owners"),
    }
    for broker in brokers:
        prefix = f"brokers[{broker.address}].objects"
        found[f"{prefix}[tenant/{tenant.name}]"] = context.place(tenant.address)
        for artefact in context.sealed_of_tenant.get(tenant.name, ()):
            if artefact.spec.encryption is not None:
                found[f"{prefix}[resource/{artefact.spec.encryption.key}]"] = context.place(artefact.address)
        for policy in context.policies_of_tenant.get((broker.address, tenant.address), ()):
            path = f"{prefix}[release-policy/{policy.resource}]"
            for grant in policy.grants:
                entry = f"{path}.object.grants[{grant.grant} to {grant.enclave}]"
                found |= {
                    f"{entry}.alternatives[{name}]" if "#" in name else entry: partial(grant.places.__getitem__, name)
                    for name in grant.places
                    if name == SELF or "#" in name
                }
                found.setdefault(path, found[entry])
    return LazyPlaces(found)


def voice(workspace: Workspace, tenant: Tenant) -> TenantVoice:
    """Who speaks for a tenant, and what its tier asks of approvers."""
    tier = workspace.tier_of(tenant.address)
    return TenantVoice(
        tenant=str(tenant.address),
        owners=tuple(sorted(str(owner) for owner in tenant.spec.owners)),
        tier=str(tenant.spec.tier),
        approver_roles=tuple(sorted(tier.approver_roles)),
        approver_signers=tuple(sorted(tier.approver_signers)),
    )


def _objects(context: Lowering, tenant: Tenant, broker: KeyBroker) -> list[Json]:
    keys = _keys(context, tenant, broker)
    policies = [
        broker_object("release-policy", policy.resource, policy.to_json())
        for policy in context.policies_of_tenant.get((broker.address, tenant.address), ())
    ]
    return [
        broker_object("tenant", tenant.name, tenant_object(context.workspace, tenant)),
        *keys,
        *policies,
    ]


def _keys(context: Lowering, tenant: Tenant, broker: KeyBroker) -> list[Json]:
    """The sealed keys of the tenant's artefacts that are sealed to this broker, one a resource."""
    found: dict[str, Json] = {}
    unwrap = PublicKey.from_jwk(broker.spec.identity.unwrap).key_id
    for artefact in context.sealed_of_tenant.get(tenant.name, ()):
        encryption = artefact.spec.encryption
        if encryption is None:
            continue
        where = ("spec", "encryption", "wrappedKey")
        data = context.attachment(str(encryption.wrapped_key), artefact.address, *where)
        try:
            envelope = parse_object(data)
            sealed = SealedKey.from_json(envelope)
        except PeerError as error:
            raise _bad_key(context, artefact, f"it is no sealed key ({error})") from error
        if (sealed.resource, sealed.version) != (str(encryption.key), encryption.version):
            raise _bad_key(context, artefact, f"it is for {sealed.resource} version {sealed.version}")
        if sealed.message.key_id != unwrap:
            if len(context.workspace.brokers_of(tenant.address)) == 1:
                raise _bad_key(context, artefact, f"it is not sealed to the unwrap key of {broker.address}")
            continue
        name = str(encryption.key)
        known = found.get(name)
        if known is not None and known["object"] != envelope:
            raise _bad_key(context, artefact, "another artefact names another file for the same key")
        unlocks = [*(known["unlocks"] if known else []), artefact.name]
        found[name] = broker_object(
            "resource", name, envelope, protect=True, source=str(encryption.wrapped_key), unlocks=sorted(unlocks)
        )
    return [found[name] for name in sorted(found)]


def _bad_key(context: Lowering, artefact: Artefact, why: str) -> OperatorError:
    encryption = artefact.spec.encryption
    path = str(encryption.wrapped_key) if encryption else ""
    return OperatorError(
        "QNSP-PLN-028",
        f"{path} is not the sealed key that {artefact.address} names: {why}",
        subject=path,
        place=context.workspace.place(artefact.address, "spec", "encryption", "wrappedKey"),
        next_step="seal the artefact again: qnsp-policy artefact seal",
    )


def tenant_object(workspace: Workspace, tenant: Tenant) -> Json:
    """Format `qnsp.tenant/v1`: what a broker must know of a tenant."""
    spec, tier = tenant.spec, workspace.tier_of(tenant.address)
    family, level = tier.families[0]
    return {
        "format": "qnsp.tenant/v1",
        "name": tenant.name,
        "tier": str(spec.tier),
        "family": family,
        "level": level,
        "owners": sorted(str(owner) for owner in spec.owners),
        "regions": sorted(str(region) for region in spec.regions),
        "dataClasses": sorted(str(name) for name in spec.data_classes),
        "quotas": quotas(spec.quotas),
        "wrapping": sorted(tier.kem.allowed),
        "apiKeys": [api_key(key) for key in spec.api_keys],
    }


def quotas(value: Quotas) -> Json:
    """Quotas as plain numbers; what is not bounded is left out."""
    found: Json = {
        "requestsPerMinute": value.requests_per_minute.number if value.requests_per_minute is not None else None,
        "tokensPerDay": value.tokens_per_day.number if value.tokens_per_day is not None else None,
        "gpus": value.gpus,
        "keys": value.keys,
        "storageBytes": value.storage.bytes if value.storage is not None else None,
    }
    return {name: number for name, number in found.items() if number is not None}


def api_key(key: ApiKey) -> Json:
    """A public key that may call endpoints; `expires` is its last moment."""
    return {
        "name": str(key.name),
        "keyId": PublicKey.from_jwk(key.key).key_id,
        "key": dict(key.key),
        "expires": time_to_text(key.expires.at),
        "scopes": sorted(str(scope) for scope in key.scopes),
    }


__all__ = ["api_key", "quotas", "tenant_object", "tenant_unit", "voice"]
