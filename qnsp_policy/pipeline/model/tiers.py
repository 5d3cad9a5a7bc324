"""Tiers flattened along `extends`, and tiers intersected with profiles.

A field that a tier does not say is its parent's. An intersection admits what both admit and asks the stricter of every
other thing; one that admits nothing is an error, never an empty permission.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from qnsp_policy.errors import DocumentError
from qnsp_policy.kernel.crypto.algorithms import ALGORITHMS
from qnsp_policy.pipeline.model.kinds.crypto_tier import CryptoTier, Experimental
from qnsp_policy.pipeline.model.scalars import Address

CUSTODY_ORDER = ("software", "tpm", "enclave", "kms", "hsm")
ENTROPY_ORDER = ("csprng", "qrng-mixin", "hsm-byo")
ENFORCEMENT_ORDER = ("audit", "enforce")
ASSURANCE_ORDER = ("simulated", "measured-boot", "provider-isolation", "hardware-tee")
"""Weakest first."""

PROTECTIONS = ("atRest", "cpuTee", "gpuCc", "teeIo", "signedResponses", "signedDatasets")
ROTATIONS = ("root", "model", "data", "api", "session")

MAX_CHAIN = 64
"""Tiers from one to the last that it extends: a person can still follow so many."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The algorithms of one kind that are admitted, and the one taken when nothing is said."""

    allowed: tuple[str, ...]
    default: str

    def __contains__(self, algorithm: str) -> bool:
        return algorithm in self.allowed


@dataclass(frozen=True, slots=True)
class ResolvedTier:
    """A tier of which nothing is left open.

    Attributes:
        address: the tier that was asked for.
        sources: every tier it came from, itself first: parents, then profiles.
        families: (family, level) of the tier and of each profile.
        kem, signature, aead, hash: what is admitted.
        tls_minimum_version, tls_groups: what a connection must negotiate.
        hybrid: required, allowed, transport-only (hybrids only in TLS) or forbidden.
        custody: the weakest place for root keys.
        entropy: csprng, qrng-mixin or hsm-byo.
        rotation: longest life by class of key: seconds, or None for one that follows an event.
        protections: by name, all of PROTECTIONS present.
        assurance: classes that are good enough for cpu, gpu, io; empty asks for none.
        approver_roles, approver_signers: who may approve, and with which kinds of signers (empty: all).
        max_lease: seconds.
        enforcement: audit or enforce.
        experimental: algorithms admitted without a final standard, until a date.
        expiry_required, acknowledgement_required, stateful_guards: conditions on its use.
        unavailable: why no platform can meet it today, or "".
    """

    address: Address
    sources: tuple[Address, ...]
    families: tuple[tuple[str, int], ...]
    kem: Admitted
    signature: Admitted
    aead: Admitted
    hash: Admitted
    tls_minimum_version: str
    tls_groups: tuple[str, ...]
    hybrid: str
    custody: str
    entropy: str
    rotation: Mapping[str, int | None]
    protections: Mapping[str, bool]
    assurance: Mapping[str, tuple[str, ...]]
    approver_roles: tuple[str, ...]
    approver_signers: tuple[str, ...]
    max_lease: int
    enforcement: str
    experimental: tuple[Experimental, ...]
    expiry_required: bool
    acknowledgement_required: bool
    stateful_guards: bool
    unavailable: str

    def to_json(self) -> dict[str, object]:
        """Plain JSON with camelCase members, for rules and for `explain`."""
        return {
            "address": self.address,
            "sources": list(self.sources),
            "families": [{"family": family, "level": level} for family, level in self.families],
            **{
                name: {"allowed": list(admitted.allowed), "default": admitted.default}
                for name, admitted in (
                    ("kem", self.kem),
                    ("signature", self.signature),
                    ("aead", self.aead),
                    ("hash", self.hash),
                )
            },
            "tls": {"minimumVersion": self.tls_minimum_version, "groups": list(self.tls_groups)},
            "hybrid": self.hybrid,
            "custody": self.custody,
            "entropy": self.entropy,
            "rotation": dict(self.rotation),
            "protections": dict(self.protections),
            "assurance": {name: list(classes) for name, classes in self.assurance.items()},
            "approvers": {"roles": list(self.approver_roles), "signers": list(self.approver_signers)},
            "maxLease": self.max_lease,
            "enforcement": self.enforcement,
            "experimental": [
                {"algorithm": str(item.algorithm), "expires": str(item.expires)} for item in self.experimental
            ],
            "expiryRequired": self.expiry_required,
            "acknowledgementRequired": self.acknowledgement_required,
            "statefulGuards": self.stateful_guards,
            "unavailable": self.unavailable,
        }


