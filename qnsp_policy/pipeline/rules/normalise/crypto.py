"""Every place that names an algorithm, and the tiers in use.

Comes in: `Context`. Goes out: algorithm uses, uses by purpose held against tiers, TLS groups, tier sets, rivalries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from qnsp_policy.pipeline.model import Address, ResolvedTier
from qnsp_policy.pipeline.model.kinds import Artefact, CryptoTier, Endpoint, KeyBroker, KeyHierarchy, Tenant
from qnsp_policy.pipeline.model.tiers import CUSTODY_ORDER
from qnsp_policy.pipeline.rules.algorithms import algorithm_of_jwk
from qnsp_policy.pipeline.rules.inputs import (
    UNBOUNDED,
    AlgorithmEntry,
    AlgorithmUse,
    KeyExchange,
    TierBar,
    TierRivalry,
    TierSet,
    TierUse,
)
from qnsp_policy.pipeline.rules.normalise.context import KEY_CLASSES, Context, Located, Path, seconds, sentence

_SETS = ("kem", "signature", "aead", "hash")

_EVENTS = {"model": "per-version", "session": "per-connection"}
"""What a tier means that lets keys of a class follow an event."""


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


def algorithm_uses(found: Sequence[Use], context: Context) -> list[Located[AlgorithmUse]]:
    """The population of rules that look at an algorithm by itself."""
    return [
        Located(
            use.address,
            use.path,
            {
                "algorithm": use.algorithm,
                "purpose": use.purpose,
                "custody": use.custody,
                "experimentalUntil": _acknowledged_until(use, context),
            },
        )
        for use in found
    ]


def _acknowledged_until(use: Use, context: Context) -> int:
    """The moment until which every tenant's tier admits an algorithm as experimental; 0 if one does not."""
    if context.algorithm(use.algorithm).final:
        return 0
    ends = [
        max((seconds(item.expires) for item in tier.experimental if item.algorithm == use.algorithm), default=0)
        for tier in context.tiers(use.tenants)
    ]
    return min(ends, default=0)


def algorithm_table(found: Sequence[Use], context: Context) -> dict[str, AlgorithmEntry]:
    """Every algorithm that is used, by name."""
    return {
        name: {
            "kind": facts.kind,
            "known": facts.known,
            "final": facts.final,
            "stateful": facts.stateful,
            "hybrid": facts.hybrid,
            "postQuantum": facts.post_quantum,
            "deprecatedFrom": facts.deprecated_from,
            "disallowedFrom": facts.disallowed_from,
        }
        for name in sorted({use.algorithm for use in found})
        for facts in (context.algorithm(name),)
    }


def tier_table(context: Context) -> dict[str, TierBar]:
    """What each tier in use asks, alone or narrowed by profiles, by the name that `Context.bar_of` gives it."""
    table: dict[str, TierBar] = {}
    for tenant in context.tenants:
        name = context.bar_of(tenant)
        if name not in table:
            table[name] = _bar(context.tier_of(tenant))
    return table


def _bar(tier: ResolvedTier) -> TierBar:
    return {
        "signature": list(tier.signature.allowed),
        "kem": list(tier.kem.allowed),
        "aead": list(tier.aead.allowed),
        "hash": list(tier.hash.allowed),
        "tls": list(tier.tls_groups),
        "hybrid": tier.hybrid,
        "custody": tier.custody,
        "custodyRank": CUSTODY_ORDER.index(tier.custody),
        "maximum": {name: tier.rotation.get(name) or UNBOUNDED for name in KEY_CLASSES},
        "event": {name: _event(tier, name) for name in KEY_CLASSES},
    }


def _event(tier: ResolvedTier, key_class: str) -> str:
    follows_event = key_class in tier.rotation and tier.rotation[key_class] is None
    return _EVENTS.get(key_class, "per-version") if follows_event else ""


