"""When one condition admits no more than another: the order under every direction in a trust diff.

An atom is one alternative of one grant with everything conjoined over it. `a implies b` means: whatever evidence a
release under a needs, b would release for it too, for at least as long. The check is sound and syntactic: where it
cannot tell it says no, so a doubt reads as a weakening and never as a strengthening. It is reflexive and transitive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from qnsp_policy.kernel.attestation.values import Alternative, ClaimValue
from qnsp_policy.pipeline.trust.values import EffectiveGrant, Guardrail, GuardrailKind

INITDATA_CLAIMS = frozenset({"hostData", "mrConfigId", "userData", "initData"})
"""Claims that carry the digest of the initdata."""

DEBUG_CLAIMS = frozenset({"policy.debug", "attributes.debug", "tdAttributes.debug", "debug"})
"""Flags that appraisal takes as denied where an alternative does not speak of them."""

_CODE = frozenset({"measurement", "mrTd", "mrEnclave", "digest"})
_CODE_PREFIXES = ("rtmr", "pcr", "measurements.")


def is_code(claim: str) -> bool:
    """Whether a claim says *which code* runs; every other claim is a condition on how it runs.

    A code claim that is missing here makes a change read as mixed instead of replaced, which errs on the side of alarm.
    """
    return claim in _CODE or claim in INITDATA_CLAIMS or claim.startswith(_CODE_PREFIXES)


def alternative_implies(stricter: Alternative, wider: Alternative) -> bool:
    """Whether all evidence that meets `stricter` whole also meets `wider` whole, for at least as long."""
    if stricter.kind is not wider.kind:
        return False
    if wider.not_after is not None and (stricter.not_after is None or stricter.not_after > wider.not_after):
        return False
    equal = all(
        claim in stricter.equals and _same(stricter.equals[claim], value) for claim, value in wider.equals.items()
    )
    floors = all(_floor(stricter, claim) >= floor for claim, floor in wider.floors.items())
    if any(stricter.equals.get(claim, False) is not False for claim in DEBUG_CLAIMS - wider.equals.keys()):
        return False
    return equal and floors and _devices_match(stricter.devices, wider.devices)


def _same(one: ClaimValue, other: ClaimValue) -> bool:
    return type(one) is type(other) and one == other


def _floor(alternative: Alternative, claim: str) -> float:
    """The least value of `claim` that `alternative` admits; minus infinity where it says nothing."""
    known: list[float] = [alternative.floors[claim]] if claim in alternative.floors else []
    fixed = alternative.equals.get(claim)
    if isinstance(fixed, int) and not isinstance(fixed, bool):
        known.append(fixed)
    return max(known, default=float("-inf"))


def _devices_match(stricter: Sequence[Alternative], wider: Sequence[Alternative]) -> bool:
    """Whether both ask for as many devices, and each of `wider` is met by a distinct one of `stricter`."""
    if len(wider) != len(stricter):
        return False
    taken: dict[int, int] = {}

    def place(need: int, seen: set[int]) -> bool:
        for have, device in enumerate(stricter):
            if have not in seen and alternative_implies(device, wider[need]):
                seen.add(have)
                if have not in taken or place(taken[have], seen):
                    taken[have] = need
                    return True
        return False

    return all(place(need, set()) for need in range(len(wider)))


@dataclass(frozen=True, slots=True)
class Limits:
    """The guardrails of one grant, conjoined: the empty conjunction restricts nothing.

    Attributes:
        admitted: by (kind, ""): the intersection of the admitted names; a missing kind admits everything.
        denied: by claim: the union of refused values.
        checked: the union of statements that must be checked.
        floors: by (claim, evidence kind, product line or ""): the highest lower bound.
        opaque: digests of rules that nothing can be said about.
    """

    admitted: Mapping[GuardrailKind, frozenset[str]]
    denied: Mapping[str, frozenset[str]]
    checked: frozenset[str]
    floors: Mapping[tuple[str, ...], int]
    opaque: frozenset[str]


_ADMITTING = (GuardrailKind.ASSURANCE, GuardrailKind.DEVICE_ASSURANCE, GuardrailKind.WRAPPING)


def conjoin(guardrails: Iterable[Guardrail]) -> Limits:
    """All guardrails as one; `max-lease` is part of the lease, not of the limits."""
    admitted: dict[GuardrailKind, frozenset[str]] = {}
    denied: dict[str, frozenset[str]] = {}
    checked: frozenset[str] = frozenset()
    floors: dict[tuple[str, ...], int] = {}
    opaque: frozenset[str] = frozenset()
    for rail in guardrails:
        values = frozenset(rail.values)
        if rail.kind in _ADMITTING:
            admitted[rail.kind] = admitted.get(rail.kind, values) & values
        elif rail.kind is GuardrailKind.DENIED_CLAIM:
            denied[rail.claim] = denied.get(rail.claim, frozenset()) | values
        elif rail.kind is GuardrailKind.CHECKED:
            checked |= values
        elif rail.kind is GuardrailKind.FLOOR and rail.limit is not None:
            key = (rail.claim, *rail.values)
            floors[key] = max(floors.get(key, rail.limit), rail.limit)
        elif rail.kind is GuardrailKind.OPAQUE:
            opaque |= values
    return Limits(admitted, denied, checked, floors, opaque)


def limits_imply(stricter: Limits, wider: Limits) -> bool:
    """Whether everything that passes `stricter` passes `wider`; of opaque rules only equality can be said."""
    admitted = all(
        kind in stricter.admitted and stricter.admitted[kind] <= names for kind, names in wider.admitted.items()
    )
    denied = all(values <= stricter.denied.get(claim, frozenset()) for claim, values in wider.denied.items())
    floors = all(stricter.floors.get(key, -1) >= floor for key, floor in wider.floors.items())
    opaque = wider.opaque == stricter.opaque
    return admitted and denied and floors and opaque and wider.checked <= stricter.checked


@dataclass(frozen=True, slots=True)
class Atom:
    """One alternative of one grant with all that is conjoined over it.

    `alternative` is None where nothing must be shown: a broker that nobody measures.
    """

    alternative: Alternative | None
    limits: Limits
    lease_seconds: int
    not_before: datetime | None
    not_after: datetime | None
    purpose: str


def atoms(grants: Iterable[EffectiveGrant]) -> tuple[Atom, ...]:
    """Every whole way to obtain a resource under `grants`, in their order."""
    return tuple(
        Atom(alternative, limits, grant.lease_limit, grant.not_before, grant.not_after, grant.purpose)
        for grant in grants
        for limits in (conjoin(grant.guardrails),)
        for alternative in ((None,) if grant.unmeasured else grant.alternatives)
    )


def atom_implies(stricter: Atom, wider: Atom) -> bool:
    """Whether `wider` releases, for at least as long and for the same purpose, wherever `stricter` does."""
    if stricter.purpose != wider.purpose or stricter.lease_seconds > wider.lease_seconds:
        return False
    if wider.not_after is not None and (stricter.not_after is None or stricter.not_after > wider.not_after):
        return False
    if wider.not_before is not None and (stricter.not_before is None or stricter.not_before < wider.not_before):
        return False
    if not limits_imply(stricter.limits, wider.limits):
        return False
    if stricter.alternative is None or wider.alternative is None:
        return wider.alternative is None
    return alternative_implies(stricter.alternative, wider.alternative)


def admits_no_more(stricter: Sequence[Atom], wider: Sequence[Atom]) -> bool:
    """Whether each way in `stricter` is covered by one whole way in `wider`; ways never combine."""
    return all(any(atom_implies(atom, other) for other in wider) for atom in stricter)


def without_code(atom: Atom) -> Atom:
    """`atom` with the claims that name the code left out: its conditions alone."""
    return replace(atom, alternative=_conditions(atom.alternative)) if atom.alternative else atom


def _conditions(alternative: Alternative) -> Alternative:
    return replace(
        alternative,
        equals={claim: value for claim, value in alternative.equals.items() if not is_code(claim)},
        devices=tuple(_conditions(device) for device in alternative.devices),
    )


__all__ = [
    "DEBUG_CLAIMS",
    "INITDATA_CLAIMS",
    "Atom",
    "Limits",
    "admits_no_more",
    "alternative_implies",
    "atom_implies",
    "atoms",
    "conjoin",
    "is_code",
    "limits_imply",
    "without_code",
]