def resolve_tier(address: Address, lookup: Callable[[Address], CryptoTier]) -> ResolvedTier:
    """Flatten a tier along `extends`.

    Raises:
        DocumentError: QNSP-REF-006 a cycle, QNSP-MOD-020 a field that no tier of the chain says, QNSP-MOD-023 a chain beyond `MAX_CHAIN`.
    """
    chain: list[CryptoTier] = []
    next_: Address | None = address
    while next_ is not None:
        if any(next_ == tier.address for tier in chain):
            raise DocumentError("QNSP-REF-006", f"{next_} extends itself", subject=next_)
        if len(chain) == MAX_CHAIN:
            raise DocumentError(
                "QNSP-MOD-023",
                f"{address} extends a tier that extends a tier, and so on: more than {MAX_CHAIN} of them",
                subject=address,
                next_step="say in this tier what it takes from so far away, and extend a nearer one",
            )
        chain.append(lookup(next_))
        next_ = chain[-1].spec.extends
    specs = [tier.spec for tier in chain]
    missing: list[str] = []

    def admitted(name: str) -> Admitted:
        for spec in specs:
            found = getattr(spec, name)
            if found is not None:
                extra = tuple(a for a in specs[0].custom_allowed if _kind_fits(name, a) and a not in found.allowed)
                allowed = tuple(a for a in (*found.allowed, *extra) if a not in specs[0].custom_forbidden)
                default = found.default if found.default in allowed or not allowed else allowed[0]
                if not allowed:
                    missing.append(f"{name} (customForbidden refuses all of it)")
                return Admitted(tuple(map(str, allowed)), str(default))
        missing.append(name)
        return Admitted((), "")

    def said(name: str, fallback: str) -> str:
        return next((str(value) for spec in specs if (value := getattr(spec, name)) is not None), fallback)

    rotation: dict[str, int | None] = {}
    for name in ROTATIONS:
        for spec in specs:
            value = getattr(spec.rotation, name) if spec.rotation is not None else None
            if value is not None:
                rotation[name] = value.seconds
                break
    tls = next((spec.tls for spec in specs if spec.tls is not None), None)
    if tls is None:
        missing.append("tls")
    if not any(spec.hybrid is not None for spec in specs):
        missing.append("hybrid")
    assurance = next((spec.assurance for spec in specs if spec.assurance is not None), None)
    approvers = next((spec.approvers for spec in specs if spec.approvers is not None), None)
    lease = next((spec.max_lease for spec in specs if spec.max_lease is not None), None)
    resolved = ResolvedTier(
        address=address,
        sources=tuple(tier.address for tier in chain),
        families=((str(specs[0].family), specs[0].level),),
        kem=admitted("kem"),
        signature=admitted("signature"),
        aead=admitted("aead"),
        hash=admitted("hash"),
        tls_minimum_version=tls.minimum_version if tls else "1.3",
        tls_groups=tuple(map(str, tls.groups)) if tls else (),
        hybrid=said("hybrid", "forbidden"),
        custody=said("custody", "software"),
        entropy=said("entropy", "csprng"),
        rotation=rotation,
        protections={name: _protection(specs, name) for name in PROTECTIONS},
        assurance={
            name: tuple(getattr(assurance, name)) if assurance is not None else () for name in ("cpu", "gpu", "io")
        },
        approver_roles=tuple(approvers.roles) if approvers else (),
        approver_signers=tuple(approvers.signers) if approvers else (),
        max_lease=lease.seconds if lease is not None else 24 * 3600,
        enforcement=said("enforcement", "enforce"),
        experimental=tuple(item for spec in specs for item in spec.experimental),
        expiry_required=any(spec.expiry_required for spec in specs),
        acknowledgement_required=any(spec.acknowledgement_required for spec in specs),
        stateful_guards=any(spec.stateful_guards for spec in specs),
        unavailable=next((str(spec.unavailable) for spec in specs[:1] if spec.unavailable), ""),
    )
    if missing:
        raise DocumentError(
            "QNSP-MOD-020",
            f"{address} does not say {', '.join(missing)}, and neither does a tier that it extends",
            subject=address,
            next_step="say it, or extend a tier that does",
        )
    return resolved


