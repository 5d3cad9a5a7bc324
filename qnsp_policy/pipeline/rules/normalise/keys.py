"""Keys and who hands them out: hierarchies, their keys, brokers.

Comes in: `Context`. Goes out: the members of these populations.
"""

from __future__ import annotations

from collections.abc import Iterator

from qnsp_policy.pipeline.model.kinds import KeyBroker, KeyHierarchy
from qnsp_policy.pipeline.model.scalars import Rotation
from qnsp_policy.pipeline.model.tiers import CUSTODY_ORDER
from qnsp_policy.pipeline.rules.inputs import UNBOUNDED, BrokerMember, HierarchyMember, KeyMember
from qnsp_policy.pipeline.rules.normalise.context import KEY_CLASSES, Context, Located, seconds


def keys(context: Context) -> list[Located[KeyMember]]:
    """Both roots and every named key of every hierarchy."""
    return [member for hierarchy in context.workspace.of_kind(KeyHierarchy) for member in _keys(hierarchy, context)]


def _keys(hierarchy: KeyHierarchy, context: Context) -> Iterator[Located[KeyMember]]:
    spec, tier = hierarchy.spec, context.bar_of(hierarchy.spec.tenant)
    roots = (("wrapping-root", "wrappingRoot", spec.wrapping_root), ("signing-root", "signingRoot", spec.signing_root))
    for role, field, root in roots:
        member = _key(
            role, "root", role, root.algorithm, root.custody, root.rotation, tier, signs=role == "signing-root"
        )
        yield Located(hierarchy.address, ("spec", field), member)
    for index, key in enumerate(spec.keys):
        signs = context.algorithm(key.algorithm).kind == "signature"
        custody = key.custody or (spec.signing_root if signs else spec.wrapping_root).custody
        role = key.name.partition("/")[0]
        class_ = role if role in KEY_CLASSES else "other"
        member = _key(key.name, class_, role, key.algorithm, custody, key.rotation, tier, signs=signs)
        yield Located(hierarchy.address, ("spec", "keys", index), member)


def _key(
    name: str, class_: str, role: str, algorithm: str, custody: str, rotation: Rotation, tier: str, *, signs: bool
) -> KeyMember:
    event = "" if rotation.seconds is not None else str(rotation)
    return {
        "name": name,
        "kmsEnvelope": custody == "kms" and role not in {"wrapping-root", "signing-root"} and not signs,
        "keyClass": class_,
        "role": role,
        "algorithm": algorithm,
        "tier": tier,
        "custody": custody,
        "custodyRank": CUSTODY_ORDER.index(custody),
        "rotation": _length(rotation, event),
        "event": event,
    }


def _length(rotation: Rotation, event: str) -> int:
    """Seconds a key may live: a key per connection or request lives short; one per version may live for ever."""
    if rotation.seconds is not None:
        return rotation.seconds
    return UNBOUNDED if event == "per-version" else 0


def hierarchies(context: Context) -> list[Located[HierarchyMember]]:
    """Hierarchies as a whole; numbers of a recovery that is not declared are 0."""
    members: list[Located[HierarchyMember]] = []
    for hierarchy in context.workspace.of_kind(KeyHierarchy):
        spec, recovery = hierarchy.spec, hierarchy.spec.recovery
        drill = recovery.last_drill if recovery is not None else None
        members.append(
            Located(
                hierarchy.address,
                [],
                {
                    "tenant": spec.tenant,
                    "hasRecovery": recovery is not None,
                    "custodians": len(set(recovery.custodians)) if recovery is not None else 0,
                    "recoveryThreshold": recovery.threshold if recovery is not None else 0,
                    "sites": len(set(recovery.sites)) if recovery is not None else 0,
                    "lastDrill": seconds(drill) if drill is not None else 0,
                    "production": context.production,
                },
            )
        )
    return members


def brokers(context: Context) -> list[Located[BrokerMember]]:
    """Key brokers."""
    return [
        Located(
            broker.address,
            [],
            {
                "production": context.production,
                "classicalFor": _classical_for(broker, context),
                "mode": broker.spec.mode,
                "unsealing": broker.spec.unsealing.method,
                "insecureUnsealing": broker.spec.unsealing.method == "software-insecure",
                "hasEnclave": broker.spec.enclave is not None,
                "embeddedStorage": broker.spec.storage.url.startswith("sqlite:"),
                "plaintext": broker.spec.tls == "insecure-plaintext",
                "replicas": broker.spec.replicas,
                "adminKeys": len(broker.spec.identity.admin),
            },
        )
        for broker in context.workspace.of_kind(KeyBroker)
    ]


def _classical_for(broker: KeyBroker, context: Context) -> list[str]:
    """Tenants whose tier forbids what an attested KMS answers with: an envelope whose key transport is RSA-OAEP."""
    if broker.spec.unsealing.method != "attested-kms":
        return []
    tiers = ((tenant, context.tier_of(tenant)) for tenant in broker.spec.tenants)
    return sorted(
        str(tenant) for tenant, tier in tiers if tier.hybrid != "allowed" and "RSA-OAEP" not in tier.kem.allowed
    )


__all__ = ["brokers", "hierarchies", "keys"]
