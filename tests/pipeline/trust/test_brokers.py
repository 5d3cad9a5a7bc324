"""Who may become a broker is part of the trust diff: told to every tenant whose keys are in its hands, and never left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnsp_policy.errors import PlanRefused
from qnsp_policy.kernel.attestation.values import Alternative, EvidenceKind
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.pipeline.plan.envelope import check_fresh
from qnsp_policy.pipeline.plan.make import Plan
from qnsp_policy.pipeline.review.plan_text import render_plan, render_plan_markdown
from qnsp_policy.pipeline.review.trust_text import headline, render_homes, render_trust_diff
from qnsp_policy.pipeline.trust.brokers import Home, broker_grants, homes_of, homes_of_documents
from qnsp_policy.pipeline.trust.consistency import check_payload
from qnsp_policy.pipeline.trust.diff import Direction, TrustChange, trust_diff
from qnsp_policy.pipeline.trust.from_documents import trust_root_value
from qnsp_policy.pipeline.trust.objects import policies_of, unit_digest
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.pipeline.world.recorded import RecordedState
from qnsp_policy.testing.aws_examples import NOW, Cloud, in_memory, initialised
from qnsp_policy.testing.clinic import Clinic, applied, running

PCR0 = "985ee5249b1a95a30957c702582b17c3b2bea11cabcad236f0ec14c4a9f73f57d7d28e31d0c4cc709d9b9bc6da534937"
OTHER = "ab" * 48
ALICE = "alice@clinic.example"
Inputs = Mapping[str, Any]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    return in_memory(initialised(tmp_path_factory.mktemp("cloud"), "aws-nitro"))


@pytest.fixture(scope="module")
def before(cloud: Cloud) -> RecordedState:
    """The example as applied."""
    genesis = cloud.genesis()
    return applied(cloud.plan(genesis), genesis)


def _entry(plan: Plan) -> TrustChange:
    return next(change for change in plan.diff.changes if change.enclave == change.broker)


def _asks_security(plan: Plan) -> bool:
    return any(need.reason == "weakened trust" for need in plan.needs)


def test_a_first_plan_says_who_may_become_the_broker(cloud: Cloud) -> None:
    """In the diff, in what approvers sign, in the text and the comment; in no release policy."""
    plan = cloud.plan(cloud.genesis())
    entry = _entry(plan)
    assert (entry.direction, entry.tenant, entry.resource) == (Direction.ADDED, "Tenant/clinic", "clinic/*")
    assert f"pcr0 {PCR0[:16]}" in entry.conditions
    assert "provider-isolation" in entry.conditions
    assert "AWS account 012345678901" in entry.conditions
    assert "NOBODY ASKS" not in entry.conditions
    rendered = plan.payload["trust"]["rendered"]
    assert "may become the broker main and release every key of clinic" in rendered
    assert "who may become broker main, which releases every key of  clinic" in render_plan(plan.payload)
    assert "who may become broker main, which releases every key of clinic" in render_plan_markdown(plan.payload)
    policies = policies_of(unit.inputs for unit in plan.units.values())
    assert not any(grant.of_broker for policy in policies.values() for grant in policy.grants)
    check_payload(json.loads(jcs(plan.payload)), trust_root_value(cloud.workspace))


def test_no_release_policy_takes_such_an_entry(cloud: Cloud) -> None:
    """Whoever may become the broker is no release, so nothing could ever be released by it."""
    grant = homes_of_documents(cloud.workspace)[0].grants()[0]
    with pytest.raises(ValueError, match="is no enclave"):
        ReleasePolicy(grant.broker, grant.tenant, grant.resource, (grant,))


def test_documents_and_units_say_the_same(cloud: Cloud) -> None:
    """A review of documents and a plan judge by one and the same sentence."""
    written = homes_of_documents(cloud.workspace)
    assert written == homes_of(unit.inputs for unit in cloud.plan(cloud.genesis()).units.values())
    assert tuple(Home.from_json(json.loads(jcs(home.to_json()))) for home in written) == written
    assert all(place.file for place in written[0].places.values())


def test_nothing_changed_says_nothing(cloud: Cloud, before: RecordedState) -> None:
    """The same documents again: no entry, no approvals."""
    plan = cloud.plan(before)
    assert not plan.diff.changes
    assert not plan.needs


SECOND = f'alternatives:\n    - measurements: {{pcr0: "{OTHER}", pcr1: "{OTHER}", pcr2: "{OTHER}"}}\n    - measurements:\n        pcr0: "{PCR0}"'
FIRST = f'alternatives:\n    - measurements:\n        pcr0: "{PCR0}"'


@pytest.mark.parametrize(
    ("change", "direction", "told"),
    [
        pytest.param({PCR0: OTHER}, Direction.REPLACED, "UNEXPLAINED", id="other-code"),
        pytest.param(
            {PCR0: OTHER, 'tool: nitro-cli build-enclave}\n  builders: [lab@research.example]\n  alternatives:\n    - measurements:\n        pcr0: "' + OTHER:
             'tool: nitro-cli build-enclave, imageDigest: "sha256:' + "ab" * 32 + '"}\n  builders: [lab@research.example]\n  alternatives:\n    - measurements:\n        pcr0: "' + OTHER},
            Direction.REPLACED, "imageDigest", id="other-code-explained"),
        pytest.param({FIRST: SECOND}, Direction.WEAKENED, "alternative", id="one-more-image"),
        pytest.param({"region: eu-west-1\n": "region: eu-west-1\n  simulated: true\n"}, Direction.WEAKENED, "simulated", id="simulated"),
        pytest.param({"012345678901": "109876543210"}, Direction.MIXED, "AWS account", id="other-account"),
        pytest.param({"method: attested-kms, key: alias/qnsp/aws-nitro/broker/main/store": "method: software-insecure"},
                     Direction.WEAKENED, "by AWS KMS", id="nobody-asks"),
    ],
)  # fmt: skip
def test_every_other_way_to_become_the_broker_asks_the_security_approval(
    change: Mapping[str, str], direction: Direction, told: str, cloud: Cloud, before: RecordedState
) -> None:
    """Other code even where it is explained: the explanation is its author's."""
    plan = cloud.but(change).plan(before)
    entry = _entry(plan)
    assert (entry.direction, entry.weakens) == (direction, True)
    assert _asks_security(plan)
    assert told in next(
        line for line in plan.payload["trust"]["rendered"].splitlines() if "who may become the broker" in line
    )
    assert headline(plan.payload["trust"]["diff"]).startswith(
        "Weakens who may become broker main, which releases every key of clinic"
    )
    check_payload(json.loads(jcs(plan.payload)), trust_root_value(cloud.workspace))


