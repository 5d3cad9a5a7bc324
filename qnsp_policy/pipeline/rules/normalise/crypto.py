"""Every place that names an algorithm, and the tiers in use.

Comes in: `Context`. Goes out: algorithm uses, uses by purpose held against tiers, TLS groups, tier sets, rivalries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from qnsp_policy.pipeline.model import Address, ResolvedTier
from qnsp_policy.pipeline.model.kinds import Artefact, CryptoTier, Endpoint, KeyBroker, KeyHierarchy, Tenant
from qnsp_policy.pipeline.rules.algorithms import algorithm_of_jwk
from qnsp_policy.pipeline.rules.inputs import AlgorithmUse, KeyExchange, Path, TierRivalry, TierSet, TierUse
from qnsp_policy.pipeline.rules.normalise.context import Context, seconds

_SETS = ("kem", "signature", "aead", "hash")


@dataclass(frozen=True, slots=True)
class Use:
    """One named algorithm: where, for what, for whose data, and where its key is kept."""

    address: Address
    path: tuple[str | int, ...]
    algorithm: str
    purpose: str
    tenants: tuple[Address, ...]
    custody: str = "software"


def uses(context: Context) -> list[Use]:
    """Every place of the workspace that names an algorithm, or that takes a tier's default for signing answers."""
    workspace = context.workspace
    found: list[Use] = []
    for endpoint in workspace.of_kind(Endpoint):
        found += _of_endpoint(endpoint, context)
    for hierarchy in workspace.of_kind(KeyHierarchy):
        found += _of_hierarchy(hierarchy, context)
    for artefact in workspace.of_kind(Artefact):
        encryption, tenant = artefact.spec.encryption, artefact.spec.tenant
        if encryption is not None:
            tenants = (tenant,) if tenant is not None else ()
            found.append(Use(artefact.address, ("spec", "encryption", "cipher"), encryption.cipher, "aead", tenants))
    for broker in workspace.of_kind(KeyBroker):
        algorithm = algorithm_of_jwk(broker.spec.identity.unwrap)
        found.append(Use(broker.address, ("spec", "identity", "unwrap"), algorithm, "kem", ()))
    for owner in workspace.of_kind(Tenant):
        for index, key in enumerate(owner.spec.api_keys):
            path = ("spec", "apiKeys", index, "key")
            found.append(Use(owner.address, path, algorithm_of_jwk(key.key), "signature", (owner.address,)))
    return found


def _of_endpoint(endpoint: Endpoint, context: Context) -> Iterator[Use]:
    spec = endpoint.spec
    named = spec.response_signature.algorithm
    if named is not None:
        path: tuple[str | int, ...] = ("spec", "responseSignature", "algorithm")
        yield Use(endpoint.address, path, named, "signature", spec.tenants)
    else:
        default = context.tier_of(spec.tenants[0]).signature.default
        yield Use(endpoint.address, ("spec", "responseSignature"), default, "signature", spec.tenants)
    for index, group in enumerate(spec.tls.groups):
        yield Use(endpoint.address, ("spec", "tls", "groups", index), group, "tls", spec.tenants)


def _of_hierarchy(hierarchy: KeyHierarchy, context: Context) -> Iterator[Use]:
    spec, tenants = hierarchy.spec, (hierarchy.spec.tenant,)
    for name, root in (("wrappingRoot", spec.wrapping_root), ("signingRoot", spec.signing_root)):
        # A root of the wrong kind is what keys/wrapping-root-signs refuses; here it counts as what it is.
        purpose = context.algorithm(root.algorithm).kind
        yield Use(hierarchy.address, ("spec", name, "algorithm"), root.algorithm, purpose, tenants, root.custody)
    for index, key in enumerate(spec.keys):
        kind = context.algorithm(key.algorithm).kind
        purpose = "signature" if key.name.startswith("api/") else kind
        custody = key.custody or (spec.signing_root if kind == "signature" else spec.wrapping_root).custody
        yield Use(hierarchy.address, ("spec", "keys", index, "algorithm"), key.algorithm, purpose, tenants, custody)
        if key.wrapped_by is not None:
            yield Use(hierarchy.address, ("spec", "keys", index, "wrappedBy"), key.wrapped_by, "kem", tenants, custody)


def algorithm_uses(found: Sequence[Use], context: Context) -> list[AlgorithmUse]:
    """The population of rules that look at an algorithm by itself."""
    return [
        {
            "address": use.address,
            "path": list(use.path),
            "algorithm": use.algorithm,
            "purpose": use.purpose,
            "kind": use.purpose if facts.serves(use.purpose) else facts.kind,
            "known": facts.known,
            "final": facts.final,
            "stateful": facts.stateful,
            "custody": use.custody,
            "experimentalUntil": _acknowledged_until(use, context) if not facts.final else 0,
            "deprecatedFrom": facts.deprecated_from,
            "disallowedFrom": facts.disallowed_from,
        }
        for use in found
        for facts in (context.algorithm(use.algorithm),)
    ]