def tier_uses(found: Sequence[Use], context: Context) -> Mapping[str, list[Located[TierUse]]]:
    """Uses by purpose, one member for each tenant whose tier they must meet.

    An algorithm of another kind is left out, because crypto/algorithm-of-another-kind refuses it.
    """
    by_purpose: dict[str, list[Located[TierUse]]] = {purpose: [] for purpose in (*_SETS, "tls")}
    for use in found:
        if use.purpose in by_purpose and _fits(use, context):
            by_purpose[use.purpose] += [
                Located(
                    use.address,
                    use.path,
                    {"algorithm": use.algorithm, "tenant": tenant, "tier": context.bar_of(tenant)},
                )
                for tenant in use.tenants
            ]
    return by_purpose


def key_exchanges(found: Sequence[Use], context: Context) -> list[Located[KeyExchange]]:
    """TLS groups and KEMs held against the hybrid rule of each tenant's tier; unknown names are another rule's."""
    return [
        Located(
            use.address,
            use.path,
            {
                "algorithm": use.algorithm,
                "purpose": use.purpose,
                "tenant": tenant,
                "tier": context.bar_of(tenant),
            },
        )
        for use in found
        if use.purpose in ("tls", "kem") and context.algorithm(use.algorithm).known and _fits(use, context)
        for tenant in use.tenants
    ]


def _fits(use: Use, context: Context) -> bool:
    facts = context.algorithm(use.algorithm)
    return not facts.known or facts.serves(use.purpose)


def tier_sets(context: Context) -> list[Located[TierSet]]:
    """The algorithm sets of tiers in use: a user's own tier at its document, a shipped one at the tenant that takes it,
    because that is the line its reader can open.
    """
    members: list[Located[TierSet]] = []
    for document in context.workspace.of_kind(CryptoTier):
        members += _sets(document.address, None, document, context)
    for tenant in context.tenants.values():
        named: list[tuple[Address, Path]] = [(tenant.spec.tier, ("spec", "tier"))]
        named += [(profile, ("spec", "profiles", index)) for index, profile in enumerate(tenant.spec.profiles)]
        for address, path in named:
            if address not in context.workspace.documents:
                document = context.workspace.find(address, CryptoTier)
                members += _sets(tenant.address, path, document, context)
    return members


def _sets(address: Address, path: Path | None, document: CryptoTier, context: Context) -> Iterator[Located[TierSet]]:
    tier = context.tier(document.address)
    open_entries = sorted({str(item.algorithm) for item in tier.experimental if seconds(item.expires) >= context.now})
    for purpose in _SETS:
        admitted = list(getattr(tier, purpose).allowed)
        own = getattr(document.spec, purpose)
        yield Located(
            address,
            path if path is not None else ["spec", purpose],
            {
                "tier": document.address,
                "purpose": purpose,
                "admitted": admitted,
                "default": str(own.default) if own is not None else "",
                "hasDefault": own is not None,
                "unsettled": sorted(name for name in admitted if not context.algorithm(name).final),
                "acknowledged": open_entries,
            },
        )


def rivalries(context: Context) -> list[Located[TierRivalry]]:
    """For each tenant and each tier that its own tiers contradict: the tenants that have taken that one."""
    takers: dict[Address, list[str]] = {}
    for tenant in context.tenants.values():
        for tier in (tenant.spec.tier, *tenant.spec.profiles):
            takers.setdefault(tier, []).append(tenant.address)
    members: list[Located[TierRivalry]] = []
    for tenant in context.tenants.values():
        for tier in (tenant.spec.tier, *tenant.spec.profiles):
            for conflict in context.workspace.find(tier, CryptoTier).spec.conflicts:
                rivals = takers.get(conflict.tier, [])[:5]
                members += [
                    Located(
                        tenant.address,
                        ("spec", "tier"),
                        {
                            "tier": tier,
                            "rival": conflict.tier,
                            "rivalTenants": rivals,
                            "reason": sentence(conflict.reason),
                        },
                    )
                ]
    return members


__all__ = [
    "Use",
    "algorithm_table",
    "algorithm_uses",
    "key_exchanges",
    "rivalries",
    "tier_sets",
    "tier_table",
    "tier_uses",
    "uses",
]
