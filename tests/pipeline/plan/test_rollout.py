"""Rollouts as waves of one plan: old values stay admitted while a fleet is replaced, no longer and for nobody else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.errors import OperatorError, PlanRefused
from qnsp_policy.kernel.crypto import dsse
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.pipeline.plan.envelope import verify_plan
from qnsp_policy.pipeline.plan.make import Plan
from qnsp_policy.pipeline.plan.rollout import rollout, waves
from qnsp_policy.pipeline.plan.structure import differences
from qnsp_policy.pipeline.plan.values import Action, Op
from qnsp_policy.pipeline.review.plan_text import render_plan
from qnsp_policy.pipeline.trust.objects import policies_of
from qnsp_policy.pipeline.trust.release_policy import ReleasePolicy
from qnsp_policy.pipeline.trust.rollout import UNTIL, overlapping_reads
from qnsp_policy.pipeline.world.recorded import RecordedState, RecordedUnit
from qnsp_policy.testing.aws_examples import initialised, planned, units_of
from qnsp_policy.testing.clinic import NOW, Clinic, approved, running, signed, signer

OLD, NEW = "636c696e6963".ljust(96, "0"), "ab" * 48
RESOURCE = "clinic/model/minilm"


@pytest.fixture(scope="module")
def before() -> RecordedState:
    """The clinic as applied."""
    return running()


def next_image(**more: str) -> Clinic:
    """Another image with other measurements for the clinic's fleet."""
    change = {'measurement: "@m-clinic@"': f'measurement: "{NEW}"', "artefacts/guest.tar": "artefacts/guest-2.tar"}
    return Clinic().but(change=change | more)


def measurements(policy: ReleasePolicy, enclave: str = "Enclave/clinic-cpu") -> list[str]:
    return [
        str(alternative.equals["measurement"])
        for grant in policy.grants
        if grant.enclave == enclave
        for alternative in grant.alternatives
    ]


def between(plan: Plan) -> ReleasePolicy:
    found = policies_of(unit["inputs"] for unit in plan.payload["rollout"]["units"])
    return found["KeyBroker/main", RESOURCE]


def test_a_replaced_fleet_is_rolled_out_in_waves(before: RecordedState) -> None:
    """Both admitted, fleet and endpoint, new ones alone; in the payload, in the text, in what approvers sign."""
    plan = next_image().plan(before)
    told = waves(plan.payload)
    assert [word for word, _ in told] == ["admit", "replace", "retire"]
    assert told[0][1] == told[2][1] == ["tenant/clinic"]
    assert told[1][1] == ["enclave/clinic-cpu", "enclave/research-cpu", "endpoint/embeddings"]
    assert measurements(between(plan)) == [NEW, OLD]
    assert measurements(policies_of(u.inputs for u in plan.units.values())["KeyBroker/main", RESOURCE]) == [NEW]
    text = render_plan(plan.payload)
    assert "Rollout" in text
    assert "wave 3  retire   tenant/clinic" in text
    assert (
        f"clinic-cpu may obtain {RESOURCE} under the values applied before as well" in plan.payload["trust"]["rendered"]
    )
    data = approved(signed(plan), before, "bob@clinic.example", "carol@research.example")
    verified = verify_plan(data, before, now=NOW)
    assert verified.authorisation.between["KeyBroker/main"].keys() >= {f"release-policy/{RESOURCE}"}
    after = verified.authorisation.objects["KeyBroker/main"][f"release-policy/{RESOURCE}"]
    assert verified.authorisation.between["KeyBroker/main"][f"release-policy/{RESOURCE}"] != after


def test_another_image_at_the_same_place_is_a_rollout_too(before: RecordedState) -> None:
    """Its digest is what members are started with: they start anew, and the plan says so before."""
    change = {'measurement: "@m-clinic@"': f'measurement: "{NEW}"', "sha256:@image@": "sha256:" + "ab" * 32}
    plan = Clinic().but(change=change).plan(before)
    assert ("replace", ["enclave/clinic-cpu", "enclave/research-cpu", "endpoint/embeddings"]) in waves(plan.payload)
    old, new = (units["enclave/clinic-cpu"].inputs["processes"] for units in (before.units, plan.units))
    assert [process["name"] for process in old] == [process["name"] for process in new]
    assert all(one["files"] != other["files"] for one, other in zip(old, new, strict=True))


