"""Keys and who hands them out: hierarchies, their keys and paths, brokers.

Comes in: `Context`. Goes out: the members of these populations.
"""

from __future__ import annotations

from collections.abc import Iterator

from qnsp_policy.pipeline.model.kinds import KeyBroker, KeyHierarchy
from qnsp_policy.pipeline.model.scalars import Rotation
from qnsp_policy.pipeline.model.tiers import CUSTODY_ORDER, ResolvedTier
from qnsp_policy.pipeline.rules.inputs import UNBOUNDED, BrokerMember, HierarchyMember, KeyMember, KeyPath
from qnsp_policy.pipeline.rules.normalise.context import Context, seconds

_EVENT_OF_CLASS = {"model": "per-version", "session": "per-connection"}
"""What a tier that names an event means by it, by class of key."""


def keys(context: Context) -> list[KeyMember]:
    """Both roots and every named key of every hierarchy."""
    return [member for hierarchy in context.workspace.of_kind(KeyHierarchy) for member in _keys(hierarchy, context)]


def _keys(hierarchy: KeyHierarchy, context: Context) -> Iterator[KeyMember]:
    spec = hierarchy.spec
    tier = context.tier_of(spec.tenant)
    for role, field, root in (
        ("wrapping-root", "wrappingRoot", spec.wrapping_root),
        ("signing-root", "signingRoot", spec.signing_root),
    ):
        yield _key(hierarchy, ["spec", field], role, role, root.algorithm, root.custody, root.rotation, tier, context)
    for index, key in enumerate(spec.keys):
        kind = context.algorithm(key.algorithm).kind
        custody = key.custody or (spec.signing_root if kind == "signature" else spec.wrapping_root).custody
        role = key.name.partition("/")[0]
        path: list[str | int] = ["spec", "keys", index]
        yield _key(hierarchy, path, str(key.name), role, key.algorithm, custody, key.rotation, tier, context)


def _key(
    hierarchy: KeyHierarchy,
    path: list[str | int],
    name: str,
    role: str,
    algorithm: str,
    custody: str,
    rotation: Rotation,
    tier: ResolvedTier,
    context: Context,
) -> KeyMember:
    root = role.endswith("-root")
    class_ = "root" if root else role
    bounded = class_ in tier.rotation
    maximum = tier.rotation.get(class_)
    event = "" if rotation.seconds is not None else str(rotation)
    required = tier.custody if root else CUSTODY_ORDER[0]
    return {
        "address": hierarchy.address,
        "path": path,
        "name": name,
        "role": role,
        "algorithm": str(algorithm),
        "kind": context.algorithm(str(algorithm)).kind,
        "tenant": hierarchy.spec.tenant,
        "tier": tier.address,
        "custody": custody,
        "custodyRank": CUSTODY_ORDER.index(custody),
        "requiredCustody": required,
        "requiredCustodyRank": CUSTODY_ORDER.index(required),
        "rotation": _length(rotation, event, maximum),
        "rotationEvent": event,
        "maximum": maximum if maximum is not None else UNBOUNDED,
        "requiredEvent": _EVENT_OF_CLASS.get(class_, "per-version") if bounded and maximum is None else "",
    }


def _length(rotation: Rotation, event: str, maximum: int | None) -> int:
    """Seconds a key may live: a key per connection or request lives short; one per version may live for ever."""
    if rotation.seconds is not None:
        return rotation.seconds
    return 0 if event in ("per-connection", "per-request") or maximum is None else UNBOUNDED


def hierarchies(context: Context) -> list[HierarchyMember]:
    """Hierarchies as a whole; numbers of a recovery that is not declared are 0."""
    members: list[HierarchyMember] = []
    for hierarchy in context.workspace.of_kind(KeyHierarchy):
        spec, recovery = hierarchy.spec, hierarchy.spec.recovery
        drill = recovery.last_drill if recovery is not None else None
        members.append(
            {
                "address": hierarchy.address,
                "tenant": spec.tenant,
                "ownerThreshold": spec.owners.threshold,
                "owners": len(set(spec.owners.identities)),
                "hasRecovery": recovery is not None,
                "custodians": len(set(recovery.custodians)) if recovery is not None else 0,
                "recoveryThreshold": recovery.threshold if recovery is not None else 0,
                "sites": len(set(recovery.sites)) if recovery is not None else 0,
                "lastDrill": seconds(drill) if drill is not None else 0,
                "production": context.production,
            }
        )
    return members


def key_paths(context: Context) -> list[KeyPath]:
    """Every path that hierarchies claim, at each place that claims it."""
    claims: dict[str, list[tuple[str, int]]] = {}
    for hierarchy in context.workspace.of_kind(KeyHierarchy):
        tenant = hierarchy.spec.tenant.partition("/")[2]
        for index, key in enumerate(hierarchy.spec.keys):
            claims.setdefault(f"{tenant}/{key.name}", []).append((hierarchy.address, index))
    return [
        {
            "address": address,
            "path": ["spec", "keys", index, "name"],
            "resource": resource,
            "claimants": [claimant for claimant, _ in claimants],
        }
        for resource, claimants in claims.items()
        for address, index in claimants
    ]


def brokers(context: Context) -> list[BrokerMember]:
    """Key brokers."""
    return [
        {
            "address": broker.address,
            "production": context.production,
            "mode": broker.spec.mode,
            "unsealing": broker.spec.unsealing.method,
            "insecureUnsealing": broker.spec.unsealing.method == "software-insecure",
            "hasEnclave": broker.spec.enclave is not None,
            "embeddedStorage": broker.spec.storage.url.startswith("sqlite:"),
            "plaintext": broker.spec.tls == "insecure-plaintext",
            "replicas": broker.spec.replicas,
            "adminKeys": len(broker.spec.identity.admin),
        }
        for broker in context.workspace.of_kind(KeyBroker)
    ]


__all__ = ["brokers", "hierarchies", "key_paths", "keys"]
