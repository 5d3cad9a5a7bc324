"""A broker's fleet is replaced as any other: old and new open its store meanwhile, it can go back, and what it held is handed over again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from qnsp_policy.errors import PlanRefused
from qnsp_policy.kernel.crypto.canonical import jcs
from qnsp_policy.pipeline.plan.envelope import check_fresh
from qnsp_policy.pipeline.plan.make import Circumstances, Plan
from qnsp_policy.pipeline.plan.rollout import waves
from qnsp_policy.pipeline.plan.values import Op, PlannedStep, PreviewRequest, Step
from qnsp_policy.pipeline.review.plan_text import render_plan
from qnsp_policy.pipeline.trust.consistency import check_payload
from qnsp_policy.pipeline.trust.objects import unit_digest
from qnsp_policy.pipeline.world.recorded import RecordedState
from qnsp_policy.testing.aws_examples import Cloud, in_memory, initialised
from qnsp_policy.testing.clinic import applied

PCR0 = "985ee5249b1a95a30957c702582b17c3b2bea11cabcad236f0ec14c4a9f73f57d7d28e31d0c4cc709d9b9bc6da534937"
OTHER = "ab" * 48
NEXT_IMAGE = {PCR0: OTHER, "broker.eif": "broker-2.eif"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    return in_memory(initialised(tmp_path_factory.mktemp("cloud"), "aws-nitro"))


@pytest.fixture(scope="module")
def before(cloud: Cloud) -> RecordedState:
    genesis = cloud.genesis()
    return applied(cloud.plan(genesis), genesis)


def _between(plan: Plan, unit: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in plan.payload["rollout"]["units"] if one["id"] == unit)
    return found


def _images(inputs: Any) -> set[str]:
    """The images that open a broker's store."""
    return {
        one["Condition"]["StringEqualsIgnoreCase"]["kms:RecipientAttestation:ImageSha384"]
        for one in inputs["keys"][0]["policy"]["Statement"]
        if one["Sid"].startswith("Release")
    }


def _checked(payload: Any, recorded: RecordedState) -> None:
    _, judge = recorded.judge()
    read = json.loads(jcs(payload))
    check_payload(read, judge)
    check_fresh(read, recorded, judge)


def test_both_images_open_the_store_while_the_fleet_is_replaced(cloud: Cloud, before: RecordedState) -> None:
    """In between both, afterwards the new one alone; approvers sign a line of it, and its role reads both images."""
    plan = cloud.but(NEXT_IMAGE).plan(before)
    assert [(word, "broker/main" in units) for word, units in waves(plan.payload)] == [
        ("admit", True), ("replace", True), ("retire", True),
    ]  # fmt: skip
    assert _images(_between(plan, "broker/main")["inputs"]) == {PCR0, OTHER}
    assert _images(plan.units["broker/main"].inputs) == {OTHER}
    line = "until its fleet is replaced, broker may obtain broker/main/store under the values applied before as well"
    assert line in plan.payload["trust"]["rendered"]
    roles = _between(plan, "platform/cloud")["inputs"]["foundation"]["roles"]
    read = next(role for role in roles if role["enclave"] == "Enclave/broker")["policy"]["Statement"][0]["Resource"]
    assert sorted(image.rpartition("/")[2] for image in read) == ["broker-2.eif", "broker.eif"]
    _checked(plan.payload, before)


def test_it_goes_back_to_what_was_applied(cloud: Cloud, before: RecordedState) -> None:
    """The plan holds the fleet as it was, so that members that do not attest send it back."""
    plan = cloud.but(NEXT_IMAGE).plan(before)
    back = plan.payload["rollout"]["fleets"]["broker/main"]
    assert (back["digest"], _images(back["inputs"])) == (before.units["broker/main"].digest, {PCR0})


def test_what_it_held_is_handed_over_again_in_the_same_plan(cloud: Cloud, before: RecordedState) -> None:
    """Its store is its members': every unit that gave it something creates that again; the plan says what is not had back."""
    plan = cloud.but(NEXT_IMAGE).plan(before)
    done = {action.unit: action for action in plan.actions}
    assert done["tenant/clinic"].op is Op.UPDATE
    again = {item.step.name for item in done["tenant/clinic"].steps if item.op is Op.CREATE}
    assert {
        "main/tenant/clinic",
        "main/resource/clinic/model/triage",
        "main/release-policy/clinic/model/triage",
    } <= again
    assert any(item.step.name == "main/endpoint/clinic/endpoint/triage" for item in done["endpoint/triage"].steps)
    assert any(item.step.name == "main/trust-root/current" for item in done["broker/main"].steps)
    assert done["enclave/triage"].op is Op.NO_OP
    text = render_plan(plan.payload)
    assert "KeyBroker/main begins with an empty store: it is handed its objects again" in text
    assert "EMPTIES KeyBroker/main" in text