def test_in_between_the_new_guardrails_hold_and_nobody_else_gains(before: RecordedState) -> None:
    """What is kept are the old tuples, under the wanted grant; the other tenant's policies are not touched."""
    plan = next_image(**{"lease: 12h": "lease: 2h"}).plan(before)
    head = policies_of(u.inputs for u in plan.units.values())["KeyBroker/main", RESOURCE]
    kept = between(plan)
    assert {grant.lease_seconds for grant in kept.grants} == {7200}
    assert [grant.guardrails for grant in kept.grants] == [grant.guardrails for grant in head.grants]
    names = [a.name for g in kept.grants for a in g.alternatives]
    assert len(set(names)) == len(names)
    assert [name.endswith(UNTIL) for name in names] == [False, True]
    assert {unit["id"] for unit in plan.payload["rollout"]["units"]} == {"tenant/clinic"}


def test_values_that_are_withdrawn_alone_are_withdrawn_at_once(before: RecordedState) -> None:
    """Without other members there is nothing to wait for: a compromised measurement goes with the first wave."""
    plan = Clinic().but(change={'measurement: "@m-clinic@"': f'measurement: "{NEW}"'}).plan(before)
    assert "rollout" not in plan.payload
    assert "overlap" not in plan.payload["trust"]


def test_a_grant_that_is_withdrawn_is_withdrawn_at_once(before: RecordedState) -> None:
    """Its fleet is replaced, but what it may no longer obtain it may not obtain in between either."""
    plan = next_image(**{"to: [Enclave/clinic-cpu]": "to: [Enclave/research-cpu]"}).plan(before)
    admitted = policies_of(u["inputs"] for u in plan.payload.get("rollout", {"units": []})["units"])
    for policy in admitted.values():
        assert policy.resource != RESOURCE or measurements(policy) == []


def _admit_more(payload: dict[str, Any]) -> None:
    unit = payload["rollout"]["units"][0]
    policy = next(
        o for o in unit["inputs"]["brokers"][0]["objects"] if o["name"] == RESOURCE and o["kind"] == "release-policy"
    )
    policy["object"]["grants"][0]["alternatives"][-1]["equals"]["measurement"] = "cd" * 48


def _keep_quiet(payload: dict[str, Any]) -> None:
    del payload["trust"]["overlap"]


def _authorise_more(payload: dict[str, Any]) -> None:
    payload["rollout"]["authorises"]["KeyBroker/main"]["tenant/clinic"] = "sha256:" + "0" * 64


def _another_program(payload: dict[str, Any]) -> None:
    payload["rollout"]["units"][0]["program"] = "broker"


@pytest.mark.parametrize("edit", [_admit_more, _keep_quiet, _authorise_more, _another_program])
def test_a_rollout_that_does_not_follow_from_its_plan_is_refused(
    edit: Callable[[dict[str, Any]], None], before: RecordedState
) -> None:
    """By everybody who verifies it: nothing is slipped in between two waves, and approvers are told of the overlap."""
    payload = json.loads(json.dumps(next_image().plan(before).payload))
    edit(payload)
    envelope = dsse.sign(dsse.PLAN_TYPE, jcs(payload), signer("alice@clinic.example"))
    data = jcs(json.loads(envelope.to_json()) | {"approvals": []})
    with pytest.raises(PlanRefused) as caught:
        verify_plan(data, before, now=NOW)
    assert caught.value.code == "QNSP-PLN-018"