def test_fewer_ways_ask_the_owners_only(cloud: Cloud, before: RecordedState) -> None:
    """An image retired is strengthened, whoever wrote it."""
    more = cloud.but({FIRST: SECOND})
    both = applied(more.plan(before), before)
    plan = cloud.plan(both)
    assert (_entry(plan).direction, _asks_security(plan)) == (Direction.STRENGTHENED, False)


def test_every_tenant_in_its_hands_is_asked(cloud: Cloud, before: RecordedState) -> None:
    """A broker that serves two tenants is a change for both; readers are told once."""
    home = homes_of_documents(cloud.workspace)[0]
    two = replace(home, tenants=("Tenant/clinic", "Tenant/lab"))
    wider = replace(
        two, alternatives=(*two.alternatives, replace(two.alternatives[0], name="x#1", equals={"pcr0": OTHER}))
    )
    old, new = broker_grants((two,), (wider,))
    diff = trust_diff(old, new)
    assert diff.tenants == ("Tenant/clinic", "Tenant/lab")
    text = render_trust_diff(diff.to_json())
    assert "which releases every key of  clinic, lab" in text
    assert text.count("WEAKENED") == 1


def _unit(recorded: RecordedState, change: Callable[[dict[str, Any]], object]) -> RecordedState:
    """`recorded` with other inputs of its broker."""
    unit = recorded.units["broker/main"]
    inputs = json.loads(json.dumps(unit.inputs))
    change(inputs)
    digest = unit_digest(unit.program, inputs, unit.depends_on, ())
    return replace(recorded, units={**recorded.units, unit.id: replace(unit, inputs=inputs, digest=digest)})