def _acknowledged_until(use: Use, context: Context) -> int:
    """The moment until which every tenant's tier admits an algorithm as experimental; 0 if one does not."""
    ends = [
        max((seconds(item.expires) for item in tier.experimental if item.algorithm == use.algorithm), default=0)
        for tier in context.tiers(use.tenants)
    ]
    return min(ends, default=0)


def tier_uses(found: Sequence[Use], context: Context) -> Mapping[str, list[TierUse]]:
    """Uses by purpose, one member for each tenant whose tier they must meet; work of another kind is left out here,
    because crypto/algorithm-of-another-kind refuses it.
    """
    sorted_uses: dict[str, list[TierUse]] = {purpose: [] for purpose in (*_SETS, "tls")}
    for use in found:
        facts = context.algorithm(use.algorithm)
        if use.purpose not in sorted_uses or (facts.known and not facts.serves(use.purpose)):
            continue
        for tenant in use.tenants:
            tier = context.tier_of(tenant)
            sorted_uses[use.purpose].append(
                {
                    "address": use.address,
                    "path": list(use.path),
                    "algorithm": use.algorithm,
                    "known": facts.known,
                    "tenant": tenant,
                    "tier": tier.address,
                    "admitted": _admitted(tier, use.purpose),
                }
            )
    return sorted_uses


def _admitted(tier: ResolvedTier, purpose: str) -> list[str]:
    if purpose == "tls":
        return list(tier.tls_groups)
    return list({"kem": tier.kem, "signature": tier.signature, "aead": tier.aead, "hash": tier.hash}[purpose].allowed)


def key_exchanges(found: Sequence[Use], context: Context) -> list[KeyExchange]:
    """TLS groups and KEMs held against the hybrid rule: `required` speaks of transport, `forbidden` of both."""
    members: list[KeyExchange] = []
    for use in found:
        facts = context.algorithm(use.algorithm)
        if use.purpose not in ("tls", "kem") or not facts.known or not facts.serves(use.purpose):
            continue
        for tenant in use.tenants:
            tier = context.tier_of(tenant)
            members.append(
                {
                    "address": use.address,
                    "path": list(use.path),
                    "algorithm": use.algorithm,
                    "hybrid": facts.hybrid,
                    "postQuantum": facts.post_quantum,
                    "transport": use.purpose == "tls" and tier.hybrid == "transport-only",
                    "tenant": tenant,
                    "tier": tier.address,
                    "hybridRule": _hybrid_rule(tier.hybrid, use.purpose),
                    "choices": _admitted(tier, use.purpose),
                }
            )
    return members


def _hybrid_rule(rule: str, purpose: str) -> str:
    if rule == "transport-only":
        return "forbidden"
    return "allowed" if rule == "required" and purpose == "kem" else rule


def tier_sets(context: Context) -> list[TierSet]:
    """The algorithm sets of tiers in use: a user's own tier at its document, a shipped one at the tenant that takes it,
    because that is the line its reader can open.
    """
    members: list[TierSet] = []
    for document in context.workspace.of_kind(CryptoTier):
        members += _sets(document.address, None, document, context)
    for tenant in context.tenants.values():
        named = [(tenant.spec.tier, ("spec", "tier"))]
        named += [(profile, ("spec", "profiles", index)) for index, profile in enumerate(tenant.spec.profiles)]  # type: ignore[misc]
        for address, path in named:
            if address not in context.workspace.documents:
                document = context.workspace.find(address, CryptoTier)
                members += _sets(tenant.address, list(path), document, context)
    return members


def _sets(address: Address, path: Path | None, document: CryptoTier, context: Context) -> Iterator[TierSet]:
    tier = context.workspace.tier(document.address)
    open_entries = sorted({str(item.algorithm) for item in tier.experimental if seconds(item.expires) >= context.now})
    for purpose in _SETS:
        admitted = _admitted(tier, purpose)
        own = getattr(document.spec, purpose)
        yield {
            "address": address,
            "path": path if path is not None else ["spec", purpose],
            "tier": document.address,
            "purpose": purpose,
            "admitted": admitted,
            "default": str(own.default) if own is not None else "",
            "hasDefault": own is not None,
            "unsettled": sorted(name for name in admitted if not context.algorithm(name).final),
            "acknowledged": open_entries,
        }


def rivalries(context: Context) -> list[TierRivalry]:
    """For each tenant and each tier that its own tiers contradict: the tenants that have taken that one."""
    takers: dict[Address, list[str]] = {}
    for tenant in context.tenants.values():
        for tier in (tenant.spec.tier, *tenant.spec.profiles):
            takers.setdefault(tier, []).append(tenant.address)
    members: list[TierRivalry] = []
    for tenant in context.tenants.values():
        for tier in (tenant.spec.tier, *tenant.spec.profiles):
            for conflict in context.workspace.find(tier, CryptoTier).spec.conflicts:
                members.append(
                    {
                        "address": tenant.address,
                        "path": ["spec", "tier"],
                        "tier": tier,
                        "rival": conflict.tier,
                        "rivalTenants": takers.get(conflict.tier, [])[:5],
                        "reason": str(conflict.reason),
                    }
                )
    return members


__all__ = ["Use", "algorithm_uses", "key_exchanges", "rivalries", "tier_sets", "tier_uses", "uses"]