def intersect(tier: ResolvedTier, profile: ResolvedTier) -> ResolvedTier:
    """What both admit, with the stricter of everything else.

    Raises:
        DocumentError: QNSP-MOD-021, they admit nothing in common.
    """

    def both(name: str, one: Admitted, other: Admitted) -> Admitted:
        allowed = tuple(algorithm for algorithm in one.allowed if algorithm in other.allowed)
        if not allowed:
            raise DocumentError(
                "QNSP-MOD-021",
                f"{tier.address} and {profile.address} admit no {name} in common",
                subject=tier.address,
                expected=", ".join(one.allowed),
                got=", ".join(other.allowed),
                next_step="choose another profile or another tier",
            )
        default = next(candidate for candidate in (one.default, other.default, allowed[0]) if candidate in allowed)
        return Admitted(allowed, default)

    groups = tuple(group for group in tier.tls_groups if group in profile.tls_groups)
    if not groups:
        raise DocumentError(
            "QNSP-MOD-021",
            f"{tier.address} and {profile.address} admit no TLS group in common",
            subject=tier.address,
            expected=", ".join(tier.tls_groups),
            got=", ".join(profile.tls_groups),
            next_step="choose another profile or another tier",
        )
    return ResolvedTier(
        address=tier.address,
        sources=(*tier.sources, *(source for source in profile.sources if source not in tier.sources)),
        families=(*tier.families, *profile.families),
        kem=both("KEM", tier.kem, profile.kem),
        signature=both("signature algorithm", tier.signature, profile.signature),
        aead=both("AEAD", tier.aead, profile.aead),
        hash=both("hash", tier.hash, profile.hash),
        tls_minimum_version=max(tier.tls_minimum_version, profile.tls_minimum_version),
        tls_groups=groups,
        hybrid=_hybrid(tier, profile),
        custody=_stricter(tier.custody, profile.custody, CUSTODY_ORDER),
        entropy=_stricter(tier.entropy, profile.entropy, ENTROPY_ORDER),
        rotation={
            name: _shorter(tier.rotation.get(name, ...), profile.rotation.get(name, ...))
            for name in ROTATIONS
            if name in tier.rotation or name in profile.rotation
        },
        protections={name: tier.protections[name] or profile.protections[name] for name in PROTECTIONS},
        assurance={name: _classes(tier, profile, name) for name in ("cpu", "gpu", "io")},
        approver_roles=_union(tier.approver_roles, profile.approver_roles),
        approver_signers=_common(tier.approver_signers, profile.approver_signers, tier, profile, "kind of signer"),
        max_lease=min(tier.max_lease, profile.max_lease),
        enforcement=_stricter(tier.enforcement, profile.enforcement, ENFORCEMENT_ORDER),
        experimental=tuple(item for item in tier.experimental if item in profile.experimental),
        expiry_required=tier.expiry_required or profile.expiry_required,
        acknowledgement_required=tier.acknowledgement_required or profile.acknowledgement_required,
        stateful_guards=tier.stateful_guards or profile.stateful_guards,
        unavailable=tier.unavailable or profile.unavailable,
    )


def _protection(specs: Iterable[object], name: str) -> bool:
    attribute = "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
    for spec in specs:
        protections = getattr(spec, "protections", None)
        value = getattr(protections, attribute) if protections is not None else None
        if value is not None:
            return bool(value)
    return False


def _hybrid(tier: ResolvedTier, profile: ResolvedTier) -> str:
    one, other = tier.hybrid, profile.hybrid
    if one == other:
        return one
    pair = {one, other}
    if pair == {"required", "forbidden"}:
        raise DocumentError(
            "QNSP-MOD-021",
            f"{tier.address} and {profile.address} contradict each other: one requires hybrids, one forbids them",
            subject=tier.address,
            next_step="choose another profile, or declare hybrids as a transport requirement (`hybrid: transport-only`)",
        )
    if "forbidden" in pair:
        return "forbidden"
    if "transport-only" in pair:
        return "transport-only"
    return "required"


def _stricter(one: str, other: str, order: tuple[str, ...]) -> str:
    return max(one, other, key=order.index)


def _shorter(one: object, other: object) -> int | None:
    known = [value for value in (one, other) if value is not ...]
    if None in known:
        return None
    return min(value for value in known if isinstance(value, int))


def _classes(tier: ResolvedTier, profile: ResolvedTier, name: str) -> tuple[str, ...]:
    return _common(tier.assurance[name], profile.assurance[name], tier, profile, f"assurance class for {name}")


def _union(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return (*one, *(item for item in other if item not in one))


def _common(
    one: tuple[str, ...], other: tuple[str, ...], tier: ResolvedTier, profile: ResolvedTier, what: str
) -> tuple[str, ...]:
    if not one or not other:
        return one or other
    common = tuple(item for item in one if item in other)
    if not common:
        raise DocumentError(
            "QNSP-MOD-021",
            f"{tier.address} and {profile.address} admit no {what} in common",
            subject=tier.address,
            next_step="choose another profile or another tier",
        )
    return common


_SIGNATURES = ("ML-DSA", "SLH-DSA", "Falcon", "FN-DSA", "Ed25519", "ECDSA", "RSA", "LMS", "XMSS", "HSS")
_HASHES = ("SHA",)
_AEADS = ("AES", "ChaCha20")


def _kind_fits(kind: str, algorithm: str) -> bool:
    """Whether an algorithm is of a kind: by the kernel's table, else by how its name begins."""
    row = ALGORITHMS.get(algorithm)
    if row is not None:
        return str(row.kind) == kind
    if algorithm.startswith(_SIGNATURES):
        return kind == "signature"
    if algorithm.startswith(_AEADS):
        return kind == "aead"
    if algorithm.startswith(_HASHES):
        return kind == "hash"
    return kind == "kem"


__all__ = [
    "ASSURANCE_ORDER",
    "CUSTODY_ORDER",
    "ENFORCEMENT_ORDER",
    "ENTROPY_ORDER",
    "PROTECTIONS",
    "ROTATIONS",
    "Admitted",
    "ResolvedTier",
    "intersect",
    "resolve_tier",
]