def test_a_state_that_does_not_know_counts_as_weakened(cloud: Cloud, before: RecordedState) -> None:
    """A fleet that an earlier version applied: nobody can say who could become it, so whoever may now is asked about."""
    older = _unit(before, lambda inputs: inputs.pop("runsIn"))
    plan = cloud.plan(older)
    entry = _entry(plan)
    assert (entry.direction, entry.weakens) == (Direction.WEAKENED, True)
    assert entry.lines[0].before == "a fleet whose measurement was not recorded"
    assert _asks_security(plan)
    check_payload(json.loads(jcs(plan.payload)), trust_root_value(cloud.workspace))


def test_a_target_leaves_such_a_state_as_it_is(cloud: Cloud, before: RecordedState) -> None:
    """What a plan does not touch it does not speak of."""
    older = _unit(before, lambda inputs: inputs.pop("runsIn"))
    homes = homes_of(unit.inputs for unit in older.units.values())
    old, new = broker_grants(homes, homes)
    assert not trust_diff(old, new)


def test_a_broker_that_nobody_measures_any_longer_is_weakened(cloud: Cloud) -> None:
    """From an enclave to a process; the other way round it is strengthened."""
    measured = homes_of_documents(cloud.workspace)
    process = (Home("KeyBroker/main", ("Tenant/clinic",), "KeyBroker/main"),)
    down = trust_diff(*broker_grants(measured, process)).changes[0]
    up = trust_diff(*broker_grants(process, measured)).changes[0]
    assert (down.direction, down.weakens, down.lines[0].after) == (
        Direction.WEAKENED,
        True,
        "a process that nobody measures",
    )
    assert (up.direction, up.weakens) == (Direction.STRENGTHENED, False)


def test_a_local_broker_is_said_to_be_unmeasured() -> None:
    """Beside the trust diff and in `trust show`, not as a change where there is none."""
    recorded = running()
    plan = Clinic().plan(recorded)
    assert not [change for change in plan.diff.changes if change.enclave == change.broker]
    assert any("who becomes this broker" in line for line in plan.payload["restsOn"]["broker/main"]["notMeasured"])
    assert "nobody measures it" in render_homes(homes_of_documents(Clinic().workspace()))


def test_another_root_behind_its_evidence_is_a_weakening(cloud: Cloud, before: RecordedState) -> None:
    """A root that the TrustRoot declares beside the vendor's own."""
    anchor = {"vendor": "aws", "line": "", "assurance": "simulated", "certificate": "-----BEGIN CERTIFICATE-----"}
    wider = _unit(before, lambda inputs: inputs["objects"][0]["object"]["anchors"].append(anchor))
    old, new = broker_grants(*(homes_of(unit.inputs for unit in side.units.values()) for side in (before, wider)))
    assert trust_diff(old, new).changes[0].direction is Direction.WEAKENED
    assert trust_diff(new, old).changes[0].direction is Direction.STRENGTHENED


