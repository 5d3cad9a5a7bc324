"""What a plan says of units that stand in a platform's network: what changed, and not what the network was filled in with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from qnsp_policy.pipeline.engine.programs import outlines
from qnsp_policy.pipeline.plan.actions import Situation, actions
from qnsp_policy.pipeline.plan.values import Action, Unit
from qnsp_policy.pipeline.world.recorded import RecordedState, RecordedUnit
from qnsp_policy.testing.aws_examples import NETWORK, initialised, planned, resolved, units_of
from qnsp_policy.testing.clinic import FakePreviews

OUTPUTS = {
    "vpcId": NETWORK["vpc"],
    "subnetIds": NETWORK["subnets"],
    "storagePrefixListId": NETWORK["storagePrefixList"],
}
NETWORK_PATHS = {"network.vpc", "network.subnets", "network.storagePrefixList"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Unit:
    root: Path = initialised(tmp_path_factory.mktemp("aws"), "aws-nitro")
    return units_of(planned(root))["enclave/triage"]


def told(fleet: Unit, outputs: Mapping[str, Any], **applied: Any) -> Action:
    """The action of a fleet whose applied form differs in some members of `fleet`."""
    inputs = resolved(fleet, NETWORK).inputs
    before = RecordedUnit(fleet.id, fleet.program, "sha256:old", {**inputs, "fleet": {**inputs["fleet"], **applied}})
    platform = RecordedUnit("platform/cloud", "aws-platform", "sha256:p", {}, outputs=dict(outputs))
    state = RecordedState(None, units={before.id: before, platform.id: platform})
    situation = Situation({fleet.id: fleet}, state, {fleet.id}, {}, outlines(), FakePreviews())
    return next(action for action in actions(situation) if action.unit == fleet.id)


def test_only_what_changed_is_said_of_a_fleet_in_a_network_that_stands(fleet: Unit) -> None:
    """Its network was recorded with ids and is planned with references: the same network."""
    action = told(fleet, OUTPUTS, members=7)
    assert [one.path for one in action.differences] == ["fleet.members"]
    assert [reason.text for reason in action.reasons] == [f"fleet.members 7 -> {fleet.inputs['fleet']['members']}"]


def test_a_network_that_is_another_one_now_is_said(fleet: Unit) -> None:
    """The platform was made anew since the fleet was applied."""
    action = told(fleet, {**OUTPUTS, "vpcId": "vpc-new"})
    assert [one.path for one in action.differences] == ["network.vpc"]


def test_a_platform_that_gave_nothing_hides_nothing(fleet: Unit) -> None:
    """What nobody gives any more is a difference."""
    assert {one.path for one in told(fleet, {}).differences} == NETWORK_PATHS