def test_on_aws_the_key_policy_overlaps_and_the_fleet_knows_the_way_back(tmp_path: Path) -> None:
    """Statements of the old tuple stand beside those of the new one, for this fleet's role only."""
    root = initialised(tmp_path, "aws-nitro")
    old = units_of(planned(root))
    pcr0 = old["enclave/triage"].inputs["enclave"]["measurements"][0]["pcr0"]
    changes = {
        "reference-values.yaml": lambda text: text.replace(pcr0, "ab" * 48),
        "artefacts.yaml": lambda text: text.replace("triage.eif", "triage-2.eif"),
    }
    new = units_of(planned(root, changes=changes))
    recorded = {
        unit.id: RecordedUnit(unit.id, unit.program, unit.digest, unit.inputs, unit.depends_on) for unit in old.values()
    }
    actions = [
        Action(name, Op.UPDATE, differences=tuple(differences(old[name].inputs, unit.inputs)))
        for name, unit in new.items()
        if unit.digest != old[name].digest
    ]
    state = RecordedState(genesis=None, units=recorded)
    told = rollout(new, state, actions, policies_of(unit.inputs for unit in old.values()), "aws-nitro")
    assert told is not None
    assert sorted(unit["id"] for unit in told["units"]) == ["aws-keys/clinic", "platform/cloud", "tenant/clinic"]
    # Its role reads both images, so that a fleet that goes back finds its own; no other role reads more.
    between = next(unit for unit in told["units"] if unit["program"] == "aws-platform")["inputs"]
    read = {role["name"]: role["policy"]["Statement"][0]["Resource"] for role in between["foundation"]["roles"]}
    bucket = "arn:aws:s3:::clinic-artefacts"
    assert read == {
        "qnsp-aws-nitro-main": [f"{bucket}/broker.eif"],
        "qnsp-aws-nitro-triage": [f"{bucket}/triage-2.eif", f"{bucket}/triage.eif"],
    }
    through = between["foundation"]["network"]["storage"]["policy"]["Statement"][0]["Resource"]
    assert {f"{bucket}/triage.eif", f"{bucket}/triage-2.eif"} <= set(through)
    assert f"{bucket}/triage.eif" in between["foundation"]["trail"]["objects"]
    assert between == overlapping_reads(new["platform/cloud"].inputs, told["fleets"])
    keys = next(unit for unit in told["units"] if unit["program"] == "aws-keys")["inputs"]["keys"]
    statements = keys[0]["policy"]["Statement"]
    images = [
        s["Condition"]["StringEqualsIgnoreCase"]["kms:RecipientAttestation:ImageSha384"]
        for s in statements if s["Sid"].startswith("Release")
    ]  # fmt: skip
    assert images == ["ab" * 48, pcr0]
    assert told["fleets"]["enclave/triage"]["inputs"] == old["enclave/triage"].inputs
    assert told["fleets"]["enclave/triage"]["digest"] == old["enclave/triage"].digest


def test_a_policy_that_would_overlap_beyond_what_kms_takes_is_refused(tmp_path: Path) -> None:
    """Before anything is touched: fewer fleets at once."""
    root = initialised(tmp_path, "aws-nitro")
    old = units_of(planned(root))
    new = units_of(planned(root, changes={"artefacts.yaml": lambda text: text.replace("triage.eif", "triage-2.eif")}))
    policies = policies_of(unit.inputs for unit in old.values())
    crowded = {}
    for key, policy in policies.items():
        grants = [replace(grant, alternatives=tuple(
            replace(one, equals={**one.equals, "pcr1": f"{number:096x}"})
            for one in grant.alternatives for number in range(1, 61)
        )) for grant in policy.grants]  # fmt: skip
        crowded[key] = replace(policy, grants=tuple(grants))
    recorded = {
        unit.id: RecordedUnit(unit.id, unit.program, unit.digest, unit.inputs, unit.depends_on) for unit in old.values()
    }
    actions = [
        Action("enclave/triage", Op.UPDATE, differences=tuple(
            differences(old["enclave/triage"].inputs, new["enclave/triage"].inputs))),
        Action("aws-keys/clinic", Op.UPDATE),
    ]  # fmt: skip
    with pytest.raises(OperatorError) as caught:
        rollout(new, RecordedState(genesis=None, units=recorded), actions, crowded, "aws-nitro")
    assert caught.value.code == "QNSP-PLN-227"
