"""The lattice of tiers: along every edge from weak to strong nothing may become weaker.

Categories are compared, not sets: a stronger tier may admit other algorithms, but none of a lower NIST category.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType

from qnsp_policy.kernel.crypto.algorithms import ALGORITHMS
from qnsp_policy.pipeline.model.kinds.crypto_tier import CryptoTier
from qnsp_policy.pipeline.model.scalars import Address
from qnsp_policy.pipeline.model.tiers import (
    CUSTODY_ORDER,
    ENFORCEMENT_ORDER,
    ENTROPY_ORDER,
    PROTECTIONS,
    ResolvedTier,
)

_BEYOND: dict[str, int] = {
    "MLKEM768-P256": 3,
    "FrodoKEM-640": 1,
    "FrodoKEM-976": 3,
    "FrodoKEM-1344": 5,
    "Classic-McEliece-460896": 3,
    "Classic-McEliece-6688128": 5,
    "Classic-McEliece-8192128": 5,
    "HQC-128": 1,
    "LMS": 5,
    "XMSS": 5,
    "AES-192-GCM": 3,
    "SHAKE128": 2,
    "SHAKE256": 5,
}
"""Algorithms that profiles name and the kernel's table does not hold."""

CATEGORY: Mapping[str, int] = MappingProxyType({name: row.category for name, row in ALGORITHMS.items()} | _BEYOND)
"""NIST security category against a quantum computer by name; 0 for what such a computer breaks."""

Weakening = tuple[tuple[str, ...], str]
"""The field of the stronger tier that is too weak, and why."""


def category(algorithm: str) -> int:
    """The NIST category of an algorithm, 0 for one that a quantum computer breaks or that nobody here knows."""
    return CATEGORY.get(algorithm, 0)


def edges(tiers: Iterable[CryptoTier]) -> Iterator[tuple[Address, Address]]:
    """Every edge from a weak tier to a strong one that documents state.

    A tier is at least as strong as the tier it extends, as those it names in `strongerThan`, and as the next lower
    level of its family where that family is ordered.
    """
    families: dict[str, dict[int, list[CryptoTier]]] = {}
    for tier in tiers:
        if tier.spec.ordered:
            families.setdefault(str(tier.spec.family), {}).setdefault(tier.spec.level, []).append(tier)
        stated = ([tier.spec.extends] if tier.spec.extends is not None else []) + list(tier.spec.stronger_than)
        yield from ((Address(weak), tier.address) for weak in stated)
    for levels in families.values():
        for lower, upper in pairwise(sorted(levels)):
            for weak in levels[lower]:
                for strong in levels[upper]:
                    if weak.address not in (strong.spec.extends, *strong.spec.stronger_than):
                        yield weak.address, strong.address


def weaker_than_parent(strong: ResolvedTier, weak: ResolvedTier) -> Iterator[Weakening]:
    """Every way in which the tier that should be stronger is weaker."""
    for name in ("kem", "signature", "aead", "hash"):
        one, other = getattr(strong, name), getattr(weak, name)
        lowest = min(category(algorithm) for algorithm in other.allowed)
        for algorithm in one.allowed:
            if category(algorithm) < lowest:
                yield (
                    ("spec", name, "allowed"),
                    f"{algorithm} has category {category(algorithm)}; {weak.address} admits none below {lowest}",
                )
        if one.default not in one.allowed:
            yield ("spec", name, "default"), f"{one.default} is not admitted here"
    floor = min(category(group) for group in weak.tls_groups)
    for group in strong.tls_groups:
        if category(group) < floor:
            yield (
                ("spec", "tls", "groups"),
                f"{group} has category {category(group)}; {weak.address} admits none below {floor}",
            )
    for name in PROTECTIONS:
        if weak.protections[name] and not strong.protections[name]:
            yield ("spec", "protections", name), f"{weak.address} protects `{name}` and this tier does not"
    for name, order in (("custody", CUSTODY_ORDER), ("entropy", ENTROPY_ORDER), ("enforcement", ENFORCEMENT_ORDER)):
        mine, theirs = getattr(strong, name), getattr(weak, name)
        if order.index(mine) < order.index(theirs):
            yield ("spec", name), f"`{name}` is {mine}, weaker than {theirs} of {weak.address}"
    for name, theirs in weak.rotation.items():
        mine = strong.rotation.get(name, ...)
        if (
            mine is ...
            or (theirs is None and mine is not None)
            or (isinstance(mine, int) and isinstance(theirs, int) and mine > theirs)
        ):
            yield ("spec", "rotation", name), f"keys of class `{name}` live longer than in {weak.address}"
    if strong.max_lease > weak.max_lease:
        yield ("spec", "maxLease"), f"a lease may last longer than in {weak.address}"
    for name in ("cpu", "gpu", "io"):
        asked, allowed = strong.assurance[name], weak.assurance[name]
        extra = [item for item in asked if item not in allowed]
        if allowed and (not asked or extra):
            yield (
                ("spec", "assurance", name),
                f"{', '.join(extra) or 'anything'} is good enough here but not in {weak.address}",
            )
    missing = [role for role in weak.approver_roles if role not in strong.approver_roles]
    if missing:
        yield ("spec", "approvers"), f"approval by {', '.join(missing)} is asked in {weak.address} and not here"


__all__ = ["CATEGORY", "Weakening", "category", "edges", "weaker_than_parent"]