def _changes(payload: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = payload["trust"]["diff"]["changes"]
    return found


def _broker(payload: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(unit for unit in payload["units"] if unit["id"] == "broker/main")
    return found


def _dropped(payload: dict[str, Any]) -> None:
    _changes(payload)[:] = [change for change in _changes(payload) if change["enclave"] != change["broker"]]


def _harmless(payload: dict[str, Any]) -> None:
    for change in _changes(payload):
        if change["enclave"] == change["broker"]:
            change |= {"direction": "neutral", "weakens": False, "unexplained": False}


def _unsaid(payload: dict[str, Any]) -> None:
    del _broker(payload)["inputs"]["runsIn"]


def _unsaid_and_untouched(payload: dict[str, Any]) -> None:
    _unsaid(payload)
    next(action for action in payload["actions"] if action["unit"] == "broker/main")["op"] = "no-op"


def _as_before(payload: dict[str, Any]) -> None:
    said = payload["trust"]["brokersBefore"][0]["alternatives"]
    _broker(payload)["inputs"]["runsIn"]["alternatives"] = said


def _a_process(payload: dict[str, Any]) -> None:
    _broker(payload)["inputs"]["runsIn"]["enclave"] = "KeyBroker/main"


def _no_security(payload: dict[str, Any]) -> None:
    payload["approvalsNeeded"] = [need for need in payload["approvalsNeeded"] if need["reason"] != "weakened trust"]


def _unrendered(payload: dict[str, Any]) -> None:
    lines = payload["trust"]["rendered"].splitlines(keepends=True)
    payload["trust"]["rendered"] = "".join(line for line in lines if "who may become" not in line)


def _one_more_opens_its_store(payload: dict[str, Any]) -> None:
    statements = _broker(payload)["inputs"]["keys"][0]["policy"]["Statement"]
    more = json.loads(json.dumps(next(one for one in statements if one["Sid"].startswith("Release"))))
    more["Condition"]["StringEqualsIgnoreCase"]["kms:RecipientAttestation:ImageSha384"] = "ee" * 48
    statements.append(more)


@pytest.mark.parametrize(
    "forge",
    [_dropped, _harmless, _unsaid, _unsaid_and_untouched, _as_before, _a_process, _no_security, _unrendered,
     _one_more_opens_its_store],
)  # fmt: skip
def test_an_author_cannot_leave_it_out(
    forge: Callable[[dict[str, Any]], None], cloud: Cloud, before: RecordedState
) -> None:
    """With every digest made right: the approver's tool, apply and the broker refuse the plan."""
    payload = json.loads(jcs(cloud.but({PCR0: OTHER}).plan(before).payload))
    check_payload(payload, trust_root_value(cloud.workspace))
    forge(payload)
    for unit in payload["units"]:
        unit["digest"] = unit_digest(unit["program"], unit["inputs"], unit["dependsOn"], unit["references"])
    with pytest.raises(PlanRefused) as caught:
        check_payload(payload, trust_root_value(cloud.workspace))
    assert caught.value.code == "QNSP-PLN-018"


def test_what_was_applied_is_held_against_recorded_state(cloud: Cloud, before: RecordedState) -> None:
    """A base that an author made up is refused at apply, also one that is left out."""
    payload = cloud.but({PCR0: OTHER}).plan(before).payload
    _, judge = before.judge()
    check_fresh(payload, before, judge)
    forged = json.loads(jcs(payload))
    forged["trust"]["brokersBefore"][0]["alternatives"][0]["equals"]["pcr0"] = OTHER
    silent = json.loads(jcs(payload))
    del silent["trust"]["brokersBefore"]
    for one in (forged, silent):
        with pytest.raises(PlanRefused, match="who may become a broker"):
            check_fresh(one, before, judge)


@st.composite
def _alternatives(draw: st.DrawFn) -> tuple[Alternative, ...]:
    found = []
    for number in range(draw(st.integers(1, 3))):
        equals: dict[str, str | int | bool] = {
            f"pcr{register}": draw(st.sampled_from(("aa", "bb"))) for register in draw(st.sets(st.integers(0, 2)))
        }
        ends = draw(st.sampled_from((None, NOW)))
        found.append(Alternative(f"ReferenceValues/b#{number}", EvidenceKind.NITRO_ENCLAVE, equals, {}, not_after=ends))
    return tuple(found)


def _evidence(alternatives: tuple[Alternative, ...]) -> set[tuple[str, str, str, bool]]:
    """Everything that is admitted: registers, and whether for ever."""
    return {
        (a, b, c, late)
        for a in "xy" for b in "xy" for c in "xy" for late in (False, True)
        for one in alternatives
        if all({"aa": "x", "bb": "y"}[str(value)] == (a, b, c)[int(claim[3:])] for claim, value in one.equals.items())
        and (not late or one.not_after is None)
    }  # fmt: skip


@given(_alternatives(), _alternatives())
def test_no_change_of_a_brokers_alternatives_is_neutral(
    old: tuple[Alternative, ...], new: tuple[Alternative, ...]
) -> None:
    """And whoever could not become it before and can now is always asked about."""
    home = Home("KeyBroker/main", ("Tenant/clinic",), "Enclave/broker")
    diff = trust_diff(*broker_grants((replace(home, alternatives=old),), (replace(home, alternatives=new),)))
    contents = [
        {jcs({"equals": dict(one.equals), "late": one.not_after is None}) for one in side} for side in (old, new)
    ]
    directions = {change.direction for change in diff.changes}
    if contents[0] != contents[1]:
        assert directions
        assert not directions & {Direction.NEUTRAL}
    if _evidence(new) - _evidence(old):
        assert all(change.weakens for change in diff.changes)