@dataclass
class TemplateOnly:
    """A double of the engine's previews: of a fleet that somebody edited, the launch template alone."""

    properties: tuple[str, ...] = ("userData",)

    def preview(self, requests: Sequence[PreviewRequest]) -> Mapping[str, tuple[PlannedStep, ...]]:
        step = Step("aws:ec2/launchTemplate:LaunchTemplate", "main")
        return {request.unit.id: (PlannedStep(Op.UPDATE, step, self.properties),) for request in requests}


def test_a_template_that_was_edited_takes_the_store_too(cloud: Cloud, before: RecordedState) -> None:
    """Mending the world replaces the members as well, without a difference of the documents: the same plan hands everything over."""
    drifted = Circumstances(attachments=cloud.attachments, drifted={"broker/main": ("launch template: userData",)})
    plan = cloud.plan(before, previews=TemplateOnly(), circumstances=drifted)
    done = {action.unit: action for action in plan.actions}
    assert "rollout" not in plan.payload
    assert done["tenant/clinic"].op is Op.UPDATE
    assert any(item.step.name == "main/release-policy/clinic/model/triage" for item in done["tenant/clinic"].steps)
    assert "KeyBroker/main begins with an empty store" in render_plan(plan.payload)
    _checked(plan.payload, before)


def test_a_database_is_kept(cloud: Cloud, before: RecordedState) -> None:
    """A store that outlives the members is not handed over again, and nothing is lost."""
    kept = cloud.but({'url: "sqlite://"': 'url: "postgresql://db.clinic.example/broker"'})
    state = applied(kept.plan(before), before)
    plan = kept.but({**kept.change, **NEXT_IMAGE}).plan(state)
    assert "tenant/clinic" not in {action.unit for action in plan.actions if action.op is not Op.NO_OP}
    assert not plan.losses


def test_other_members_are_what_makes_a_rollout(cloud: Cloud, before: RecordedState) -> None:
    """Values withdrawn without another image go at once: no member of before is to open the store any longer."""
    plan = cloud.but({PCR0: OTHER}).plan(before)
    assert "rollout" not in plan.payload
    assert _images(plan.units["broker/main"].inputs) == {OTHER}


def test_a_broker_of_an_earlier_version_overlaps_with_nothing_unknown(cloud: Cloud, before: RecordedState) -> None:
    """What could open its store before is not recorded in a form that a plan may repeat: the new image alone does."""
    unit = before.units["broker/main"]
    inputs = {name: value for name, value in unit.inputs.items() if name != "runsIn"}
    older = replace(before, units={**before.units, unit.id: replace(unit, inputs=inputs)})
    plan = cloud.but(NEXT_IMAGE).plan(older)
    assert _images(_between(plan, "broker/main")["inputs"]) == {OTHER}
    assert "until its fleet is replaced" not in plan.payload["trust"]["rendered"]
    _checked(plan.payload, older)


def _one_more_image(payload: dict[str, Any]) -> None:
    inputs = next(one for one in payload["rollout"]["units"] if one["id"] == "broker/main")["inputs"]
    statements = inputs["keys"][0]["policy"]["Statement"]
    more = json.loads(json.dumps(next(one for one in statements if one["Sid"].startswith("Release"))))
    more["Condition"]["StringEqualsIgnoreCase"]["kms:RecipientAttestation:ImageSha384"] = "ee" * 48
    statements.append(more)


def _another_fleet(payload: dict[str, Any]) -> None:
    inputs = next(one for one in payload["rollout"]["units"] if one["id"] == "broker/main")["inputs"]
    inputs["fleet"]["userData"] = "#!/bin/bash\n"


def _unsaid(payload: dict[str, Any]) -> None:
    payload["trust"]["overlap"] = []


def _nothing_replaced(payload: dict[str, Any]) -> None:
    next(action for action in payload["actions"] if action["unit"] == "broker/main")["differences"] = []


@pytest.mark.parametrize("forge", [_one_more_image, _another_fleet, _unsaid, _nothing_replaced])
def test_nothing_slips_in_between(forge: Callable[[dict[str, Any]], None], cloud: Cloud, before: RecordedState) -> None:
    """With every digest made right: whoever verifies the plan computes what stands in between again."""
    payload = json.loads(jcs(cloud.but(NEXT_IMAGE).plan(before).payload))
    forge(payload)
    for unit in payload["rollout"]["units"]:
        unit["digest"] = unit_digest(unit["program"], unit["inputs"], unit["dependsOn"], unit["references"])
    with pytest.raises(PlanRefused) as caught:
        check_payload(payload, before.judge()[1])
    assert caught.value.code == "QNSP-PLN-018"
