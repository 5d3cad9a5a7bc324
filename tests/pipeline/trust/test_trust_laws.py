"""Laws of trust over generated grants and claims: what implication, diff and decide promise of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from qnsp_policy.kernel.attestation.values import (
    Alternative,
    AssuranceClass,
    EvidenceKind,
    Statement,
    Verdict,
    VerifiedClaims,
)
from qnsp_policy.pipeline.trust.codec import grant_from_json, grant_to_json
from qnsp_policy.pipeline.trust.decide import decide
from qnsp_policy.pipeline.trust.diff import Direction, trust_diff
from qnsp_policy.pipeline.trust.implication import Atom, admits_no_more, alternative_implies, atom_implies, atoms
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.pipeline.trust.values import EffectiveGrant, Guardrail, GuardrailKind, Origin
from qnsp_policy.testing.clinic import NOW

LATER = (None, NOW + timedelta(days=1), NOW + timedelta(days=9))
MEASUREMENTS = ("aa", "bb")
CLASSES = ("hardware-tee", "simulated")


@st.composite
def alternatives(draw: st.DrawFn, name: str = "", *, devices: bool = True) -> Alternative:
    """An alternative over a domain so small that two of them often relate."""
    equals: dict[str, str | int | bool] = {"measurement": draw(st.sampled_from(MEASUREMENTS))}
    if draw(st.booleans()):
        equals["policy.debug"] = draw(st.booleans())
    if draw(st.booleans()):
        equals["vmpl"] = draw(st.integers(0, 1))
    floors = {"tcb.reported.snp": draw(st.integers(1, 3))} if draw(st.booleans()) else {}
    gpus = draw(st.lists(st.builds(gpu, st.integers(1, 2)), max_size=2)) if devices else []
    return Alternative(
        name=name or draw(st.sampled_from(("ReferenceValues/a#0", "ReferenceValues/b#0", "ReferenceValues/b#1"))),
        kind=EvidenceKind.SEV_SNP,
        equals=equals,
        floors=floors,
        devices=tuple(gpus),
        not_after=draw(st.sampled_from(LATER)),
    )


def gpu(driver: int) -> Alternative:
    """A device with one floor."""
    return Alternative("gpu", EvidenceKind.NVIDIA_GPU, {}, {"driver": driver})


guardrails = st.one_of(
    st.builds(
        lambda names: Guardrail(GuardrailKind.ASSURANCE, "CryptoTier/t", tuple(sorted(names))),
        st.sets(st.sampled_from(CLASSES), min_size=1),
    ),
    st.builds(lambda limit: Guardrail(GuardrailKind.MAX_LEASE, "CryptoTier/t", limit=limit), st.integers(60, 62)),
    st.builds(
        lambda value: Guardrail(GuardrailKind.DENIED_CLAIM, "Revocation/r", (value,), claim="measurement"),
        st.sampled_from(MEASUREMENTS),
    ),
    st.builds(
        lambda floor: Guardrail(
            GuardrailKind.FLOOR, "Revocation/f", ("sev-snp",), claim="tcb.reported.snp", limit=floor
        ),
        st.integers(1, 3),
    ),
    st.just(Guardrail(GuardrailKind.CHECKED, "Grant/g", ("revocation",))),
)


@st.composite
def grants(draw: st.DrawFn, name: str = "Grant/g") -> EffectiveGrant:
    """A grant of one key, always the same (broker, resource, enclave)."""
    several = {a.name: a for a in draw(st.lists(alternatives(), min_size=0, max_size=2))}
    return EffectiveGrant(
        grant=name,
        broker="KeyBroker/main",
        tenant="Tenant/clinic",
        resource="clinic/model/minilm",
        enclave="Enclave/cpu",
        purpose="inference",
        lease_seconds=draw(st.sampled_from((60, 3600))),
        not_before=None,
        not_after=draw(st.sampled_from(LATER)),
        alternatives=tuple(several.values()),
        guardrails=tuple(draw(st.lists(guardrails, max_size=2))),
        origins={a: Origin("ReferenceValues/a", {"kernel": draw(st.sampled_from("12"))}) for a in several},
    )


several_grants = st.lists(grants(), max_size=2).map(
    lambda found: [replace(g, grant=f"Grant/g{n}") for n, g in enumerate(found)]
)


def _claims(
    measurement: str, debug: bool, vmpl: int, snp: int, assurance: str, drivers: Sequence[int], checked: bool
) -> VerifiedClaims:
    end = NOW + timedelta(days=30)
    verdict = Verdict.OK if checked else Verdict.NOT_CHECKED
    return VerifiedClaims(
        EvidenceKind.SEV_SNP,
        AssuranceClass(assurance),
        {"measurement": measurement, "policy.debug": debug, "vmpl": vmpl, "tcb.reported.snp": snp},
        b"",
        (Statement("revocation", verdict, "no list given"),),
        end,
        tuple(
            VerifiedClaims(
                EvidenceKind.NVIDIA_GPU,
                AssuranceClass(assurance),
                {"driver": driver},
                b"",
                (Statement("revocation", verdict, ""),),
                end,
            )
            for driver in drivers
        ),
    )


WORLD = tuple(
    _claims(*values)
    for values in product(
        MEASUREMENTS, (False, True), (0, 1), (1, 2, 3), CLASSES, ((), (1,), (2,), (1, 2)), (True, False)
    )
)
"""Every claims set of the small world: what a grant admits can be looked up instead of argued."""


def admitted(found: Sequence[EffectiveGrant], moment: datetime = NOW) -> dict[int, int]:
    """The longest lease for each member of the world that is admitted."""
    policy = ReleasePolicy("KeyBroker/main", "Tenant/clinic", "clinic/model/minilm", tuple(found))
    leases = {}
    for number, claims in enumerate(WORLD):
        decision = decide(policy, claims, now=moment)
        if decision.allowed:
            leases[number] = max(
                decide(replace(policy, grants=(one,)), claims, now=moment).lease_seconds for one in found
            )
    return leases


@given(several_grants)
def test_a_diff_of_equal_grants_is_empty(found: list[EffectiveGrant]) -> None:
    """diff(x, x) is empty, whatever x is."""
    diff = trust_diff(found, list(reversed(found)))
    assert not diff
    assert diff.unchanged == len({grant.key for grant in found})


@given(grants())
def test_a_grant_survives_its_json(grant: EffectiveGrant) -> None:
    """Reading back what was written gives the same grant but for places, so its diff is empty."""
    where = {"broker": grant.broker, "tenant": grant.tenant, "resource": grant.resource}
    again = grant_from_json(grant_to_json(grant), **where)
    assert again == grant
    assert not trust_diff([grant], [again])


@given(alternatives())
def test_implication_is_reflexive(one: Alternative) -> None:
    """Everything admits no more than itself."""
    assert alternative_implies(one, one)


@given(alternatives(), alternatives(), alternatives())
def test_implication_is_transitive(one: Alternative, two: Alternative, three: Alternative) -> None:
    """If one admits no more than two and two no more than three, one admits no more than three."""
    if alternative_implies(one, two) and alternative_implies(two, three):
        assert alternative_implies(one, three)


@given(grants(), grants(), grants())
def test_implication_of_whole_ways_is_transitive(
    one: EffectiveGrant, two: EffectiveGrant, three: EffectiveGrant
) -> None:
    """The same with guardrails, leases and dates conjoined."""
    ways: list[tuple[Atom, ...]] = [atoms([grant]) for grant in (one, two, three)]
    for a, b, c in product(*ways):
        if atom_implies(a, b) and atom_implies(b, c):
            assert atom_implies(a, c)
    if admits_no_more(ways[0], ways[1]) and admits_no_more(ways[1], ways[2]):
        assert admits_no_more(ways[0], ways[2])


@settings(max_examples=150, deadline=None)
@given(several_grants, several_grants)
def test_a_weakening_is_never_called_strengthened(base: list[EffectiveGrant], head: list[EffectiveGrant]) -> None:
    """If any evidence obtains the key only after the change, or for longer, no word says otherwise."""
    moments = (NOW, NOW + timedelta(days=5), NOW + timedelta(days=20))
    gains = False
    for moment in moments:
        before, after = admitted(base, moment), admitted(head, moment)
        gains = gains or any(lease > before.get(number, -1) for number, lease in after.items())
    diff = trust_diff(base, head)
    if gains:
        (change,) = diff.changes
        assert change.direction in {Direction.WEAKENED, Direction.MIXED, Direction.REPLACED, Direction.ADDED}
    for change in diff.changes:
        if change.direction in {Direction.STRENGTHENED, Direction.NEUTRAL, Direction.REMOVED}:
            assert not gains


@settings(deadline=None)
@given(several_grants)
def test_nothing_is_released_without_one_whole_alternative(found: list[EffectiveGrant]) -> None:
    """Whoever is admitted meets every member of one alternative of one grant; members never combine."""
    for number in admitted(found):
        claims = WORLD[number]
        assert any(_meets(claims, alternative) for grant in found for alternative in grant.alternatives)


def _meets(claims: VerifiedClaims, alternative: Alternative) -> bool:
    """An oracle that is nothing but the words of the format."""
    for claim, value in alternative.equals.items():
        if claims.claims.get(claim) != value or type(claims.claims.get(claim)) is not type(value):
            return False
    for claim, floor in alternative.floors.items():
        seen = claims.claims.get(claim)
        if not isinstance(seen, int) or seen < floor:
            return False
    return len(alternative.devices) == len(claims.devices)


def test_members_of_two_tuples_never_combine() -> None:
    """The measurement of one tuple with the floor of another is nobody's evidence."""
    first = Alternative("a#0", EvidenceKind.SEV_SNP, {"measurement": "aa"}, {"tcb.reported.snp": 3})
    second = Alternative("a#1", EvidenceKind.SEV_SNP, {"measurement": "bb"}, {"tcb.reported.snp": 1})
    grant = EffectiveGrant(
        "Grant/g",
        "KeyBroker/main",
        "Tenant/clinic",
        "clinic/model/minilm",
        "Enclave/cpu",
        "inference",
        60,
        None,
        None,
        (first, second),
        (),
    )
    policy = ReleasePolicy(grant.broker, grant.tenant, grant.resource, (grant,))
    for measurement, snp, allowed in (
        ("aa", 3, True),
        ("bb", 1, True),
        ("aa", 1, False),
        ("bb", 3, True),
        ("aa", 2, False),
    ):
        claims = _claims(measurement, False, 0, snp, "hardware-tee", (), True)
        assert decide(policy, claims, now=NOW).allowed is allowed, (measurement, snp)
